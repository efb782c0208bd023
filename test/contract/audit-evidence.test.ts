/** `ledger evidence`, `ledger keygen` and `ledger verify FILE`, over a ledger on PostgreSQL. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as E from 'fp-ts/lib/Either.js'
import { checkEvidence } from '../../server/evidence/document.ts'
import type { Checked, Evidence } from '../../server/evidence/document.ts'
import { postgresMissing } from '../support/postgres.ts'
import { macOf } from './audit-events.ts'
import type { Truth } from './audit-events.ts'
import { openAuditSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'

const missing = postgresMissing()

describe.skipIf(missing !== undefined)(`evidence${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let site: AuditSite
  let one: Truth
  let key: string
  let file: string
  beforeAll(async () => {
    site = await openAuditSite({ seed: 4_711, addresses: 60, rounds: 5 })
    one = site.truth.filter(({ stream }) => stream === 'lease4/198.18.0.5')[2] as Truth
    key = join(site.folder, 'key.pem')
    file = join(site.folder, 'evidence.json')
    expect((await site.ledgerAlone(['keygen', '--out', key])).code).toBe(0)
    const at = new Date(one.from + 1_000).toISOString()
    const made = await site.ledger(['evidence', '198.18.0.5', '--at', at, '--out', file, '--key', key])
    expect(made).toMatchObject({ code: 0, err: '' })
    expect(made.out).toContain(`hardware address ${macOf(one.client)} held 198.18.0.5`)
  }, 120_000)
  afterAll(() => site?.stop())

  const changed = async (change: (evidence: Evidence) => void): Promise<Checked> => {
    const evidence = JSON.parse(await readFile(file, 'utf8')) as Evidence
    change(evidence)
    const checked = checkEvidence(JSON.stringify(evidence))
    if (E.isLeft(checked)) throw new Error(checked.left)
    return checked.right
  }

  it('is checked on another machine, and holds nothing of others', async () => {
    const checked = await site.ledgerAlone(['verify', file, '--key', `${key}.pub`])
    expect(checked.code).toBe(0)
    expect(checked.out).toMatch(/^checked: \d+ events in \d+ links of the chain, signed by key [0-9a-f]{64}/)
    expect(checked.out).toContain(`everything fits: id:01${macOf(one.client)}`)
    const { events } = JSON.parse(await readFile(file, 'utf8')) as Evidence
    expect(new Set(events.map(({ stream }) => stream))).toEqual(new Set(['lease4/198.18.0.5']))
    const stranger = join(site.folder, 'stranger.pem')
    await site.ledgerAlone(['keygen', '--out', stranger])
    expect((await site.ledgerAlone(['verify', file, '--key', `${stranger}.pub`])).out).toContain('was not signed by')
  }, 60_000)

  it.each<readonly [string, (evidence: any) => void, RegExp]>([
    ['a changed hostname', (e) => (e.events[1].data.lease.hostname = 'other'), /is not what was chained there/],
    ['a changed time', (e) => (e.events[1].recordedAt += 1), /is not what was chained there/],
    ['an event left out', (e) => e.events.splice(1, 1), /revision \d+ is missing/],
    ['another answer', (e) => (e.statement = 'nobody held it'), /the events say something else/],
    ['another moment', (e) => (e.question.at += 86_400_000 * 30), /the events say something else/],
    ['a changed hash', (e) => (e.chains[0].hash = '00'.repeat(32)), /does not lead/],
    ['a changed digest', (e) => (e.chains[0].digests = e.chains[0].digests.replace(/^..../, 'AAAA')), /chain/],
  ])('is wrong with %s', async (_, change, found) => {
    const { wrong } = await changed(change)
    expect(wrong.join('\n')).toMatch(found)
    expect(wrong).toContain('the signature does not fit the document')
    const unsigned = await changed((evidence) => {
      change(evidence)
      delete evidence.signature
    })
    expect(unsigned.wrong.join('\n')).toMatch(found)
  })

  it('tells that nobody held an address, and refuses what is no evidence', async () => {
    const out = join(site.folder, 'nobody.json')
    const at = new Date(one.until + 1).toISOString()
    const made = await site.ledger(['evidence', '198.18.0.5', '--at', at, '--out', out])
    expect(made.out).toMatch(/^nobody held 198\.18\.0\.5 at .*\n.*not signed/)
    expect(checkEvidence(await readFile(out, 'utf8'))).toMatchObject(E.right({ wrong: [], signedBy: undefined }))
    await writeFile(out, '{"format":"something"}')
    const refused = await site.ledgerAlone(['verify', out])
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('is no evidence') })
  }, 60_000)
})
