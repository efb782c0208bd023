/** `ledger evidence`, `ledger keygen` and `ledger verify FILE`, over a ledger on PostgreSQL. */
import { generateKeyPairSync } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as E from 'fp-ts/lib/Either.js'
import { checkEvidence, signEvidence, signingKey } from '../../server/evidence/document.ts'
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
    await site.configFor(site.server.database, { 'evidence-key': key })
    const wanting = await site.ask(['evidence', '198.18.0.5', '--at', '@1', '--out', file])
    expect(wanting).toMatchObject({ code: 1, err: expect.stringContaining('make a key with `ledger keygen`') })
    expect(await site.ask(['keygen'])).toMatchObject({ code: 0, out: expect.stringContaining(`${key}: key `) })
    expect((await stat(key)).mode & 0o777).toBe(0o600)
    const at = new Date(one.from + 1_000).toISOString()
    const made = await site.ask(['evidence', '198.18.0.5', '--at', at, '--out', file])
    expect(made).toMatchObject({ code: 0, err: '' })
    expect(made.out).toContain(', signed')
    expect(made.out).toContain(`hardware address ${macOf(one.client)} held 198.18.0.5`)
  })
  afterAll(() => site?.stop())

  const changed = async (change: (evidence: Evidence) => void): Promise<Checked> => {
    const evidence = JSON.parse(await readFile(file, 'utf8')) as Evidence
    change(evidence)
    const checked = checkEvidence(JSON.stringify(evidence))
    if (E.isLeft(checked)) throw new Error(checked.left)
    return checked.right
  }

  it('is checked on another machine, and holds nothing of others', async () => {
    // There is nothing but the document and the public key, and a program that is told of no configuration.
    const elsewhere = await mkdtemp(join(tmpdir(), `ll-${process.pid}-elsewhere-`))
    await copyFile(file, join(elsewhere, 'evidence.json'))
    await copyFile(`${key}.pub`, join(elsewhere, 'key.pub'))
    const checked = await site.ledgerAlone([
      'verify',
      join(elsewhere, 'evidence.json'),
      '--key',
      join(elsewhere, 'key.pub'),
    ])
    await rm(elsewhere, { recursive: true })
    expect(checked.code).toBe(0)
    expect(checked.out).toMatch(/^checked: \d+ events in \d+ links of the chain, signed by key [0-9a-f]{64}/)
    expect(checked.out).toContain(`everything fits: id:01${macOf(one.client)}`)
    const { events } = JSON.parse(await readFile(file, 'utf8')) as Evidence
    expect(new Set(events.map(({ stream }) => stream))).toEqual(new Set(['lease4/198.18.0.5']))
  })

  it('is not taken from somebody else who signs', async () => {
    const stranger = join(site.folder, 'stranger.pem')
    await site.ask(['keygen', '--out', stranger])
    const theirs = await site.ask(['verify', file, '--key', `${stranger}.pub`])
    expect(theirs).toMatchObject({ code: 1, out: expect.stringContaining('was not signed by') })
    // Whoever changes a document can sign it anew, with another key.
    const evidence = JSON.parse(await readFile(file, 'utf8')) as Evidence
    const signer = signingKey(await readFile(stranger, 'utf8'))
    if (E.isLeft(signer)) throw new Error(signer.left)
    const forged = join(site.folder, 'forged.json')
    const askedAt = evidence.question.askedAt - 1
    await writeFile(
      forged,
      JSON.stringify(signEvidence({ ...evidence, question: { ...evidence.question, askedAt } }, signer.right)),
    )
    expect((await site.ask(['verify', forged])).code).toBe(0)
    expect((await site.ask(['verify', forged, '--key', `${key}.pub`])).out).toContain('was not signed by')
    expect((await site.ask(['verify', forged, '--key', join(site.folder, 'none.pub')])).err).toContain('cannot be read')
  })

  it('is signed with a key that can be one, or not at all', async () => {
    const rsa = join(site.folder, 'rsa.pem')
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await writeFile(rsa, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const words = ['evidence', '198.18.0.5', '--at', '@1', '--out', join(site.folder, 'other.json'), '--key']
    expect((await site.ask([...words, rsa])).err).toContain('is no Ed25519 key')
    expect((await site.ask([...words, site.config])).err).toContain('the key cannot be read')
    expect((await site.ask([...words, site.folder])).err).toContain('cannot be read')
    const config = await site.configFor('other', { 'evidence-key': rsa })
    const checked = await site.ask(['check'], config)
    expect(checked).toMatchObject({ code: 1, err: expect.stringContaining('LeaseLedger.evidence-key: ') })
    expect((await site.ask(['check'])).out).toContain('the configuration is valid')
    expect((await site.ask(['keygen'])).err).toContain('keys are not overwritten')
    expect((await site.ask(['keygen', '--out', join(site.folder, 'none/key.pem')])).err).toContain('cannot be written')
  })

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

  it('is given of a prefix, and not of an address within it', async () => {
    const prefix = site.truth.find(({ stream }) => stream === 'prefix6/2001:db8:500::/56') as Truth
    const out = join(site.folder, 'prefix.json')
    const at = ['--at', new Date(prefix.from + 1_000).toISOString(), '--out', out]
    const part = await site.ask(['evidence', '2001:db8:500:1::17', ...at])
    expect(part).toMatchObject({ code: 1, err: expect.stringContaining('ask for evidence of 2001:db8:500::/56') })
    const made = await site.ask(['evidence', '2001:db8:500::/56', ...at])
    expect(made.out).toContain(`duid:00030001${macOf(prefix.client)}/7`)
    expect((await site.ask(['verify', out])).out).toContain('everything fits')
  })

  it('tells that nobody held an address, and refuses what is no evidence', async () => {
    const out = join(site.folder, 'nobody.json')
    const at = new Date(one.until + 1).toISOString()
    const unsigned = await site.configFor(site.server.database)
    const made = await site.ask(['evidence', '198.18.0.5', '--at', at, '--out', out], unsigned)
    expect(made.out).toMatch(/^nobody held 198\.18\.0\.5 at .*\n.*not signed/)
    expect(checkEvidence(await readFile(out, 'utf8'))).toMatchObject(E.right({ wrong: [], signedBy: undefined }))
    await writeFile(out, '{"format":"something"}')
    const refused = await site.ask(['verify', out])
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('is no evidence') })
    expect((await site.ask(['verify', join(site.folder, 'none.json')])).err).toContain('is not there')
    const later = ['evidence', '198.18.0.5', '--at', '2999-01-01T00:00Z', '--out', out]
    expect((await site.ask(later)).err).toContain('yet to come')
  })
})
