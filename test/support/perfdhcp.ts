/** Kea's load generator perfdhcp: running it in a namespace, and its report as numbers. */
import type { Namespace } from './namespaces.ts'
import { isRoot } from './process.ts'
import { widenReceiveBuffers } from './roomy-sockets.ts'

/** What perfdhcp counted for one kind of exchange. */
export interface ExchangeReport {
  readonly sent: number
  readonly received: number
  /** Messages without an answer within the drop time (1 s). */
  readonly drops: number
  /** Drops of sent messages, 0 to 1; 0 when nothing was sent. */
  readonly dropRatio: number
  /** Answers that belong to no exchange that is open: duplicate, late or not related. */
  readonly orphans: number
  readonly rejectedLeases: number
  /** Addresses that were given twice; counted only with `-u`. */
  readonly nonUniqueAddresses: number
  /** Time from message to answer, milliseconds; undefined when there was none. */
  readonly delayMs: { readonly min: number; readonly average: number; readonly max: number } | undefined
}

/** The report of a run. */
export interface PerfReport {
  /**
   * 0: complete success. 3: it ran, but an exchange was not completed. 1: general error. 2: bad arguments. Runs with
   * DHCPv4 releases end with 3 whatever happens, since a DHCPRELEASE has no answer.
   */
  readonly exitCode: number | null
  /** Completed four-way exchanges a second, over the whole run with the waiting at its end. */
  readonly rate: number
  readonly malformedPackets: number
  /** By perfdhcp's name: `DISCOVER-OFFER`, `REQUEST-ACK`, `SOLICIT-ADVERTISE`, `REQUEST-REPLY`, `RENEW-REPLY` … */
  readonly exchanges: Readonly<Record<string, ExchangeReport>>
  /** The report as printed, for a failure's message. */
  readonly text: string
}

/** Reads what perfdhcp printed at its end. Throws with the text when it is no report. */
export const parsePerfReport = (text: string, exitCode: number | null): PerfReport => {
  const rate = /^Rate: ([\d.]+) /m.exec(text)?.[1]
  const malformed = /^Malformed packets: (\d+)/m.exec(text)?.[1]
  if (rate === undefined || malformed === undefined) throw new Error(`perfdhcp (exit code ${exitCode}):\n${text}`)
  const [, ...sections] = text.split('***Statistics for: ')
  const exchanges = sections.map(
    (section) => [section.slice(0, section.indexOf('***')), readExchange(section)] as const,
  )
  return {
    exitCode,
    rate: Number(rate),
    malformedPackets: Number(malformed),
    exchanges: Object.fromEntries(exchanges),
    text,
  }
}

const readExchange = (section: string): ExchangeReport => {
  const find = (label: string) => new RegExp(`^${label}: ([\\d.]+)( ms)?$`, 'm').exec(section)?.[1]
  const count = (label: string): number => {
    const value = find(label)
    if (value === undefined) throw new Error(`perfdhcp reports no ${label}:\n${section}`)
    return Number(value)
  }
  const [min, average, max] = [find('min delay'), find('avg delay'), find('max delay')]
  const sent = count('sent packets')
  const drops = count('drops')
  return {
    sent,
    received: count('received packets'),
    drops,
    // From the counts: the printed ratio is rounded, and "-nan %" when nothing was sent.
    dropRatio: sent === 0 ? 0 : drops / sent,
    orphans: count('orphans'),
    rejectedLeases: count('rejected leases'),
    nonUniqueAddresses: count('non unique addresses'),
    delayMs:
      min === undefined || average === undefined || max === undefined
        ? undefined
        : { min: Number(min), average: Number(average), max: Number(max) },
  }
}

/** What perfdhcp is to play. */
export interface PerfPlan {
  readonly namespace: Namespace
  readonly family: 4 | 6
  /** Interface (broadcast, multicast), or for DHCPv4 behind a relay the address to be relay with. */
  readonly local: string
  /** Server's address; default broadcast for DHCPv4, All_DHCP_Relay_Agents_and_Servers for DHCPv6. */
  readonly server?: string
  /** Exchanges to begin a second. */
  readonly ratePerSec: number
  /** End after this many exchanges or seconds, whichever comes first; one of them is needed. */
  readonly exchanges?: number
  readonly periodSec?: number
  /** Number of different clients. Clients take turns, so as many as exchanges means that each comes once. */
  readonly clients: number
  /** DHCPv6: what is asked for; default an address. */
  readonly lease?: 'address-only' | 'prefix-only' | 'address-and-prefix'
  /** DHCPv6: wrap in one Relay-forward. */
  readonly relayed?: boolean
  readonly renewPerSec?: number
  readonly releasePerSec?: number
  /** Further words of perfdhcp's command line. */
  readonly more?: readonly string[]
}

/** Room for some ten thousand answers. */
const RECEIVE_BUFFER_OCTETS = 8 << 20

/** Runs perfdhcp to its end. Rejects when it printed no report; drops and refusals are in the report. */
export const runPerfdhcp = async (plan: PerfPlan): Promise<PerfReport> => {
  const number = (flag: string, value: number | undefined) => (value === undefined ? [] : [flag, String(value)])
  const words = [
    `-${plan.family}`,
    ...(plan.family === 4 && plan.server === undefined ? ['-B'] : []),
    ...number('-r', plan.ratePerSec),
    ...number('-n', plan.exchanges),
    ...number('-p', plan.periodSec),
    ...number('-R', plan.clients),
    ...number('-f', plan.renewPerSec),
    ...number('-F', plan.releasePerSec),
    ...(plan.lease === undefined ? [] : ['-e', plan.lease]),
    ...(plan.relayed === true ? ['-A', '1'] : []),
    '-u',
    // Wait for the last answers: without this, what is on its way at the end counts as dropped. Microseconds.
    ...['-W', '1000000'],
    ...(plan.more ?? []),
    ...['-l', plan.local],
    ...(plan.server === undefined ? [] : [plan.server]),
  ]
  const seconds = Math.min(plan.periodSec ?? Infinity, (plan.exchanges ?? Infinity) / plan.ratePerSec)
  const timeoutMs = (seconds + 30) * 1000
  // Its receive buffer is small, and it has no option for that: where it has to wait for a processor, answers that came in a
  // burst are lost at its socket and counted as drops. It goes before what it measures, and its buffer is made larger from
  // without; only root may do either.
  const first = isRoot() ? ['nice', '-n', '-15'] : []
  const onStart = (pid: number): void => {
    if (isRoot()) void widenReceiveBuffers(pid, RECEIVE_BUFFER_OCTETS)
  }
  const { code, stdout, stderr } = await plan.namespace.run([...first, 'perfdhcp', ...words], { timeoutMs, onStart })
  return parsePerfReport(stdout + stderr, code)
}
