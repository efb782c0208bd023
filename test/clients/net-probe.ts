/**
 * Opens sockets inside the network namespace it is started in, for net-link.test.ts, and tells what happens as JSON
 * lines. Its one argument is a {@link ProbePlan} in JSON. It ends on SIGTERM, or by itself after `sends` when there are
 * no sockets that are to listen.
 */
import * as E from 'fp-ts/lib/Either.js'
import { listInterfaces } from '../../server/net/interfaces.ts'
import { loadNative } from '../../server/net/native.ts'
import { BROADCAST_HARDWARE_ADDRESS, openRaw4 } from '../../server/net/raw4.ts'
import type { DatagramSocket, Endpoint } from '../../server/net/socket.ts'
import { openUdp4 } from '../../server/net/udp4.ts'
import { openUdp6 } from '../../server/net/udp6.ts'

/** What the probe is to do. */
export interface ProbePlan {
  readonly native?: false
  readonly interfaces?: boolean
  readonly listen?: readonly ProbeSocket[]
  readonly raw?: readonly ProbeRaw[]
}

/** A socket to open: it answers each datagram with `echo ` and the datagram when `echo` is set. */
export interface ProbeSocket {
  readonly family: 4 | 6
  readonly interfaceName?: string
  readonly address?: string
  readonly port: number
  readonly groups?: readonly string[]
  readonly echo?: boolean
  /** Sent `times` times over at one moment; default once. */
  readonly send?: { readonly text: string; readonly to: Endpoint; readonly times?: number }
}

/** A datagram to send from a packet socket; addresses as uint32, hardware address in hexadecimal, default broadcast. */
export interface ProbeRaw {
  readonly interfaceName: string
  readonly text: string
  readonly source: number
  readonly destination: number
  readonly hardwareAddress?: string
}

/** A line of output. */
export type ProbeLine =
  | { readonly event: 'interfaces'; readonly interfaces: readonly { readonly name: string }[] }
  | { readonly event: 'refused'; readonly what: string; readonly tag: string; readonly message: string }
  | { readonly event: 'datagram'; readonly what: string; readonly from: Endpoint; readonly hex: string }
  | { readonly event: 'raw'; readonly what: string; readonly sent: number; readonly lastError: string }
  | { readonly event: 'ready'; readonly notices: readonly string[] }

const tell = (line: ProbeLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

const plan = JSON.parse(process.argv[2] ?? '{}') as ProbePlan
const native = plan.native === false ? E.left('the plan says so') : loadNative()
const sockets: DatagramSocket[] = []
const refused = (what: string, error: { _tag: string; message: string }): void =>
  tell({ event: 'refused', what, tag: error._tag, message: error.message })

if (plan.interfaces === true) {
  tell({
    event: 'interfaces',
    interfaces: listInterfaces().map((one) => ({
      ...one,
      hardwareAddress: Buffer.from(one.hardwareAddress).toString('hex'),
    })),
  })
}
for (const wanted of plan.listen ?? []) {
  const { family, echo, send, ...rest } = wanted
  const what = wanted.interfaceName ?? wanted.address ?? 'any'
  const opening = family === 4 ? openUdp4 : openUdp6
  const opened = await opening({ ...rest, now: Date.now }, native)()
  if (E.isLeft(opened)) {
    refused(what, opened.left)
    continue
  }
  const socket = opened.right
  sockets.push(socket)
  socket.onDatagram((bytes, from) => {
    const { address, port } = from
    tell({ event: 'datagram', what, from: { address, port }, hex: Buffer.from(bytes).toString('hex') })
    if (echo === true) socket.send(Buffer.concat([Buffer.from('echo '), bytes]), from)
  })
  for (let n = 0; send !== undefined && n < (send.times ?? 1); n++) socket.send(Buffer.from(send.text), send.to)
}
for (const wanted of plan.raw ?? []) {
  const opened = await openRaw4(wanted, native)()
  if (E.isLeft(opened)) {
    refused(wanted.interfaceName, opened.left)
    continue
  }
  const to =
    wanted.hardwareAddress === undefined ? BROADCAST_HARDWARE_ADDRESS : Buffer.from(wanted.hardwareAddress, 'hex')
  const flow = {
    sourceAddress: wanted.source,
    sourcePort: 67,
    destinationAddress: wanted.destination,
    destinationPort: 68,
  }
  opened.right.sendTo(Buffer.from(wanted.text), flow, to)
  const { sent, lastError } = opened.right.counters
  tell({ event: 'raw', what: wanted.interfaceName, sent, lastError })
  opened.right.close()
}
tell({ event: 'ready', notices: sockets.flatMap((socket) => socket.notice ?? []) })
process.once('SIGTERM', () => void Promise.all(sockets.map((socket) => socket.close())))
