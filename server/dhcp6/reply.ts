/** Reply messages and where they go. */
import type { Dhcp6 } from '../config/model.ts'
import type { Arrival6, Reply6 } from './exchange.ts'
import { clientFqdnReply } from './fqdn.ts'
import { fillOptions6 } from './fill-options.ts'
import { hasOption, iaNaOption, iaPdOption, optionOf, statusOption } from './option-access.ts'
import { OPTION6 } from './option-codes.ts'
import { encodePacket6, relaysOfReply } from './packet.ts'
import type { Option6, Packet6 } from './packet.ts'

/** Where a reply goes. */
export interface Destination6 {
  readonly address: string
  readonly port: number
}

/** UDP ports: the server's own, which relays listen on too, and the clients'. */
export interface Ports6 {
  readonly server: number
  readonly client: number
}

/**
 * The octets of a reply from the server with this DUID, inside the relay headers that the message came with (RFC 8415
 * §19.3); `undefined` when they fit into no datagram.
 */
export const encodeReply6 = (config: Dhcp6, serverDuid: Uint8Array, reply: Reply6): Uint8Array | undefined => {
  const { exchange } = reply
  const options: Option6[] = []
  const client = optionOf(exchange.packet.options, OPTION6.clientId)
  if (client !== undefined) options.push({ code: OPTION6.clientId, data: client })
  options.push({ code: OPTION6.serverId, data: serverDuid })
  if (reply.status !== undefined) options.push(statusOption(reply.status.code, reply.status.message))
  if (reply.rapidCommit) options.push({ code: OPTION6.rapidCommit, data: new Uint8Array(0) })
  for (const ia of reply.iaNas) options.push(iaNaOption(ia))
  for (const ia of reply.iaPds) options.push(iaPdOption(ia))
  if (reply.configured) {
    options.push(...fillOptions6(config, reply, reply.poolOptions))
    const fqdn = clientFqdnReply(exchange, reply.subnet?.hostnameRules)
    if (fqdn !== undefined) options.push(fqdn)
  }
  const { packet } = exchange
  const relays = relaysOfReply(packet.relays)
  return encodePacket6({ messageType: reply.messageType, transactionId: packet.transactionId, relays, options })
}

/**
 * Where the reply goes: to the relay, at the port that it sent from if it asks for that (RFC 8357), else at the server's
 * port; to a client that spoke directly, at its address and the client port (RFC 8415 §7.2).
 */
export const destination6 = (packet: Packet6, arrival: Arrival6, ports: Ports6): Destination6 => {
  const [outermost] = packet.relays
  if (outermost === undefined) return { address: arrival.sourceAddress, port: ports.client }
  const own = hasOption(outermost.options, OPTION6.relaySourcePort)
  return { address: arrival.sourceAddress, port: own ? arrival.sourcePort : ports.server }
}
