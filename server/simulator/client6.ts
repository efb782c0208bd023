/** One simulated DHCPv6 client behind a relay: the messages it sends, and what it makes of the replies (RFC 8415 §18.2). */
import * as E from 'fp-ts/lib/Either.js'
import { ip6Bytes, ip6FromBytes } from '../../domain/address.ts'
import type { Ip6 } from '../../domain/address.ts'
import { lease6Stream, prefix6Stream } from '../../domain/stream.ts'
import { makeDuidLl } from '../dhcp6/duid.ts'
import { clientDuid, iaNaOption, iaNasOf, iaPdOption, iaPdsOf, serverDuid, statusOf } from '../dhcp6/option-access.ts'
import type { IaAddress, IaPrefix } from '../dhcp6/option-access.ts'
import { MESSAGE6, OPTION6, STATUS6 } from '../dhcp6/option-codes.ts'
import { decodePacket6, encodePacket6 } from '../dhcp6/packet.ts'
import type { Option6, Packet6, Relay6 } from '../dhcp6/packet.ts'
import type { Reaction, SimulatedClient, Task } from './client.ts'

/** What a client is and wants. */
export interface ClientOptions6 {
  /** 6 octets; the DUID-LL and the link-local address are made of it. */
  readonly hardwareAddress: Uint8Array
  /** Link-address of the relay: an address of the link that the client is on. */
  readonly link: Ip6
  /** Ask for an address (IA_NA). */
  readonly na: boolean
  /** Ask for a prefix (IA_PD). */
  readonly pd: boolean
  /** Offer to skip Advertise and Request (RFC 8415 §18.2.1). */
  readonly rapidCommit: boolean
}

/** A client has one IA of each kind. */
const IAID = 1

const ETHERNET = 1

/** DNS servers and domain search list (RFC 3646), as most clients ask for. */
const ASKED = Uint8Array.of(0, 23, 0, 24)

/** A client. What it sends comes inside a Relay-forward that wants the reply at the port it was sent from (RFC 8357). */
export const makeClient6 = (options: ClientOptions6): SimulatedClient => {
  const duid = makeDuidLl(ETHERNET, options.hardwareAddress)
  const relays = [relayOf(options)]
  const releases = new Set<number>()
  let server: Uint8Array | undefined
  let address: IaAddress | undefined
  let prefix: IaPrefix | undefined

  const build = (messageType: number, transactionId: number, more: ReadonlyArray<Option6>): Uint8Array => {
    const fixed = [option(OPTION6.clientId, duid), option(OPTION6.elapsedTime, Uint8Array.of(0, 0))]
    const bytes = encodePacket6(
      { relays, messageType, transactionId, options: [...fixed, ...more] },
      MESSAGE6.relayForward,
    )
    if (bytes === undefined) throw new Error('a message of the simulator does not fit into a datagram')
    return bytes
  }

  /** The IAs with what the client holds or was offered; lifetimes are the server's to choose. */
  const ias = (): Option6[] => {
    const header = { iaid: IAID, t1Sec: 0, t2Sec: 0, status: undefined }
    const open = { preferredSec: 0, validSec: 0, status: undefined }
    const addresses = address === undefined ? [] : [{ ...address, ...open }]
    const prefixes = prefix === undefined ? [] : [{ ...prefix, ...open, exclude: undefined }]
    return [
      ...(options.na ? [iaNaOption({ ...header, addresses })] : []),
      ...(options.pd ? [iaPdOption({ ...header, prefixes })] : []),
    ]
  }

  const named = (): Option6 => option(OPTION6.serverId, server ?? new Uint8Array(0))
  const asked = option(OPTION6.optionRequest, ASKED)

  const begin = (task: Task, transactionId: number): Uint8Array => {
    switch (task) {
      case 'acquire': {
        const rapid = options.rapidCommit ? [option(OPTION6.rapidCommit, new Uint8Array(0))] : []
        return build(MESSAGE6.solicit, transactionId, [...ias(), asked, ...rapid])
      }
      case 'renew':
        return build(MESSAGE6.renew, transactionId, [named(), ...ias(), asked])
      case 'rebind':
        return build(MESSAGE6.rebind, transactionId, [...ias(), asked])
      case 'release': {
        const bytes = build(MESSAGE6.release, transactionId, [named(), ...ias()])
        // A client stops using what it releases before it says so (RFC 8415 §18.2.7).
        address = undefined
        prefix = undefined
        releases.add(transactionId)
        return bytes
      }
    }
  }

  /** Takes over what a reply gives; whether that is everything that the client wants. */
  const take = (packet: Packet6): boolean => {
    const alive = ({ validSec }: { readonly validSec: number }): boolean => validSec > 0
    address = iaNasOf(packet.options)
      ?.flatMap((ia) => ia.addresses)
      .find(alive)
    prefix = iaPdsOf(packet.options)
      ?.flatMap((ia) => ia.prefixes)
      .find(alive)
    return (!options.na || address !== undefined) && (!options.pd || prefix !== undefined)
  }

  const react = (bytes: Uint8Array, transactionId: number, fresh: () => number): Reaction => {
    const packet = answerTo(bytes, duid, transactionId)
    if (packet === undefined) return { _tag: 'Ignored' }
    const refused = (statusOf(packet.options)?.code ?? STATUS6.success) !== STATUS6.success
    if (releases.delete(transactionId)) return refused ? { _tag: 'Refused' } : { _tag: 'Granted', leaseTimeSec: 0 }
    if (refused || !take(packet)) return { _tag: 'Refused' }
    server = serverDuid(packet.options)
    if (packet.messageType === MESSAGE6.advertise) {
      // A new message has a new transaction id (RFC 8415 §16.1), so a second Advertise belongs to nothing any more.
      const next = fresh()
      return { _tag: 'Next', transactionId: next, bytes: build(MESSAGE6.request, next, [named(), ...ias(), asked]) }
    }
    const lifetimes = [address, prefix].flatMap((one) => (one === undefined ? [] : [one.validSec]))
    return { _tag: 'Granted', leaseTimeSec: Math.min(...lifetimes) }
  }

  const lease = (): string[] => [
    ...(address === undefined ? [] : [lease6Stream(ip6FromBytes(address.address))]),
    ...(prefix === undefined ? [] : [prefix6Stream(ip6FromBytes(prefix.prefix), prefix.length)]),
  ]
  return { begin, react, bound: () => address !== undefined || prefix !== undefined, lease }
}

