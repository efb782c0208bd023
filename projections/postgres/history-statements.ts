/** The table of spans in PostgreSQL: its columns, the statement that merges rows into it, and those that ask it. */
import type { Ending, IdentifierKind, Place, SpanLease, SpanRow } from '../history.ts'
import { identifierOf, searchable } from '../history.ts'
import { addressText, categoryOf } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { FOREVER } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { Relay } from '../../domain/lease.ts'
import { element, literal, momentGiven } from './columns.ts'

/**
 * How far the clocks of two servers may be apart before the database refuses what they say, ms: a lease that one of
 * them took back before its time may have been given anew by another one up to that much earlier, by its own clock.
 */
const CLOCK_TOLERANCE_MS = 5_000

/** Stands for "no event": greater than every revision. */
const NONE = Number.MAX_SAFE_INTEGER

/** `key` names the span, `bound` columns follow the last event that bound it, `first` the first, `end` the ending. */
type Part = 'key' | 'bound' | 'first' | 'end' | 'formerly'

/**
 * A column: its name and part, what an element of its array literal is and of what type, and the expression that makes
 * the value of that. What most spans have alike is not sent: an array without elements costs nothing.
 */
interface Column {
  readonly name: string
  readonly type: string
  readonly part: Part
  readonly write: (row: SpanRow) => string | number | null
  readonly store: (given: string) => string
}

const EPOCH: Place = { revision: -1, log: '', seq: 0, at: 0 }
const lastOf = (row: SpanRow): Place => row.last ?? EPOCH
const firstOf = (row: SpanRow): Place => row.first ?? { ...EPOCH, revision: NONE }

const columnOf =
  (part: Part) =>
  (name: string, type: string, write: Column['write'], store: Column['store'] = (given) => given): Column => ({
    name,
    type,
    part,
    write,
    store,
  })

const momentOf =
  (part: Part) =>
  (name: string, at: (row: SpanRow) => Instant | undefined, store: Column['store'] = (given) => given): Column => ({
    name,
    type: 'float8',
    part,
    write: (row) => {
      const value = at(row)
      return value === undefined ? null : Math.min(Math.max(Math.trunc(value), 0), FOREVER)
    },
    store: (given) => momentGiven(store(given)),
  })

const or =
  (otherwise: string) =>
  (given: string): string =>
    `coalesce(${given}, ${otherwise})`

const key = columnOf('key')
const bound = columnOf('bound')
const first = columnOf('first')
const end = columnOf('end')

/** What the first event says; undefined when it is the last one too. */
const ofFirst = (row: SpanRow): Place | undefined =>
  row.first !== undefined && row.first === row.last ? undefined : firstOf(row)

const text = (value: string | undefined): string | null => (value === undefined ? null : searchable(value))

const whole = (value: number | undefined, max: number): number | null =>
  value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : null

/** JSON in which no character is one that PostgreSQL has no text for. */
const relayText = (relay: Relay | undefined): string | null =>
  relay === undefined
    ? null
    : JSON.stringify(Object.fromEntries(Object.entries(relay).map(([field, value]) => [field, searchable(value)])))

/**
 * The time that a span held for sure; see the migrations for what the database may rely on. From the names of the values
 * that it is made of.
 */
const heldOf = (value: (name: string) => string): string => {
  const starts = value('starts_at')
  return `CASE WHEN ${value('bound_revision')} < 0 THEN 'empty'
         WHEN ${value('end_by')} IS NULL THEN tstzrange(${starts}, ${starts}, '[]')
         ELSE tstzrange(${starts}, greatest(${starts}, least(${value('ended_at')}, ${value('granted_to')})
           - CASE ${value('end_by')} WHEN 'expired' THEN '0' ELSE '${CLOCK_TOLERANCE_MS} ms' END::interval)) END`
}

