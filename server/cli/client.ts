/** `ledger client`: plays DHCP clients against a running server. */
import { SingleBar } from 'cli-progress'
import { Command, InvalidArgumentError } from 'commander'
import type { Task } from '../simulator/client.ts'
import { play, sendAll } from '../simulator/run.ts'
import type { RunOptions, TaskResult } from '../simulator/run.ts'
import { openCrowd4, openCrowd6 } from './client-crowd.ts'
import type { Crowd, CrowdArguments } from './client-crowd.ts'
import { printReport } from './client-report.ts'

interface Arguments extends CrowdArguments {
  /** Set by `-6`. */
  readonly dhcp6: boolean
  readonly rate?: number
  readonly seconds?: number
  readonly burst?: number
  readonly renew: boolean
  readonly rebind: boolean
  readonly release: boolean
  readonly timeout: number
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
    .option('-6, --dhcp6', 'DHCPv6 instead of DHCPv4', false)
    .option('--server <address>', 'address of the server (default 127.0.0.1, with -6 ::1)')
    .option('--port <port>', 'UDP port of the server (default 6767, with -6 5470)', count)
    .option('--clients <n>', 'how many clients', count, 20)
    .option('--rate <n>', 'exchanges begun a second; without it as quickly as the server answers', count)
    .option('--seconds <n>', 'with --rate: how long; the clients take turns', count)
    .option('--burst <n>', 'begin so many exchanges at one moment; without --rate the next when those are over', count)
    .option('--renew', 'let every client renew afterwards', false)
    .option('--rebind', 'let every client rebind afterwards', false)
    .option('--release', 'let every client release its lease at the end', false)
    .option('--na', 'with -6: ask for an address (the default)', false)
    .option('--pd', 'with -6: ask for a prefix; for both give --na too', false)
    .option('--rapid-commit', 'with -6: offer to do with two messages instead of four', false)
    .option(
      '--link <address>',
      'an address of the link the clients are on (default 198.51.100.1 on loopback, with -6 2001:db8:1::1)',
    )
    .option(
      '--bind <address>',
      'address of this host that the server replies to (default 127.0.0.1, with -6 ::1 or any)',
    )
    .option('--timeout <ms>', 'a message is sent again after this long, four times in all', count, 1000)
    .option('--base <mac>', 'hardware address of the first client', '02:00:00:00:00:00')
    .option('--json', 'print the result as JSON', false)
    .action((args: Arguments) => run(args))

const run = async (args: Arguments): Promise<void> => {
  const crowd = args.dhcp6 ? await openCrowd6(args) : await openCrowd4(args)
  const bar = new SingleBar({ format: '{task} {bar} {value}/{total} {duration_formatted}', stream: process.stderr })
  const options = makeRun(args, crowd, bar)
  const all = args.rate !== undefined && args.seconds !== undefined ? args.rate * args.seconds : args.clients
  const results: TaskResult[] = []
  const playOne = async (task: Task, exchanges: number): Promise<TaskResult> => {
    bar.start(exchanges, 0, { task })
    const result = await play(options, task, exchanges)
    bar.stop()
    results.push(result)
    return result
  }
  await playOne('acquire', all)
  if (args.renew) await playOne('renew', all)
  if (args.rebind) await playOne('rebind', all)
  const leases = new Set(crowd.clients.flatMap((client) => client.lease()))
  let released = 0
  if (args.release && crowd.releaseIsAnswered) released = (await playOne('release', args.clients)).granted
  else if (args.release) released = sendAll(options, 'release')
  await crowd.socket.close()
  printReport({ json: args.json, words: crowd.words, results, leases, released: args.release ? released : undefined })
  if (results.some(({ granted }) => granted === 0)) process.exitCode = 1
}

const makeRun = (args: Arguments, crowd: Crowd, bar: SingleBar): RunOptions => ({
  clients: crowd.clients,
  socket: crowd.socket,
  server: crowd.server,
  transactionOf: crowd.transactionOf,
  transactionMax: crowd.transactionMax,
  rate: args.rate,
  windowMax: 64,
  burst: args.burst,
  retryMs: args.timeout,
  attemptsMax: 4,
  clock: () => performance.now(),
  random: Math.random,
  onProgress: (over) => bar.update(over),
})
