/** ISC's load generator perfdhcp between namespaces, and its report in numbers. */
import type { Namespace } from './namespaces.ts'

/** A load: four-way exchanges (DORA, SARR), each of a client of its own, at an even rate. */
export interface Load {
  readonly family: 4 | 6
  /** Where perfdhcp runs, and its device towards the server. DHCPv4 needs an address there: perfdhcp plays a relay. */
  readonly namespace: Namespace
  readonly device: string
  /** Exchanges a second. */
  readonly rate: number
  readonly seconds: number
  /** What a DHCPv6 client asks for; default an address. */
  readonly lease?: 'address-only' | 'prefix-only' | 'address-and-prefix'
  /** Renewals a second of leases from this run, beside the exchanges and with releases at most as many; default 0. */
  readonly renewRate?: number
  /** Releases a second of leases from this run, beside the exchanges, never one that was renewed; default 0. */
  readonly releaseRate?: number
  /** Twelve digits of the first client's hardware address; runs after one another need different ones. */
  readonly firstClient?: string
  /** More clients than this are not played: they come again in turn. Default: every exchange is of a new client. */
  readonly clients?: number
  /** How long to wait for replies after the last packet. ms; default 1,000. */
  readonly exitWaitMs?: number
  /** Where packets are sent; default broadcast, or the group ff02::1:2. */
  readonly server?: string
}

/** One pair of a packet and its answer. Delays in ms, undefined where nothing was received. */
export interface ExchangeReport {
  readonly sent: number
  readonly received: number
  readonly drops: number
  /** Drops in a packet sent, 0 to 1. */
  readonly dropRatio: number
  /** Answers that fit no packet sent. perfdhcp counts the answers to renewals here too, among those to requests. */
  readonly orphans: number
  /** Answers without a lease, or with a failure as status. */
  readonly rejected: number
  /** Answers with an address that a client of this run already had, be it released since. */
  readonly notUnique: number
  readonly delayMs: { readonly min: number; readonly avg: number; readonly max: number } | undefined
}

/** What became of a load. `renew` and `release` where they were asked for. */
export interface LoadReport {
  /** Complete four-way exchanges a second, as perfdhcp counts them. */
  readonly rate: number
  readonly malformed: number
  /** DISCOVER and OFFER; Solicit and Advertise. */
  readonly discover: ExchangeReport
  /** REQUEST and ACK; Request and Reply. */
  readonly request: ExchangeReport
  readonly renew: ExchangeReport | undefined
  /** DHCPv4 has no answer to a release: all count as drops. */
  readonly release: ExchangeReport | undefined
  /** perfdhcp's own report. */
  readonly text: string
}

/** Runs a load to its end. Rejects when perfdhcp cannot run; drops are no error but numbers of the report. */
export const runPerfdhcp = async (load: Load): Promise<LoadReport> => {
  const finished = await load.namespace.run(['perfdhcp', ...words(load)], {
    timeoutMs: load.seconds * 1_000 + (load.exitWaitMs ?? 1_000) + 20_000,
  })
  // 3 says that some exchange was not completed, which the numbers say too.
  if (finished.code !== 0 && finished.code !== 3) {
    throw new Error(`perfdhcp: exit code ${finished.code ?? finished.signal}\n${finished.stdout}${finished.stderr}`)
  }
  return parseReport(finished.stdout)
}

const words = (load: Load): readonly string[] => {
  const { family, rate, seconds, renewRate = 0, releaseRate = 0, firstClient, server } = load
  const lease = load.lease === undefined ? [] : ['-e', load.lease]
  const base = firstClient === undefined ? [] : ['-b', `mac=${firstClient.match(/../g)?.join(':')}`]
  return [
    `-${family}`,
    ...['-l', load.device, '-r', String(rate), '-p', String(seconds)],
    ...['-R', String(load.clients ?? 2 * rate * seconds), '-W', String((load.exitWaitMs ?? 1_000) * 1_000), '-u'],
    ...lease,
    ...base,
    ...(renewRate === 0 ? [] : ['-f', String(renewRate)]),
    ...(releaseRate === 0 ? [] : ['-F', String(releaseRate)]),
    ...(server === undefined ? (family === 6 ? ['all'] : []) : [server]),
  ]
}

/** Reads perfdhcp's report; throws when the two exchanges of every load are not in it. */
export const parseReport = (text: string): LoadReport => {
  const sections = new Map<string, string>()
  const [head = '', ...rest] = text.split('***Statistics for: ')
  for (const section of rest) {
    const end = section.indexOf('***')
    sections.set(section.slice(0, end), section.slice(end))
  }
  const exchange = (...names: readonly string[]): ExchangeReport | undefined => {
    const section = names.map((name) => sections.get(name)).find((found) => found !== undefined)
    return section === undefined ? undefined : readExchange(section)
  }
  const discover = exchange('DISCOVER-OFFER', 'SOLICIT-ADVERTISE')
  const request = exchange('REQUEST-ACK', 'REQUEST-REPLY')
  if (discover === undefined || request === undefined) throw new Error(`not a report of perfdhcp:\n${text}`)
  return {
    rate: number(head, /Rate: ([\d.]+)/),
    malformed: number(head, /Malformed packets: (\d+)/),
    discover,
    request,
    renew: exchange('REQUEST-ACK (renewal)', 'RENEW-REPLY'),
    release: exchange('RELEASE', 'RELEASE-REPLY'),
    text,
  }
}

const readExchange = (section: string): ExchangeReport => {
  const sent = number(section, /sent packets: (\d+)/)
  const drops = number(section, /drops: (-?\d+)/)
  const delay = (name: string): number => number(section, new RegExp(`${name} delay: ([\\d.]+) ms`))
  return {
    sent,
    received: number(section, /received packets: (\d+)/),
    drops,
    dropRatio: sent === 0 ? 0 : drops / sent,
    orphans: number(section, /orphans: (\d+)/),
    rejected: number(section, /rejected leases: (\d+)/),
    notUnique: number(section, /non unique addresses: (\d+)/),
    delayMs: /min delay: [\d.]+ ms/.test(section)
      ? { min: delay('min'), avg: delay('avg'), max: delay('max') }
      : undefined,
  }
}

const number = (text: string, pattern: RegExp): number => {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`no ${pattern} in a report of perfdhcp:\n${text}`)
  return Number(found)
}
