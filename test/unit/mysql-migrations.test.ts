/**
 * The tables for MySQL as they are made with another engine. NDB Cluster could not be run here; what its manual says it
 * cannot do (MySQL 8.0, 25.2.7: Known Limitations of NDB Cluster) is looked for in the text of the definitions.
 */
import { describe, expect, it } from 'vitest'
import { loadMigrations } from '../../adapters/migrate.ts'
import { forEngine } from '../../adapters/mysql/migration.ts'

/** 30,000 since 8.0 and 14,000 before; of a BLOB or TEXT 264 octets count. */
const NDB_ROW_OCTETS_MAX = 14_000
const NDB_KEY_COLUMNS_MAX = 32
/** MySQL's own limit for any index, which InnoDB shares. */
const KEY_OCTETS_MAX = 3_072
const NDB_ATTRIBUTES_MAX = 512
const NDB_FIXED_OFFSET_MAX = 8_188

interface Table {
  readonly name: string
  readonly engine: string
  readonly columns: ReadonlyMap<string, string>
  readonly keys: ReadonlyArray<ReadonlyArray<string>>
  readonly text: string
}

const tablesOf = (sql: string): ReadonlyArray<Table> =>
  [...sql.matchAll(/CREATE TABLE IF NOT EXISTS (\w+) \(\n([\s\S]*?)\n\) ENGINE = (\w+)/g)].map(
    ([text, name, body, engine]) => {
      const lines = (body as string).split('\n').map((line) => line.replace(/--.*$/, '').trim().replace(/,$/, ''))
      const columns = new Map<string, string>()
      const keys: string[][] = []
      for (const line of lines.filter((each) => each !== '')) {
        const key = /^(?:PRIMARY KEY|UNIQUE KEY \w+|KEY \w+) \(([^)]*)\)$/.exec(line)
        if (key !== null) keys.push((key[1] as string).split(', '))
        else {
          const [, column, type] = /^(\S+)\s+(.*)$/.exec(line) as unknown as [string, string, string]
          columns.set(column, type)
          if (type.includes('PRIMARY KEY')) keys.push([column])
        }
      }
      return { name: name as string, engine: engine as string, columns, keys, text }
    },
  )

const FIXED: Readonly<Record<string, number>> = {
  TINYINT: 1,
  SMALLINT: 2,
  INT: 4,
  BIGINT: 8,
  DATETIME: 8,
  TIMESTAMP: 8,
}

/** Octets that a column may take at most, as NDB counts them. */
const octetsOf = (type: string): number => {
  const [, word, size] = /^(\w+)(?:\((\d+)\))?/.exec(type) as unknown as [string, string, string | undefined]
  if (/TEXT|BLOB|JSON/.test(word)) return 264
  if (word === 'VARCHAR' || word === 'CHAR') return 2 + Number(size) * (type.includes('utf8mb4') ? 4 : 1)
  if (word === 'VARBINARY' || word === 'BINARY') return 2 + Number(size)
  const fixed = FIXED[word]
  if (fixed === undefined) throw new Error(`the width of ${type} is not known here`)
  return fixed
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, each) => total + each, 0)

describe.each(['ledger', 'tables'] as const)('migrations/mysql/%s', (target) => {
  const load = async () => {
    const sql = (await loadMigrations('mysql', target)).map((migration) => forEngine(migration.sql, 'NDBCLUSTER'))
    return { sql: sql.join('\n'), tables: sql.flatMap(tablesOf) }
  }

  it('puts the engine into every table', async () => {
    const { sql, tables } = await load()
    expect(tables.length).toBe([...sql.matchAll(/CREATE TABLE/g)].length)
    expect(tables.length).toBeGreaterThan(3)
    expect(new Set(tables.map(({ engine }) => engine))).toEqual(new Set(['NDBCLUSTER']))
    expect(sql.replaceAll(/--.*$/gm, '')).not.toContain('InnoDB')
  })

  it('uses nothing that NDB has not', async () => {
    const { sql } = await load()
    const code = sql.replaceAll(/--.*$/gm, '')
    const words = /FOREIGN KEY|REFERENCES|FULLTEXT|SPATIAL|TEMPORARY|GENERATED|SAVEPOINT|LOCK TABLES|PARTITION|INDEX/i
    expect(code).not.toMatch(words)
  })

  it('keeps rows and keys within the limits of NDB', async () => {
    const { tables } = await load()
    for (const { name, columns, keys } of tables) {
      const types = [...columns.values()]
      expect(sum(types.map(octetsOf)), name).toBeLessThan(NDB_ROW_OCTETS_MAX)
      expect(types.length + keys.length, name).toBeLessThan(NDB_ATTRIBUTES_MAX)
      const isFixed = (type: string): boolean => !/^VAR|TEXT/.test(type)
      expect(sum(types.filter(isFixed).map(octetsOf)), name).toBeLessThan(NDB_FIXED_OFFSET_MAX)
      expect(keys.length, `${name} has a key`).toBeGreaterThan(0)
      for (const key of keys) {
        const keyTypes = key.map((column) => columns.get(column) ?? columns.get(`\`${column}\``) ?? `missing ${column}`)
        expect(key.length, name).toBeLessThanOrEqual(NDB_KEY_COLUMNS_MAX)
        expect(sum(keyTypes.map(octetsOf)), `${name} ${key.join()}`).toBeLessThanOrEqual(KEY_OCTETS_MAX)
        // Neither a prefix of a column nor a TEXT can be a key.
        expect(keyTypes.join(), name).not.toMatch(/TEXT|BLOB|JSON/)
        expect(key.join(), name).not.toContain('(')
      }
    }
  })

  it('can be run again from any point: a definition ends the transaction around it', async () => {
    const { sql } = await load()
    const statements = sql
      .replaceAll(/--.*$/gm, '')
      .split(/;\s*(?:\n|$)/)
      .map((statement) => statement.trim())
      .filter((statement) => statement !== '')
    const harmless =
      /^(CREATE TABLE IF NOT EXISTS|TRUNCATE TABLE lease\w+$|INSERT IGNORE|DROP TRIGGER IF EXISTS|CREATE TRIGGER|CREATE OR REPLACE)/
    for (const [index, statement] of statements.entries()) {
      expect(statement).toMatch(harmless)
      const trigger = /^CREATE TRIGGER (\w+)/.exec(statement)?.[1]
      if (trigger !== undefined) expect(statements[index - 1]).toBe(`DROP TRIGGER IF EXISTS ${trigger}`)
    }
  })
})
