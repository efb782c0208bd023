/**
 * What went over the wire, seen by tcpdump and read by a small parser of its own, independent of the server's codec:
 * evidence that a client really sent the message that a test is about.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PATIENCE_MS, until } from './process.ts'
import type { Namespace, Lab } from './namespaces.ts'

/** A DHCPv4 message (RFC 2131). Addresses are dotted text; `0.0.0.0` where the field is empty. */
export interface Seen4 {
  readonly type: string
  readonly source: string
  readonly destination: string
  readonly xid: number
  readonly ciaddr: string
  readonly yiaddr: string
  readonly giaddr: string
  readonly chaddr: string
  readonly requestedAddress: string | undefined
  readonly serverId: string | undefined
  readonly leaseTimeSec: number | undefined
  /** All options by code; of a repeated code the octets joined (RFC 3396). */
  readonly options: ReadonlyMap<number, Buffer>
}

/** A DHCPv6 message (RFC 8415), as the client has it: the inner one when it was relayed. */
export interface Seen6 {
  readonly type: string
  readonly source: string
  readonly destination: string
  readonly transaction: number
  readonly hasServerId: boolean
  /** Number of relay encapsulations that were taken off. */
  readonly hops: number
  readonly options: readonly { readonly code: number; readonly value: Buffer }[]
}

/** A capture that runs. */
export interface Capture {
  /** All DHCPv4 messages so far, in the order of the wire. */
  readonly seen4: () => readonly Seen4[]
  readonly seen6: () => readonly Seen6[]
  /** Waits for a DHCPv4 message that fits, among those with index `from` and later; `what` names it in the error. */
  readonly wait4: (what: string, fits: (seen: Seen4) => boolean, from?: number, deadlineMs?: number) => Promise<Seen4>
  readonly wait6: (what: string, fits: (seen: Seen6) => boolean, from?: number, deadlineMs?: number) => Promise<Seen6>
}

/**
 * Starts to capture the DHCP messages of the client on a device of a namespace, whatever else passes there by broadcast
 * and multicast; the lab ends it.
 */
export const startCapture = async (lab: Lab, namespace: Namespace, device: string): Promise<Capture> => {
  const folder = await lab.folder('capture')
  const file = join(folder, 'dhcp.pcap')
  const filter = 'udp and (port 67 or port 68 or port 546 or port 547)'
  // Packets go to the file one by one, and tcpdump keeps its privileges so as to be able to write there.
  const options = ['--immediate-mode', '-U', '-Z', 'root', '-s', '0', '-i', device, '-w', file]
  const running = await namespace.start(['tcpdump', ...options, filter])
  await running.printed(/listening on/)
  lab.defer('end the capture', () => running.stop('SIGTERM'))
  const frames = () => (existsSync(file) ? readFrames(readFileSync(file)) : [])
  const mac = (await namespace.must(['cat', `/sys/class/net/${device}/address`])).trim()
  const seen4 = () =>
    frames()
      .flatMap((frame) => readSeen4(frame) ?? [])
      .filter(({ chaddr }) => chaddr === mac)
  const isOwn = (frame: Buffer) => hexText(frame.subarray(0, 6)) === mac || hexText(frame.subarray(6, 12)) === mac
  const seen6 = () =>
    frames()
      .filter(isOwn)
      .flatMap((frame) => readSeen6(frame) ?? [])
  const wait =
    <S extends { readonly type: string }>(all: () => readonly S[]) =>
    (what: string, fits: (seen: S) => boolean, from = 0, deadlineMs = PATIENCE_MS) =>
      until(
        what,
        () => all().slice(from).find(fits),
        deadlineMs,
        () => all().map(describe).join('\n'),
      )
  return { seen4, seen6, wait4: wait(seen4), wait6: wait(seen6) }
}

const describe = (seen: object): string =>
  JSON.stringify(seen, (key, value: unknown) => (key === 'options' ? undefined : value))

