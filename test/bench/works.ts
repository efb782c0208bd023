/** The kinds of work that servers are measured at: what perfdhcp plays, and what of its report counts. */
import type { Network } from '../support/namespaces.ts'
import { runPerfdhcp } from '../support/perfdhcp.ts'
import type { PerfReport } from '../support/perfdhcp.ts'

/** Names of the kinds of work, as `--work` takes them. */
export const WORKS = ['dora', 'dora-renew', 'sarr', 'sarr-pd'] as const

export type WorkName = (typeof WORKS)[number]

/** What each kind of work is, for tables. */
export const WORK_TITLE: Readonly<Record<WorkName, string>> = {
  dora: 'DORA (DHCPv4, relayed)',
  'dora-renew': 'DORA and as many renewals (DHCPv4, relayed)',
  sarr: 'SARR, an address (DHCPv6, multicast)',
  'sarr-pd': 'SARR, an address and a prefix (DHCPv6, multicast)',
}

/** What perfdhcp sends, kind by kind of exchange: first message to last answer. */
const EXCHANGES: Readonly<
  Record<WorkName, { readonly first: string; readonly last: string; readonly renewal?: string }>
> = {
  dora: { first: 'DISCOVER-OFFER', last: 'REQUEST-ACK' },
  'dora-renew': { first: 'DISCOVER-OFFER', last: 'REQUEST-ACK', renewal: 'REQUEST-ACK (renewal)' },
  sarr: { first: 'SOLICIT-ADVERTISE', last: 'REQUEST-REPLY' },
  'sarr-pd': { first: 'SOLICIT-ADVERTISE', last: 'REQUEST-REPLY' },
}

/** Addresses and prefixes that one exchange gives. */
export const LEASES_PER_EXCHANGE: Readonly<Record<WorkName, number>> = {
  dora: 1,
  'dora-renew': 1,
  sarr: 1,
  'sarr-pd': 2,
}

/** Percentiles of the time from a message to its answer, milliseconds. */
export interface Delay {
  readonly p50: number
  readonly p99: number
  readonly average: number
}

/** One run of perfdhcp. */
export interface Run {
  /** Exchanges a second that perfdhcp was told to begin; renewals are counted too, so it is twice that with them. */
  readonly asked: number
  /** Exchanges a second that it did begin. */
  readonly offered: number
  /** Exchanges a second that were answered to the end. */
  readonly completed: number
  /** Share of the begun exchanges that were not answered to the end, 0 to 1. */
  readonly lost: number
  /** Four-way exchanges completed, and renewals answered. */
  readonly claims: number
  readonly renewals: number
  /** From DISCOVER to OFFER, Solicit to Advertise. */
  readonly offerDelay: Delay | undefined
  /** From REQUEST to ACK or Reply: what waits for the commit. */
  readonly grantDelay: Delay | undefined
  /** Addresses that were given twice; anything but 0 is an error of the server. */
  readonly doubles: number
}

let turn = 0

/**
 * Offers a server `ratePerSec` exchanges a second for `seconds`, by clients that it has never seen: each run of this
 * process has other hardware addresses.
 */
export const load = async (network: Network, work: WorkName, ratePerSec: number, seconds: number): Promise<Run> => {
  const [namespace] = network.clients
  if (namespace === undefined) throw new Error('the network has no client')
  const isV4 = work === 'dora' || work === 'dora-renew'
  const renews = EXCHANGES[work].renewal !== undefined
  const exchangesPerSec = Math.max(1, Math.round(renews ? ratePerSec / 2 : ratePerSec))
  const report = await runPerfdhcp({
    namespace,
    family: isV4 ? 4 : 6,
    ...(isV4 ? { local: '198.18.0.2', server: '198.18.0.1' } : { local: 'eth0' }),
    ratePerSec: exchangesPerSec,
    periodSec: seconds,
    clients: 2 * exchangesPerSec * seconds + 100,
    ...(renews ? { renewPerSec: exchangesPerSec } : {}),
    ...(work === 'sarr-pd' ? { lease: 'address-and-prefix' as const } : {}),
    more: ['-x', 't', '-b', `mac=02:${octet(++turn >> 8)}:${octet(turn)}:00:00:00`],
  })
  return measure(report, work, renews ? 2 * exchangesPerSec : exchangesPerSec, seconds)
}

const octet = (value: number): string => (value & 255).toString(16).padStart(2, '0')

const measure = (report: PerfReport, work: WorkName, asked: number, seconds: number): Run => {
  const { first, last, renewal } = EXCHANGES[work]
  const begun = report.exchanges[first]
  const granted = report.exchanges[last]
  const renewed = renewal === undefined ? undefined : report.exchanges[renewal]
  if (begun === undefined || granted === undefined) throw new Error(`perfdhcp reports no ${first}:\n${report.text}`)
  const sent = begun.sent + (renewed?.sent ?? 0)
  const received = granted.received + (renewed?.received ?? 0)
  return {
    asked,
    offered: sent / seconds,
    completed: received / seconds,
    lost: sent === 0 ? 1 : Math.max(0, 1 - received / sent),
    claims: granted.received,
    renewals: renewed?.received ?? 0,
    offerDelay: delayOf(report.text, first),
    grantDelay: delayOf(report.text, last),
    doubles: begun.nonUniqueAddresses + granted.nonUniqueAddresses,
  }
}

/** The delays from the times that perfdhcp prints of each exchange. */
const delayOf = (text: string, exchange: string): Delay | undefined => {
  const from = text.indexOf(`***Timestamps for packets: ${exchange}***`)
  if (from < 0) return undefined
  const to = text.indexOf('***', from + exchange.length + 30)
  const delays: number[] = []
  const pattern = /sent \/ received: ([\d.]+) \/ ([\d.]+)/g
  for (const [, sent, received] of text.slice(from, to < 0 ? undefined : to).matchAll(pattern)) {
    delays.push((Number(received) - Number(sent)) * 1000)
  }
  if (delays.length === 0) return undefined
  delays.sort((a, b) => a - b)
  const at = (share: number): number => delays[Math.min(delays.length - 1, Math.floor(share * delays.length))] as number
  return { p50: at(0.5), p99: at(0.99), average: delays.reduce((sum, delay) => sum + delay, 0) / delays.length }
}