const COLUMNS: ReadonlyArray<Column> = [
  key('address', 'inet', (row) => addressText(row.stream)),
  momentOf('key')('starts_at', (row) => row.startsAt),
  key('holder', 'text', (row) => row.holder.toWellFormed().replaceAll('\0', '\uFFFD')),
  key('category', 'text', (row) => categoryOf(row.stream)),
  bound('bound_revision', 'bigint', (row) => lastOf(row).revision),
  momentOf('bound')('bound_at', (row) => lastOf(row).at),
  bound('bound_log', 'text', (row) => lastOf(row).log),
  bound('bound_seq', 'bigint', (row) => lastOf(row).seq),
  momentOf('bound')('granted_to', (row) => row.lease.expiresAt),
  bound('renewals', 'bigint', (row) => whole(row.lease.renewals, Number.MAX_SAFE_INTEGER) || null, or('0')),
  bound('valid_lifetime', 'bigint', (row) => whole(row.lease.validLifetimeSec, 2 ** 32) ?? 0),
  bound('hwtype', 'int', (row) => whole(row.lease.hwType, 2 ** 31 - 1)),
  bound('mac', 'text', (row) => identifierOf(row.lease, 'mac') ?? null),
  bound('client_id', 'text', (row) => identifierOf(row.lease, 'client-id') ?? null),
  bound('duid', 'text', (row) => identifierOf(row.lease, 'duid') ?? null),
  bound('iaid', 'bigint', (row) => whole(row.lease.iaid, 2 ** 32)),
  bound('hostname', 'text', (row) => text(row.lease.hostname)),
  bound('circuit_id', 'text', (row) => identifierOf(row.lease, 'circuit-id') ?? null),
  bound('remote_id', 'text', (row) => identifierOf(row.lease, 'remote-id') ?? null),
  bound('relay', 'json', (row) => relayText(row.lease.relay)),
  bound('subnet_id', 'bigint', (row) => whole(row.lease.subnetId, 2 ** 32) ?? 0),
  bound('pool_id', 'bigint', (row) => whole(row.lease.poolId, 2 ** 32) ?? 0),
  first('first_revision', 'bigint', (row) => ofFirst(row)?.revision ?? null, or('incoming.bound_revision')),
  momentOf('first')('first_at', (row) => ofFirst(row)?.at, or('incoming.bound_at')),
  first('first_log', 'text', (row) => ofFirst(row)?.log ?? null, or('incoming.bound_log')),
  first('first_seq', 'bigint', (row) => ofFirst(row)?.seq ?? null, or('incoming.bound_seq')),
  end('end_revision', 'bigint', (row) => row.end?.revision ?? null, or(String(NONE))),
  end('end_by', 'text', (row) => row.end?.by ?? null),
  momentOf('end')('ended_at', (row) => row.end?.until),
  momentOf('end')('end_at', (row) => row.end?.at),
  end('end_log', 'text', (row) => row.end?.log ?? null),
  end('end_seq', 'bigint', (row) => row.end?.seq ?? null),
  columnOf('formerly')(
    'formerly',
    'text',
    (row) => (row.formerly.length === 0 ? null : arrayText(row.formerly)),
    (given) => `${given}::text[]`,
  ),
]

const arrayText = (texts: ReadonlyArray<string>): string => `{${texts.map(element).join(',')}}`

const NAMES = COLUMNS.map(({ name }) => name).join(', ')

/** How many parameters {@link writeSpans} takes. */
export const SPAN_PARAMETERS = COLUMNS.length

/** One array literal a column, in order. */
export const spanLiterals = (rows: ReadonlyArray<SpanRow>): ReadonlyArray<string> =>
  COLUMNS.map(({ write }) => literal(rows, write))

const NEWER =
  '(excluded.bound_revision > here.bound_revision OR ' +
  '(excluded.bound_revision = here.bound_revision AND excluded.end_revision < here.end_revision))'

const EARLIER = 'excluded.first_revision < here.first_revision'

/** Whether the incoming row says how the span ended: its ending stands, and the one that is known does not or is later. */
const ENDS =
  'excluded.end_revision >= here.bound_revision AND ' +
  '(excluded.end_revision < here.end_revision OR here.end_revision < excluded.bound_revision)'

const LASTING = 'here.end_revision >= excluded.bound_revision'

const IDENTIFIERS: ReadonlyArray<readonly [IdentifierKind, string]> = [
  ['mac', 'mac'],
  ['client-id', 'client_id'],
  ['duid', 'duid'],
  ['hostname', 'lower(hostname)'],
  ['circuit-id', 'circuit_id'],
  ['remote-id', 'remote_id'],
]

