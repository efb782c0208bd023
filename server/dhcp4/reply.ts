/** Reply packets and where they go. */
import { ip4Text } from '../../domain/address.ts'
import { classesIn } from '../classes.ts'
import type { Dhcp4 } from '../config/model.ts'
import { fillOptions4 } from './fill-options.ts'
import type { Reply4 } from './exchange.ts'
import { maxMessageSize, wantsBroadcast } from './option-access.ts'
import { BOOT_OP, MESSAGE_TYPE } from './option-codes.ts'
import { wantsSourcePort } from './option-relay.ts'
import { BROADCAST_FLAG, encodePacket4, payloadOctetsMax } from './packet.ts'
import type { Packet4 } from './packet.ts'

/** Where a reply goes (RFC 2131 §4.1). `unicastHardware` is for a client that has no address yet and took no broadcast. */
export interface Destination4 {
  readonly address: string
  readonly port: number
  readonly unicastHardware: Uint8Array | undefined
}

/** UDP ports: the server's own, which relays listen on too, and the clients'. */
export interface Ports4 {
  readonly server: number
  readonly client: number
}

/** Octets of an Ethernet address. */
const ETHERNET_OCTETS = 6

/** The octets of a reply. `onDropped` is told of each option that found no room in what the client can take. */
export const encodeReply4 = (config: Dhcp4, reply: Reply4, onDropped: (code: number) => void): Uint8Array => {
  const { packet } = reply.exchange
  const granted = reply.messageType !== MESSAGE_TYPE.nak
  const boot = granted ? bootFields(config, reply) : NO_BOOT
  const answer: Packet4 = {
    op: BOOT_OP.reply,
    htype: packet.htype,
    hops: 0,
    xid: packet.xid,
    secs: 0,
    flags: granted || packet.giaddr === 0 ? packet.flags : packet.flags | BROADCAST_FLAG,
    ciaddr: granted && reply.messageType === MESSAGE_TYPE.ack ? packet.ciaddr : 0,
    yiaddr: reply.yiaddr,
    siaddr: boot.nextServer,
    giaddr: packet.giaddr,
    chaddr: packet.chaddr,
    sname: boot.sname,
    file: boot.file,
    options: fillOptions4(config, reply),
  }
  return encodePacket4(answer, { maxSize: payloadOctetsMax(maxMessageSize(packet)), onDropped })
}

interface BootFields {
  readonly nextServer: number
  readonly sname: Uint8Array
  readonly file: Uint8Array
}

const EMPTY = new Uint8Array(0)

const NO_BOOT: BootFields = { nextServer: 0, sname: EMPTY, file: EMPTY }

const encoder = new TextEncoder()

const encode = (text: string | undefined): Uint8Array =>
  text === undefined || text === '' ? EMPTY : encoder.encode(text)

/** siaddr, sname and file: the reservation's, else the first class's, else the subnet's. */
const bootFields = (config: Dhcp4, reply: Reply4): BootFields => {
  const { exchange, subnet, classes } = reply
  const scopes = [exchange.reservation, ...classesIn(config.classes, classes), subnet]
  const first = <T>(values: ReadonlyArray<T | undefined>): T | undefined => values.find((value) => value !== undefined)
  return {
    nextServer: first(scopes.map((scope) => scope?.nextServer)) ?? 0,
    sname: encode(first(scopes.map((scope) => scope?.serverHostname))),
    file: encode(first(scopes.map((scope) => scope?.bootFileName))),
  }
}

/**
 * Where the reply goes: to the relay at the port it listens on, or that it sent from when it asks for that (RFC 8357); to
 * the address that the client has; else to the address it is being given, or to everyone when it asked for that or is
 * being refused.
 */
export const destination4 = (reply: Reply4, ports: Ports4): Destination4 => {
  const { packet, agent, arrival } = reply.exchange
  if (packet.giaddr !== 0) {
    const port = agent !== undefined && wantsSourcePort(agent) ? arrival.sourcePort : ports.server
    return { address: ip4Text(packet.giaddr), port, unicastHardware: undefined }
  }
  const own = packet.ciaddr !== 0 ? packet.ciaddr : reply.yiaddr === 0 ? arrival.sourceAddress : 0
  if (reply.messageType !== MESSAGE_TYPE.nak && own !== 0) {
    return { address: ip4Text(own), port: ports.client, unicastHardware: undefined }
  }
  // A station without an Ethernet address can only be reached by broadcast (RFC 4390 §2.1).
  const reachable = packet.chaddr.length === ETHERNET_OCTETS
  if (reply.messageType === MESSAGE_TYPE.nak || wantsBroadcast(packet) || reply.yiaddr === 0 || !reachable) {
    return { address: '255.255.255.255', port: ports.client, unicastHardware: undefined }
  }
  return { address: ip4Text(reply.yiaddr), port: ports.client, unicastHardware: packet.chaddr }
}
