/** The parts of `Dhcp4` and `Dhcp6` that belong to the whole service. */
import * as O from 'fp-ts/lib/Option.js'
import { parseIp4, parseIp6 } from '../../domain/address.ts'
import { hookStandIn } from './keys.ts'
import type {
  ExpiredProcessing,
  InterfaceChoice,
  Interfaces,
  ListenAddress,
  LoggerConfig,
  SanityChecks,
} from './model.ts'
import type { Report } from './report.ts'
import type { ExpiredText, GlobalFields, InterfacesText, LoggerText, SanityText } from './shapes.ts'

const RETRY_WAIT_MS = 5000

const DECLINE_PROBATION_SEC = 86_400

/** What both services have, without their options. */
export const sharedService = (
  global: GlobalFields,
  universe: 4 | 6,
  listen: readonly ListenAddress[],
  report: Report,
) => ({
  interfaces: resolveInterfaces(global['interfaces-config'], universe, listen, report),
  expiredProcessing: resolveExpired(global['expired-leases-processing']),
  sanityChecks: resolveSanity(global['sanity-checks']),
  declineProbationSec: global['decline-probation-period'] ?? DECLINE_PROBATION_SEC,
  reservationsLookupFirst: global['reservations-lookup-first'] ?? false,
  earlyGlobalReservationsLookup: global['early-global-reservations-lookup'] ?? false,
  ipReservationsUnique: global['ip-reservations-unique'] ?? true,
})

/** Says of settings that are read, and are off in Kea unless they are asked for, that they change nothing here. */
export const noticeUnused = (global: GlobalFields, report: Report): void => {
  if (global['interfaces-config']?.['outbound-interface'] === 'use-routing') {
    report.ignore('outbound-interface', 'replies leave by the interface that the message came in by')
  }
  if (global['early-global-reservations-lookup'] === true) {
    report.ignore('early-global-reservations-lookup', 'reservations-global lets global reservations choose the subnet')
  }
}

/** Where to listen; `listen` comes from the object LeaseLedger. */
const resolveInterfaces = (
  written: InterfacesText | undefined,
  universe: 4 | 6,
  listen: readonly ListenAddress[],
  report: Report,
): Interfaces => {
  const choices = (written?.interfaces ?? []).map((entry, index) =>
    choiceOf(entry, universe, [...(written?.at ?? []), 'interfaces', index], report),
  )
  for (const [index, entry] of (written?.interfaces ?? []).entries()) {
    if (written?.interfaces?.indexOf(entry) === index) continue
    report.error([...(written?.at ?? []), 'interfaces', index], `the interface ${entry} is given twice`)
  }
  if (choices.length === 0 && listen.length === 0) {
    report.warn(`Dhcp${universe} has no interfaces-config.interfaces: no client on a link is served`)
  }
  return {
    choices: choices.filter((choice) => choice !== undefined),
    socketType: written?.['dhcp-socket-type'] ?? 'raw',
    outbound: written?.['outbound-interface'] ?? 'same-as-inbound',
    reDetect: written?.['re-detect'] ?? true,
    retriesMax: written?.['service-sockets-max-retries'] ?? 0,
    retryWaitMs: written?.['service-sockets-retry-wait-time'] ?? RETRY_WAIT_MS,
    requireAll: written?.['service-sockets-require-all'] ?? false,
    listen,
  }
}

/** Longest name of a network interface on Linux, octets without the final zero. */
const INTERFACE_NAME_OCTETS_MAX = 15

const choiceOf = (
  entry: string,
  universe: 4 | 6,
  at: ReadonlyArray<string | number>,
  report: Report,
): InterfaceChoice | undefined => {
  const slash = entry.indexOf('/')
  const name = (slash < 0 ? entry : entry.slice(0, slash)).trim()
  const address = slash < 0 ? undefined : entry.slice(slash + 1).trim()
  const parse = universe === 4 ? parseIp4 : parseIp6
  const good =
    /^[^\s/]+$/.test(name) &&
    Buffer.byteLength(name) <= INTERFACE_NAME_OCTETS_MAX &&
    (address === undefined || (name !== '*' && O.isSome<number | bigint>(parse(address))))
  if (good) return { name, address }
  const example = universe === 4 ? 'eth0/198.51.100.1' : 'eth0/2001:db8::1'
  report.error(at, `expected "eth0", "${example}" or "*", found "${entry}"`)
  return undefined
}

/** Kea's defaults of `expired-leases-processing`. */
const resolveExpired = (written: ExpiredText | undefined): ExpiredProcessing => ({
  reclaimTimerWaitSec: written?.['reclaim-timer-wait-time'] ?? 10,
  flushReclaimedTimerWaitSec: written?.['flush-reclaimed-timer-wait-time'] ?? 25,
  holdReclaimedSec: written?.['hold-reclaimed-time'] ?? 3600,
  reclaimLeasesMax: written?.['max-reclaim-leases'] ?? 100,
  reclaimTimeMsMax: written?.['max-reclaim-time'] ?? 250,
  unwarnedReclaimCycles: written?.['unwarned-reclaim-cycles'] ?? 5,
})

/** Kea's defaults of `sanity-checks`. */
const resolveSanity = (written: SanityText | undefined): SanityChecks => ({
  leaseChecks: written?.['lease-checks'] ?? 'warn',
  extendedInfoChecks: written?.['extended-info-checks'] ?? 'fix',
})

/** Says for each hook library what stands in for it; one that is not Kea's is an error. */
export const checkHooks = (written: GlobalFields['hooks-libraries'], report: Report): void => {
  for (const { at, library } of written ?? []) {
    const standIn = hookStandIn(library)
    const file = library.slice(library.lastIndexOf('/') + 1)
    if (standIn !== undefined) report.warn(`the hook library ${file} is not loaded: ${standIn}`)
    else
      report.error([...at, 'library'], `expected a hook library of Kea, found "${library}"; no library is loaded here`)
  }
}

/** Whether reservations by flexible identifiers are meant to work. */
export const wantsFlexibleIds = (written: GlobalFields['hooks-libraries']): boolean =>
  (written ?? []).some(({ library }) => library.includes('libdhcp_flex_id'))

const LOG_OCTETS_MAX = 10_240_000

/** Loggers of either protocol, in order. */
export const resolveLoggers = (written: readonly LoggerText[], report: Report): readonly LoggerConfig[] =>
  written.map((logger) => ({
    name: logger.name,
    severity: logger.severity ?? 'INFO',
    debugLevel: logger.debuglevel ?? 0,
    outputs: (logger['output-options'] ?? logger.output_options ?? []).map((output) => {
      if (output.pattern) report.ignore('pattern', 'log files have a JSON object on each line')
      return {
        output: output.output,
        flush: output.flush ?? true,
        sizeMax: output.maxsize ?? LOG_OCTETS_MAX,
        versionsMax: output.maxver ?? 1,
        pattern: output.pattern || undefined,
      }
    }),
  }))
