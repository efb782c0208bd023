/**
 * Leases as statements that fill Kea's own tables, in the form in which Kea itself writes them. Of what is not there it
 * reads only that form: Kea 2.2 takes NULL for a name in MySQL for what its buffer held before, and stops at NULL for a
 * number in PostgreSQL.
 */

/** The databases that Kea keeps leases in. */
export type KeaDatabase = 'postgresql' | 'mysql'

/** Leases as the texts of Kea's lease file, in its columns: DHCPv6 where there is a `duid`. */
export interface KeaRows {
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

/** How a value is written, so that no text can end it or mean anything else. */
interface Dialect {
  readonly begin: ReadonlyArray<string>
  readonly octets: (hex: string) => string
  /** What Kea writes, and can read, where there are no octets, and no number. */
  readonly noOctets: string
  readonly noNumber: string
  readonly text: (text: string) => string
  /** Seconds since 1970. */
  readonly moment: (seconds: number) => string
  readonly flag: (text: string) => string
  readonly address4: (text: string) => string
  readonly address6: (text: string) => string
  readonly iaid: (iaid: number) => number
}

const DIALECTS: Readonly<Record<KeaDatabase, Dialect>> = {
  postgresql: {
    begin: [`SET standard_conforming_strings = on;`, `SET client_encoding = 'UTF8';`, 'BEGIN;'],
    octets: (hex) => `'\\x${hex}'`,
    noOctets: `'\\x'`,
    noNumber: '0',
    text: (text) => `'${text.replaceAll("'", "''")}'`,
    moment: (seconds) => `to_timestamp(${seconds})`,
    flag: (text) => (text === '1' ? 'true' : 'false'),
    address4: (text) => `'${text}'::inet - '0.0.0.0'`,
    address6: (text) => `'${text}'`,
    iaid: (iaid) => iaid | 0,
  },
  mysql: {
    // Earlier releases keep an IPv6 address as text, later ones as octets. The text is ours and not that of INET6_NTOA,
    // which has :: also for a single 0, where Kea would not find it.
    begin: [
      `SET @octets = (SELECT data_type = 'binary' FROM information_schema.columns
               WHERE table_schema = database() AND table_name = 'lease6' AND column_name = 'address');`,
      'START TRANSACTION;',
    ],
    octets: (hex) => `x'${hex}'`,
    noOctets: 'NULL',
    noNumber: 'NULL',
    text: (text) => `_utf8mb4 x'${Buffer.from(text, 'utf8').toString('hex')}'`,
    moment: (seconds) => `from_unixtime(${seconds})`,
    flag: (text) => (text === '1' ? '1' : '0'),
    address4: (text) => `inet_aton('${text}')`,
    address6: (text) => `IF(@octets, inet6_aton('${text}'), '${text}')`,
    iaid: (iaid) => iaid,
  },
}

const COLUMNS4 =
  'address, hwaddr, client_id, valid_lifetime, expire, subnet_id, fqdn_fwd, fqdn_rev, hostname, state, user_context'
const COLUMNS6 =
  'address, duid, valid_lifetime, expire, subnet_id, pref_lifetime, lease_type, iaid, prefix_len, fqdn_fwd, fqdn_rev, ' +
  'hostname, hwaddr, hwtype, hwaddr_source, state, user_context'

/** A lifetime without end; in the tables such a lease has for its end when the client was last served. */
const INFINITE = 4_294_967_295

/** How the text of a column of the lease file is written. */
const valueOf = (dialect: Dialect, isV6: boolean, column: string, text: (column: string) => string): string => {
  const own = text(column)
  const octets = dialect.octets(own.replaceAll(':', ''))
  switch (column) {
    case 'address':
      return isV6 ? dialect.address6(own) : dialect.address4(own)
    case 'hwaddr':
      return own === '' && isV6 ? dialect.noOctets : octets
    case 'client_id':
    case 'duid':
      return own === '' ? dialect.noOctets : octets
    case 'expire': {
      const [expire, lifetime] = [Number(own), Number(text('valid_lifetime'))]
      return dialect.moment(lifetime === INFINITE && expire >= INFINITE ? expire - INFINITE : expire)
    }
    case 'fqdn_fwd':
    case 'fqdn_rev':
      return dialect.flag(own)
    case 'hostname':
      return dialect.text(own)
    case 'user_context':
      return own === '' ? 'NULL' : dialect.text(own)
    case 'iaid':
      return String(dialect.iaid(Number(own)))
    default:
      return own === '' ? dialect.noNumber : String(Number(own))
  }
}

/** The rows of one statement. */
const ROWS_MAX = 500

/**
 * The statements, each with its end, in one transaction. Only what Kea 2.2 has a state for can be filled in: leases in
 * use (0), declined ones (1) and reclaimed ones (2).
 */
export function* keaStatements(database: KeaDatabase, tables: ReadonlyArray<KeaRows>): Generator<string> {
  const dialect = DIALECTS[database]
  yield* dialect.begin
  for (const { columns, rows } of tables) {
    const isV6 = columns.includes('duid')
    const names = isV6 ? COLUMNS6 : COLUMNS4
    const wanted = names.split(', ')
    const places = new Map(columns.map((column, index) => [column, index]))
    for (let at = 0; at < rows.length; at += ROWS_MAX) {
      const values = rows.slice(at, at + ROWS_MAX).map((row) => {
        const text = (column: string): string => row[places.get(column) ?? -1] ?? ''
        return `(${wanted.map((column) => valueOf(dialect, isV6, column, text)).join(', ')})`
      })
      yield `INSERT INTO ${isV6 ? 'lease6' : 'lease4'} (${names}) VALUES\n${values.join(',\n')};`
    }
  }
  yield 'COMMIT;'
}
