/** What subnets take over from shared networks and the global scope. */
import { hostnameRules } from './hostnames.ts'
import type {
  ClassRules,
  ClientClass,
  HostnameRules,
  LeaseCache,
  Lifetimes,
  ReservationModes,
  Timers,
} from './model.ts'
import type { Report } from './report.ts'
import type { Placed } from './shape.ts'
import type { RuleFields, ScopeFields } from './shapes.ts'

/** Scopes from the innermost to the global one. */
export type Chain<S extends Placed = ScopeFields> = readonly S[]

/** The value of the innermost scope that has one. */
export const nearest = <S extends Placed, K extends keyof S>(chain: Chain<S>, key: K): S[K] | undefined => {
  for (const scope of chain) if (scope[key] !== undefined) return scope[key]
  return undefined
}

const DEFAULT_VALID_SEC = 7200
/** Share of the valid lifetime that is the preferred one where nothing else is said, as in Kea. */
const PREFERRED_SHARE = 0.625

type LifetimeKind = 'valid' | 'preferred'
type LifetimeFields = Placed & {
  readonly [K in `${'' | 'min-' | 'max-'}${LifetimeKind}-lifetime`]?: number | undefined
}

/** Bounds and default of the valid lifetime. */
export const validLifetimes = (chain: Chain, report: Report): Lifetimes =>
  lifetimes(chain, 'valid', DEFAULT_VALID_SEC, report)

/** Bounds and default of the preferred lifetime, which follows the valid one where it is not given. */
export const preferredLifetimes = (chain: Chain<LifetimeFields>, valid: Lifetimes, report: Report): Lifetimes => {
  const fallback = valid.default === 0xffffffff ? valid.default : Math.floor(valid.default * PREFERRED_SHARE)
  const preferred = lifetimes(chain, 'preferred', fallback, report)
  if (preferred.default <= valid.default) return preferred
  // Clients discard what is preferred for longer than it is valid (RFC 8415 §21.6).
  report.warn(`preferred-lifetime ${preferred.default} is cut to valid-lifetime ${valid.default} where that is shorter`)
  const cut = (value: number): number => Math.min(value, valid.default)
  return { min: cut(preferred.min), default: cut(preferred.default), max: cut(preferred.max) }
}

const has = (scope: LifetimeFields, kind: LifetimeKind): boolean =>
  scope[`${kind}-lifetime`] !== undefined ||
  scope[`min-${kind}-lifetime`] !== undefined ||
  scope[`max-${kind}-lifetime`] !== undefined

/** The three go together: the innermost scope that names any of them decides on all, as in Kea. */
const lifetimes = (chain: Chain<LifetimeFields>, kind: LifetimeKind, fallback: number, report: Report): Lifetimes => {
  const at = chain.findIndex((scope) => has(scope, kind))
  const scope = chain[at]
  if (scope === undefined) return { min: fallback, default: fallback, max: fallback }
  const outer = nearest(chain.slice(at + 1), `${kind}-lifetime`) ?? fallback
  return ownLifetimes(scope, kind, outer, report)
}

/** Lifetimes of one scope; undefined when it says nothing. */
export const classLifetimes = (
  scope: LifetimeFields,
  kind: LifetimeKind,
  outer: number,
  report: Report,
): Lifetimes | undefined => (has(scope, kind) ? ownLifetimes(scope, kind, outer, report) : undefined)

const ownLifetimes = (scope: LifetimeFields, kind: LifetimeKind, outer: number, report: Report): Lifetimes => {
  const min = scope[`min-${kind}-lifetime`]
  const max = scope[`max-${kind}-lifetime`]
  const given = scope[`${kind}-lifetime`]
  const chosen = given ?? Math.min(Math.max(outer, min ?? 0), max ?? 0xffffffff)
  const wrong = (key: string, message: string): void => report.error([...scope.at, key], message)
  if (min !== undefined && max !== undefined && min > max) {
    wrong(`min-${kind}-lifetime`, `expected at most max-${kind}-lifetime, which is ${max}, found ${min}`)
  } else if (given !== undefined && min !== undefined && min > given) {
    wrong(`min-${kind}-lifetime`, `expected at most ${kind}-lifetime, which is ${given}, found ${min}`)
  } else if (given !== undefined && max !== undefined && max < given) {
    wrong(`max-${kind}-lifetime`, `expected at least ${kind}-lifetime, which is ${given}, found ${max}`)
  }
  return { min: min ?? chosen, default: chosen, max: max ?? chosen }
}

/** What differs between the protocols: whether T1 and T2 are sent unasked, and the share that is T2. */
const TEE = { 4: { calculate: false, t2: 0.875 }, 6: { calculate: true, t2: 0.8 } } as const

/** T1 and T2. What contradicts itself in one scope is an error; across scopes it is only said. */
const timersOf = (chain: Chain, universe: 4 | 6, valid: Lifetimes, report: Report): Timers => {
  const renewSec = nearest(chain, 'renew-timer')
  const rebindSec = nearest(chain, 'rebind-timer')
  const t1Percent = nearest(chain, 't1-percent') ?? 0.5
  const t2Percent = nearest(chain, 't2-percent') ?? TEE[universe].t2
  if (renewSec !== undefined && rebindSec !== undefined && renewSec >= rebindSec) {
    report.warn(`renew-timer ${renewSec} is not below rebind-timer ${rebindSec}: T1 is not sent there`)
  }
  if (rebindSec !== undefined && rebindSec >= valid.default) {
    report.warn(`rebind-timer ${rebindSec} is not below valid-lifetime ${valid.default}: T2 is not sent there`)
  }
  const calculateTeeTimes = nearest(chain, 'calculate-tee-times') ?? TEE[universe].calculate
  return { renewSec, rebindSec, calculateTeeTimes, t1Percent, t2Percent }
}