/** An empty name is none. */
const inRow = (row: string, expression: string): string =>
  expression.startsWith('lower(') ? `nullif(lower(${row}.hostname), '')` : `${row}.${expression}`

const known = (row: string): string =>
  `array_remove(ARRAY[${IDENTIFIERS.map(([kind, column]) => `'${kind}=' || ${inRow(row, column)}`).join(', ')}], NULL)`

const changed = ['mac', 'client_id', 'duid', 'hostname', 'circuit_id', 'remote_id']
  .map((column) => `here.${column} IS DISTINCT FROM excluded.${column}`)
  .join(' OR ')

/** Union of what both were known by, less what the newer one is known by; nothing to do when nothing changed. */
const FORMERLY = `
    CASE WHEN here.formerly IS NOT NULL OR excluded.formerly IS NOT NULL OR
              (here.bound_revision >= 0 AND excluded.bound_revision >= 0 AND (${changed}))
    THEN (
      SELECT array_agg(DISTINCT text COLLATE "C" ORDER BY text COLLATE "C")
      FROM unnest(here.formerly || excluded.formerly || ${known('here')} || ${known('excluded')}) AS text
      WHERE text <> ALL (CASE WHEN ${NEWER} THEN ${known('excluded')} ELSE ${known('here')} END)
    ) END`

const ending = (name: string): string =>
  `CASE WHEN ${ENDS} THEN excluded.${name} WHEN ${LASTING} THEN here.${name}` +
  `${name === 'end_revision' ? ` ELSE ${NONE}` : ''} END`

const latest = (name: string): string => `CASE WHEN ${NEWER} THEN excluded.${name} ELSE here.${name} END`

const merged = ({ name, part }: Column): string => {
  switch (part) {
    case 'key':
      return `here.${name}`
    case 'bound':
      return latest(name)
    case 'first':
      return `CASE WHEN ${EARLIER} THEN excluded.${name} ELSE here.${name} END`
    case 'end':
      return ending(name)
    case 'formerly':
      return FORMERLY
  }
}

const columnNamed = (name: string): Column => COLUMNS.find((column) => column.name === name) as Column

/** While a span goes on, a renewal leaves it alone. */
const HELD = `
    CASE WHEN here.bound_revision >= 0 AND here.end_revision = ${NONE} AND excluded.end_revision = ${NONE} THEN here.held
         ELSE ${heldOf((name) => merged(columnNamed(name)))} END`

/** How rows are written: such that are not there; such that may be; and such that are not held against others. */
type Writing = 'new' | 'merged' | 'disputed'

/**
 * Merges rows into the spans of `schema`: parameters from `firstParameter` on are {@link spanLiterals}. `given` says from
 * where, beside them. The same fold as `mergeSpans`.
 */
export const writeSpans = (schema: string, firstParameter: number, writing: Writing, given: string): string => `
  INSERT INTO ${schema}.lease_spans AS here (${NAMES}, held, disputed)
  SELECT ${COLUMNS.map(incoming).join(', ')}, ${heldOf((name) => incoming(columnNamed(name)))}, ${writing === 'disputed'}
  FROM unnest(${COLUMNS.map(({ type }, index) => `$${firstParameter + index}::${type}[]`).join(', ')})
       AS incoming (${NAMES})
  ${given}
  ORDER BY incoming.address, incoming.starts_at, incoming.holder, incoming.category${writing === 'new' ? '' : MERGE}`

const MERGE = `
  ON CONFLICT (address, starts_at, holder, category) DO UPDATE SET
    ${COLUMNS.filter(({ part }) => part !== 'key')
      .map((column) => `${column.name} = ${merged(column)}`)
      .join(',\n    ')},
    held = ${HELD},
    disputed = here.disputed OR excluded.disputed`

const incoming = ({ name, store }: Column): string => store(`incoming.${name}`)

/** What is selected so that {@link spanFromTexts} can read it. */
const READ = [
  'category',
  'host(address)',
  'masklen(address)',
  'holder',
  `date_part('epoch', starts_at)`,
  'bound_revision',
  'bound_log',
  'bound_seq',
  `date_part('epoch', bound_at)`,
  `date_part('epoch', granted_to)`,
  'renewals',
  'valid_lifetime',
  'hwtype',
  'mac',
  'client_id',
  'duid',
  'iaid',
  'hostname',
  'relay',
  'subnet_id',
  'pool_id',
  'first_revision',
  'first_log',
  'first_seq',
  `date_part('epoch', first_at)`,
  'end_revision',
  'end_by',
  `date_part('epoch', ended_at)`,
  `date_part('epoch', end_at)`,
  'end_log',
  'end_seq',
  'to_json(formerly)',
]

