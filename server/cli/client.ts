/** `ledger client`: plays DHCP clients against a running server. */
import { SingleBar } from 'cli-progress'
import { Command, InvalidArgumentError, Option } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { parseIp4 } from '../../domain/address.ts'
import { openUdp4 } from '../net/udp4.ts'
import { makeClient4, transactionOf4 } from '../simulator/client4.ts'
import { percentile, play, sendAll } from '../simulator/run.ts'
import type { RunOptions, TaskResult } from '../simulator/run.ts'
import type { DatagramSocket } from '../net/socket.ts'
import { fail } from './fail.ts'

interface Arguments {
  readonly server: string
  readonly port: number
  readonly clients: number
  readonly rate?: number
  readonly seconds?: number
  readonly renew: boolean
  readonly release: boolean
  readonly link?: string
  readonly bind: string
  readonly timeout: number
  readonly base: string
  readonly json: boolean
}

const count = (text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('give a whole number above 0')
  return value
}

/** The command. */
export const clientCommand = (): Command =>
  new Command('client')
    .description('play DHCP clients behind a relay, with real packets')
    .addOption(new Option('--server <address>', 'address of the server').default('127.0.0.1'))
    .option('--port <port>', 'UDP port of the server', count, 6767)
    .option('--clients <n>', 'how many clients', count, 20)
    .option('--rate <n>', 'exchanges begun a second; without it as quickly as the server answers', count)
    .option('--seconds <n>', 'with --rate: how long; the clients take turns', count)
    .option('--renew', 'let every client renew afterwards', false)
    .option('--release', 'let every client release its lease at the end', false)
    .option('--link <address>', 'an address of the link the clients are on (default on loopback: 198.51.100.1)')
    .option('--bind <address>', 'address of this host that the server replies to', '127.0.0.1')
    .option('--timeout <ms>', 'a message is sent again after this long, four times in all', count, 1000)
    .option('--base <mac>', 'hardware address of the first client', '02:00:00:00:00:00')
    .option('--json', 'print the result as JSON', false)
    .action((args: Arguments) => run(args))

const run = async (args: Arguments): Promise<void> => {
  const bind = address(args.bind)
  const link =
    args.link === undefined ? (args.server.startsWith('127.') ? DEFAULT_LINK : undefined) : address(args.link)
  const socket = await openUdp4({ address: args.bind, port: 0, now: Date.now })()
  if (E.isLeft(socket)) return fail(socket.left.message)
  const clients = Array.from({ length: args.clients }, (_, i) =>
    makeClient4(hardwareAddress(args.base, i), { address: bind, link }),
  )
  const bar = new SingleBar({ format: '{task} {bar} {value}/{total} {duration_formatted}', stream: process.stderr })
  const options = makeRun(args, socket.right, clients, bar)
  const all = args.rate !== undefined && args.seconds !== undefined ? args.rate * args.seconds : args.clients
  const results: TaskResult[] = []
  for (const task of args.renew ? (['acquire', 'renew'] as const) : (['acquire'] as const)) {
    bar.start(all, 0, { task })
    results.push(await play(options, task, all))
    bar.stop()
  }
  const released = args.release ? sendAll(options, 'release') : 0
  const leases = new Set(clients.flatMap((client) => client.lease()))
  await socket.right.close()
  print(args, results, leases.size, released)
  if (results.some(({ granted }) => granted === 0)) process.exitCode = 1
}

const DEFAULT_LINK = 0xc6336401

const address = (text: string): number => {
  const parsed = parseIp4(text)
  return O.isSome(parsed) ? parsed.value : fail(`${text} is not an IPv4 address`)
}

/** The hardware address of client `i`: the base plus i, so that clients of different runs can be told apart or be the same. */
const hardwareAddress = (base: string, i: number): Uint8Array => {
  const start = BigInt(`0x${base.replaceAll(/[:-]/g, '') || '0'}`) + BigInt(i)
  return Uint8Array.from({ length: 6 }, (_, octet) => Number((start >> BigInt(8 * (5 - octet))) & 0xffn))
}

const makeRun = (
  args: Arguments,
  socket: DatagramSocket,
  clients: RunOptions['clients'],
  bar: SingleBar,
): RunOptions => ({
  clients,
  socket,
  server: { address: args.server, port: args.port },
  transactionOf: transactionOf4,
  transactionMax: 2 ** 32 - 1,
  rate: args.rate,
  windowMax: 64,
  retryMs: args.timeout,
  attemptsMax: 4,
  clock: () => performance.now(),
  random: Math.random,
  onProgress: (over) => bar.update(over),
})

const print = (args: Arguments, results: TaskResult[], leases: number, released: number): void => {
  if (args.json) {
    const shown = results.map(({ latenciesMs, ...rest }) => ({ ...rest, latencyMs: latencyOf(latenciesMs) }))
    process.stdout.write(`${JSON.stringify({ results: shown, leases, released })}\n`)
    return
  }
  for (const result of results) process.stdout.write(`${line(result)}\n`)
  process.stdout.write(`leases held: ${leases} different addresses\n`)
  if (args.release) process.stdout.write(`released: ${released}\n`)
}

const latencyOf = (latencies: number[]): { p50: number; p99: number } => ({
  p50: percentile(latencies, 0.5),
  p99: percentile(latencies, 0.99),
})

const line = (result: TaskResult): string => {
  const { p50, p99 } = latencyOf(result.latenciesMs)
  const rate = result.granted / (result.elapsedMs / 1000)
  return (
    `${result.task}: ${result.granted} acks, ${result.refused} naks, ${result.timeouts} timeouts ` +
    `(${result.retransmissions} sent again) in ${(result.elapsedMs / 1000).toFixed(2)} s, ${rate.toFixed(0)}/s; ` +
    `latency p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`
  )
}