/** The packets of a pcap file of Ethernet frames; an incomplete last one is left out. */
const readFrames = (bytes: Buffer): readonly Buffer[] => {
  const frames: Buffer[] = []
  for (let at = 24; at + 16 <= bytes.length;) {
    const length = bytes.readUInt32LE(at + 8)
    const end = at + 16 + length
    if (end > bytes.length) break
    frames.push(bytes.subarray(at + 16, end))
    at = end
  }
  return frames
}

const ipv4Text = (bytes: Buffer): string => [...bytes].join('.')
const hexText = (bytes: Buffer): string => bytes.toString('hex').replace(/(..)(?=.)/g, '$1:')

const types4 = ['', 'DISCOVER', 'OFFER', 'REQUEST', 'DECLINE', 'ACK', 'NAK', 'RELEASE', 'INFORM']

const readSeen4 = (frame: Buffer): Seen4 | undefined => {
  if (frame.length < 14 + 28 + 240 || frame.readUInt16BE(12) !== 0x0800) return undefined
  const header = (frame.readUInt8(14) & 0x0f) * 4
  const bootp = frame.subarray(14 + header + 8)
  if (bootp.length < 240 || bootp.readUInt32BE(236) !== 0x63825363) return undefined
  const options = new Map<number, Buffer>()
  for (let at = 240; at + 1 < bootp.length && bootp[at] !== 255;) {
    const code = bootp.readUInt8(at)
    if (code === 0) {
      at += 1
      continue
    }
    const end = at + 2 + bootp.readUInt8(at + 1)
    options.set(code, Buffer.concat([options.get(code) ?? Buffer.alloc(0), bootp.subarray(at + 2, end)]))
    at = end
  }
  const address = (code: number) => (options.has(code) ? ipv4Text(options.get(code) as Buffer) : undefined)
  return {
    type: types4[options.get(53)?.[0] ?? 0] ?? 'unknown',
    source: ipv4Text(frame.subarray(26, 30)),
    destination: ipv4Text(frame.subarray(30, 34)),
    xid: bootp.readUInt32BE(4),
    ciaddr: ipv4Text(bootp.subarray(12, 16)),
    yiaddr: ipv4Text(bootp.subarray(16, 20)),
    giaddr: ipv4Text(bootp.subarray(24, 28)),
    chaddr: hexText(bootp.subarray(28, 28 + bootp.readUInt8(2))),
    requestedAddress: address(50),
    serverId: address(54),
    leaseTimeSec: options.get(51)?.readUInt32BE(0),
    options,
  }
}

const types6: Readonly<Record<number, string>> = {
  1: 'Solicit',
  2: 'Advertise',
  3: 'Request',
  4: 'Confirm',
  5: 'Renew',
  6: 'Rebind',
  7: 'Reply',
  8: 'Release',
  9: 'Decline',
  10: 'Reconfigure',
  11: 'Information-request',
}

const readSeen6 = (frame: Buffer): Seen6 | undefined => {
  if (frame.length < 14 + 40 + 8 + 4 || frame.readUInt16BE(12) !== 0x86dd) return undefined
  let message = frame.subarray(14 + 40 + 8)
  let hops = 0
  while (message[0] === 12 || message[0] === 13) {
    const inner = readOptions6(message.subarray(34)).find(({ code }) => code === 9)
    if (inner === undefined) return undefined
    message = inner.value
    hops += 1
  }
  const options = readOptions6(message.subarray(4))
  return {
    type: types6[message.readUInt8(0)] ?? 'unknown',
    source: ipv6Text(frame.subarray(22, 38)),
    destination: ipv6Text(frame.subarray(38, 54)),
    transaction: message.readUIntBE(1, 3),
    hasServerId: options.some(({ code }) => code === 2),
    hops,
    options,
  }
}

/** The options of a DHCPv6 message or of an option that holds options, in their order. */
export const readOptions6 = (bytes: Buffer): readonly { readonly code: number; readonly value: Buffer }[] => {
  const options: { code: number; value: Buffer }[] = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt16BE(at + 2)
    options.push({ code: bytes.readUInt16BE(at), value: bytes.subarray(at + 4, end) })
    at = end
  }
  return options
}

/** Eight groups in hexadecimal without compression. */
const ipv6Text = (bytes: Buffer): string => (bytes.toString('hex').match(/.{4}/g) ?? []).join(':')
