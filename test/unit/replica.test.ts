/** The replica packs what it keeps: what comes out must be what went in, and copies must not pile up. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeLease } from '../../domain/lease.ts'
import type { Terms, Status } from '../../domain/lease.ts'
import { lease4Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { Replica } from '../../server/replica.ts'
import { anyTerms } from '../contract/lease-table-histories.ts'

const hardware = fc.stringMatching(/^[0-9a-f]{0,12}$/)
/** Keys that say all of the client, a part of it, or something that looks like it. */
const holder = fc.oneof(
  hardware.map((hex) => `hw:1:${hex}`),
  fc.tuple(fc.nat(300), hardware).map(([type, hex]) => `hw:${type}:${hex}`),
  hardware.map((hex) => `id:${hex}`),
  hardware.map((hex) => `duid:${hex}/7`),
  fc.string(),
)
const status = fc.constantFrom<Status>('offered', 'bound', 'released', 'declined', 'expired', 'revoked')
const lease = fc
  .record({ terms: anyTerms(holder), expiresAt: fc.maxSafeNat(), renewals: fc.nat(), startsAt: fc.maxSafeNat() })
  .chain(({ terms, expiresAt, renewals, startsAt }) => {
    const ownHardware = /^hw:(\d+):([0-9a-f]*)$/.exec(terms.holder)
    const plain = { ...terms, hwType: Number(ownHardware?.[1]), hwAddress: ownHardware?.[2] }
    const terms4 = { ...plain, clientId: undefined, duid: undefined, hostname: undefined, iaid: undefined }
    // The usual lease, which is kept shortest, must come often enough.
    return fc
      .constantFrom(...(ownHardware === null ? [terms] : [terms, terms4, plain]))
      .map((chosen) => makeLease(chosen, expiresAt, renewals, startsAt))
  })

describe('replica', () => {
  it('gives back every lease as it was taken in', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ stream: fc.nat(3), status, lease }), { maxLength: 20 }), (loads) => {
        const replica = new Replica()
        const expected = new Map<number, object>()
        loads.forEach((load, revision) => {
          // A copy: the replica may keep parts of what it is given.
          const state = { status: load.status, lease: structuredClone(load.lease) }
          replica.load(lease4Stream(load.stream), revision, state)
          expected.set(load.stream, { revision, state: { status: load.status, lease: load.lease } })
        })
        for (const [stream, { revision, state }] of expected as Map<number, { revision: number; state: object }>) {
          const known = replica.get(lease4Stream(stream))
          expect(known.revision).toBe(revision)
          expect(known.state).toStrictEqual(state)
          expect(Object.keys((known.state as { lease: object }).lease)).toEqual(
            Object.keys((state as { lease: object }).lease),
          )
        }
      }),
    )
  })

  it('finds every stream and what each client holds, however many there are', () => {
    const replica = new Replica()
    const heldBy = new Map<string, Set<StreamName>>()
    const holderOf = new Map<StreamName, string>()
    const terms = fc.sample(anyTerms(holder), { numRuns: 1, seed: 1 })[0] as Terms
    // More streams than there is room for at first, twice over; each then changes hands, most clients hold several.
    for (let n = 0; n < 12_000; n++) {
      const stream = lease4Stream((n * 7_919) % 5_000)
      const client = `id:${(n * 104_729) % 1_500}`
      replica.load(stream, n, { status: 'bound', lease: makeLease({ ...terms, holder: client }, n, 0, 0) })
      heldBy.get(holderOf.get(stream) ?? '')?.delete(stream)
      holderOf.set(stream, client)
      heldBy.set(client, (heldBy.get(client) ?? new Set()).add(stream))
    }
    expect(replica.size).toBe(5_000)
    for (const [client, streams] of heldBy) expect(new Set(replica.heldBy(client))).toEqual(streams)
    for (const [stream, client] of holderOf) {
      expect(replica.get(stream).state).toMatchObject({ lease: { holder: client } })
    }
    expect(replica.heldBy('id:1500')).toEqual([])
    expect(replica.revision(lease4Stream(5_000))).toBe(-1)
  })
})