/** The transaction id of a message inside any Relay-reply headers; undefined when there is none. */
export const transactionOf6 = (bytes: Uint8Array): number | undefined => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let message = 0
  while (bytes[message] === MESSAGE6.relayReply) {
    let at = message + RELAY_HEADER_OCTETS
    while (at + 4 <= bytes.length && view.getUint16(at) !== OPTION6.relayMessage) at += 4 + view.getUint16(at + 2)
    message = at + 4
  }
  return message + 4 > bytes.length ? undefined : view.getUint32(message) & 0xffffff
}

const RELAY_HEADER_OCTETS = 34

/** An Advertise or Reply to this client and transaction, from a server that says who it is (RFC 8415 §16.3, §16.10). */
const answerTo = (bytes: Uint8Array, duid: Uint8Array, transactionId: number): Packet6 | undefined => {
  const decoded = decodePacket6(bytes, MESSAGE6.relayReply)
  if (E.isLeft(decoded)) return undefined
  const packet = decoded.right
  const { messageType, options } = packet
  const answers = messageType === MESSAGE6.advertise || messageType === MESSAGE6.reply
  const addressed = Buffer.compare(clientDuid(options) ?? new Uint8Array(0), duid) === 0
  const fits = answers && addressed && packet.transactionId === transactionId && serverDuid(options) !== undefined
  return fits ? packet : undefined
}

const option = (code: number, data: Uint8Array): Option6 => ({ code, data })

const relayOf = ({ hardwareAddress, link }: ClientOptions6): Relay6 => ({
  hopCount: 0,
  linkAddress: ip6Bytes(link),
  peerAddress: linkLocal(hardwareAddress),
  // 0: the next one downstream is no relay with a port of its own but the client (RFC 8357 §4.2).
  options: [option(OPTION6.relaySourcePort, Uint8Array.of(0, 0))],
})

/** The link-local address with the modified EUI-64 of a hardware address (RFC 4291, appendix A). */
const linkLocal = (hardwareAddress: Uint8Array): Uint8Array => {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = hardwareAddress
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f)
}