const SELECTED = READ.map((expression) => `(${expression})::text`).join(', ')

const BY: Readonly<Record<IdentifierKind, string>> = Object.fromEntries(IDENTIFIERS) as Record<IdentifierKind, string>

/**
 * The spans of a client: parameter 1 is the value, 2 the same as it stands in `formerly`, 3 and 4 the time, ms since
 * 1970. A span that was under way then is one of them.
 */
export const spansByStatement = (schema: string, kind: IdentifierKind): string => `
SELECT ${SELECTED}
FROM ${schema}.lease_spans
WHERE (${BY[kind]} = $1::text OR formerly @> ARRAY[$2::text])
  AND starts_at <= to_timestamp($4::double precision / 1000)
  AND granted_to > to_timestamp($3::double precision / 1000)
ORDER BY starts_at, address`

/**
 * The spans of every address and prefix that lies in a prefix, and of every prefix that it lies in: parameter 1. By the
 * primary key, in which a prefix comes before what lies in it: first all from the prefix itself to its last address,
 * then the shorter prefixes one by one.
 */
export const spansWithinStatement = (schema: string): string => `
SELECT ${SELECTED}
FROM ${schema}.lease_spans
WHERE address BETWEEN network($1::inet)::inet
  AND set_masklen(broadcast($1::inet), CASE family($1::inet) WHEN 4 THEN 32 ELSE 128 END)
UNION ALL
SELECT ${SELECTED}
FROM ${schema}.lease_spans
WHERE address = ANY (ARRAY(
  SELECT network(set_masklen($1::inet, length))::inet FROM generate_series(0, masklen($1::inet) - 1) AS length
))`

/** All spans. */
export const allSpansStatement = (schema: string): string => `
SELECT ${SELECTED}
FROM ${schema}.lease_spans`

type Texts = ReadonlyArray<string | null>

const millis = (value: string | null | undefined): number => Math.round(Number(value) * 1000)
const optional = (value: string | null | undefined): string | undefined => value ?? undefined
const numberOr = (value: string | null | undefined): number | undefined => (value == null ? undefined : Number(value))

/** A row of spans, each column a text or null. */
export const spanFromTexts = (texts: Texts): SpanRow => {
  const t = (index: number): string => texts[index] as string
  const [category, address] = [t(0), t(1)]
  const stream = (category === 'prefix6' ? `prefix6/${address}/${t(2)}` : `${category}/${address}`) as StreamName
  const place = (revision: number, log: number, seq: number, at: number): Place => ({
    revision: Number(t(revision)),
    log: t(log),
    seq: Number(t(seq)),
    at: millis(texts[at]),
  })
  const isBound = Number(t(5)) >= 0
  const by = texts[26] as Ending['by'] | null
  return {
    stream,
    holder: t(3),
    startsAt: millis(texts[4]),
    lease: leaseFromTexts(texts),
    first: isBound ? place(21, 22, 23, 24) : undefined,
    last: isBound ? place(5, 6, 7, 8) : undefined,
    end: by === null ? undefined : { ...place(25, 29, 30, 28), by, until: millis(texts[27]) },
    formerly: texts[31] == null ? [] : (JSON.parse(texts[31]) as string[]),
  }
}

const leaseFromTexts = (texts: Texts): SpanLease => ({
  clientId: optional(texts[14]),
  duid: optional(texts[15]),
  expiresAt: millis(texts[9]),
  hostname: optional(texts[17]),
  hwAddress: optional(texts[13])?.replaceAll(':', ''),
  hwType: numberOr(texts[12]),
  iaid: numberOr(texts[16]),
  poolId: Number(texts[20]),
  relay: texts[18] == null ? undefined : (JSON.parse(texts[18]) as Relay),
  renewals: Number(texts[10]),
  subnetId: Number(texts[19]),
  validLifetimeSec: Number(texts[11]),
})