/** Reports timers and percentages of one scope that contradict one another. */
export const checkTimers = (scope: ScopeFields, report: Report): void => {
  const renew = scope['renew-timer']
  const rebind = scope['rebind-timer']
  const valid = scope['valid-lifetime']
  const below = (key: keyof ScopeFields & string, value: number | undefined, other: string, limit?: number): void => {
    if (value === undefined || limit === undefined || value < limit) return
    report.error([...scope.at, key], `expected less than ${other}, which is ${limit}, found ${value}`)
  }
  below('renew-timer', renew, 'rebind-timer', rebind)
  below('rebind-timer', rebind, 'valid-lifetime', valid)
  if (rebind === undefined) below('renew-timer', renew, 'valid-lifetime', valid)
  below('t1-percent', scope['t1-percent'], 't2-percent', scope['t2-percent'])
}

/** Which reservations count; `reservation-mode` is the one key that older releases of Kea have for it. */
const reservationModes = (chain: Chain): ReservationModes => {
  const old: Readonly<Record<string, ReservationModes>> = {
    disabled: { global: false, inSubnet: false, outOfPool: false },
    off: { global: false, inSubnet: false, outOfPool: false },
    'out-of-pool': { global: false, inSubnet: true, outOfPool: true },
    global: { global: true, inSubnet: false, outOfPool: false },
    all: { global: false, inSubnet: true, outOfPool: false },
  }
  const mode = old[nearest(chain, 'reservation-mode') ?? '']
  return {
    global: nearest(chain, 'reservations-global') ?? mode?.global ?? false,
    inSubnet: nearest(chain, 'reservations-in-subnet') ?? mode?.inSubnet ?? true,
    outOfPool: nearest(chain, 'reservations-out-of-pool') ?? mode?.outOfPool ?? false,
  }
}

/** Lease caching; off where nothing is said, since for an audit it leaves gaps. */
const cacheOf = (chain: Chain): LeaseCache => ({
  threshold: nearest(chain, 'cache-threshold') ?? 0,
  maxAgeSec: nearest(chain, 'cache-max-age'),
})

const hostnamesOf = (chain: Chain, report: Report): HostnameRules | undefined =>
  hostnameRules(
    chain.find((scope) => scope['hostname-char-set'] !== undefined),
    nearest(chain, 'hostname-char-replacement'),
    report,
  )

/** Rules about classes, under the newer and older names. */
export const classRules = (
  written: RuleFields,
  classes: ReadonlyMap<string, ClientClass>,
  report: Report,
): ClassRules => {
  const single = written['client-class']
  if (single && written['client-classes'] !== undefined) {
    report.error([...written.at, 'client-class'], 'expected only one of client-class and client-classes', 'key')
  }
  if (written['evaluate-additional-classes'] !== undefined && written['require-client-classes'] !== undefined) {
    const message = 'expected only one of evaluate-additional-classes and require-client-classes'
    report.error([...written.at, 'require-client-classes'], message, 'key')
  }
  const clientClasses = written['client-classes'] ?? (single ? [single] : [])
  const additionalClasses = written['evaluate-additional-classes'] ?? written['require-client-classes'] ?? []
  for (const name of [...clientClasses, ...additionalClasses]) {
    if (!classes.has(name) && !isBuiltInClass(name)) {
      report.warn(`the class ${name} is not defined: only reservations can put a client in it`)
    }
  }
  return { clientClasses, additionalClasses }
}

/** Classes that exist without a definition. */
export const isBuiltInClass = (name: string): boolean =>
  ['ALL', 'KNOWN', 'UNKNOWN', 'BOOTP', 'DROP', 'SKIP_DDNS'].includes(name) ||
  /^(VENDOR_CLASS_|HA_|AFTER_|EXTERNAL_)/.test(name)

/** Classes of an inner scope that has none of its own are those of the scope around it. */
export const inheritRules = (inner: ClassRules, outer: ClassRules): ClassRules => ({
  clientClasses: inner.clientClasses.length > 0 ? inner.clientClasses : outer.clientClasses,
  additionalClasses: [...new Set([...inner.additionalClasses, ...outer.additionalClasses])],
})

/** Relay addresses under the newer and older name. */
export const relayAddresses = <A>(
  relay: { readonly 'ip-address'?: A | undefined; readonly 'ip-addresses'?: readonly A[] | undefined } | undefined,
): readonly A[] => {
  const single = relay?.['ip-address']
  return [...(single === undefined ? [] : [single]), ...(relay?.['ip-addresses'] ?? [])]
}

/** What subnets of both protocols take over in the same way. */
export const sharedTerms = (chain: Chain, universe: 4 | 6, report: Report) => {
  const validLifetime = validLifetimes(chain, report)
  return {
    allocator: nearest(chain, 'allocator') ?? ('hashed' as const),
    validLifetime,
    timers: timersOf(chain, universe, validLifetime, report),
    cache: cacheOf(chain),
    adaptiveLeaseTimeThreshold: nearest(chain, 'adaptive-lease-time-threshold'),
    reservationModes: reservationModes(chain),
    storeExtendedInfo: nearest(chain, 'store-extended-info') ?? false,
    hostnameRules: hostnamesOf(chain, report),
  }
}
