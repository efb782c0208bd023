import { describe, expect, it } from 'vitest'
import { INFINITE_SEC } from '../../domain/instant.ts'
import type { Claim, Command, Renew } from '../../domain/lease.ts'
import { lease4Stream } from '../../domain/stream.ts'
import { at, given, history, terms } from '../support/lease-spec.ts'

const ann = 'hw:1:02000000000a'
const bob = 'hw:1:02000000000b'

const offer = (holder: string): Command => ({ type: 'Offer', terms: terms(holder), offerLifetimeSec: 10 })
const claim = (holder: string, transactionId = 1, ownOnly = false): Claim => ({
  type: 'Claim',
  terms: terms(holder, { transactionId }),
  ownOnly,
})
const renew = (holder: string, transactionId = 2, reuseSec = 0): Renew => ({
  type: 'Renew',
  terms: terms(holder, { transactionId }),
  reuseSec,
})
const release = (holder: string): Command => ({ type: 'Release', holder, cause: 'client' })
const decline = (holder: string): Command => ({ type: 'Decline', holder, probationSec: 86_400 })
const expire: Command = { type: 'Expire' }
const revoke: Command = { type: 'Revoke', reason: 'abuse' }

const bound = history([claim(ann), at(0)])

describe('Offer', () => {
  it('holds a vacant address for its lifetime', () =>
    given([])
      .when(offer(ann), at(0))
      .then({ type: 'LeaseOffered', lease: { holder: ann, expiresAt: at(10) } }))
  it('is not repeated while it lasts', () =>
    given(history([offer(ann), at(0)]))
      .when(offer(ann), at(9))
      .thenNothing())
  it('is made anew when it has lapsed', () =>
    given(history([offer(ann), at(0)]))
      .when(offer(ann), at(10))
      .then({ type: 'LeaseOffered' }))
  it('keeps others away while it lasts', () =>
    given(history([offer(ann), at(0)]))
      .when(offer(bob), at(9))
      .thenRefused('HeldByAnother'))
  it('gives way to others the moment it lapses', () =>
    given(history([offer(ann), at(0)]))
      .when(offer(bob), at(10))
      .then({ type: 'LeaseOffered', lease: { holder: bob } }))
  it('of what the client holds already is nothing new', () => given(bound).when(offer(ann), at(60)).thenNothing())
  it('of what another holds is refused, until clocks cannot matter any more', () => {
    given(bound).when(offer(bob), at(3604)).thenRefused('HeldByAnother')
    given(bound).when(offer(bob), at(3605)).then({ type: 'LeaseOffered' })
  })
  it('of a declined address is refused', () =>
    given(history([claim(ann), at(0)], [decline(ann), at(1)]))
      .when(offer(ann), at(2))
      .thenRefused('Declined'))
})

describe('Claim', () => {
  it('gives a vacant address', () =>
    given([])
      .when(claim(ann), at(0))
      .then({ type: 'LeaseClaimed', lease: { holder: ann, startsAt: at(0), expiresAt: at(3600), renewals: 0 } }))
  it('tells when the address was offered', () =>
    given(history([offer(ann), at(0)]))
      .when(claim(ann), at(2))
      .then({ type: 'LeaseClaimed', offered: { at: at(0) } }))
  it('of an address that was offered to another is refused', () =>
    given(history([offer(ann), at(0)]))
      .when(claim(bob), at(2))
      .thenRefused('HeldByAnother'))
  it('of an address that another holds is refused', () =>
    given(bound).when(claim(bob), at(60)).thenRefused('HeldByAnother'))
  it('right at the end of another’s lease is refused for as long as clocks may differ', () => {
    given(bound).when(claim(bob), at(3604.999)).thenRefused('HeldByAnother')
    given(bound)
      .when(claim(bob), at(3605))
      .then({ type: 'LeaseClaimed', lease: { holder: bob } })
  })
  it('retransmitted is nothing new', () => given(bound).when(claim(ann, 1), at(16)).thenNothing())
  it('with a new transaction id extends what the client holds', () =>
    given(bound)
      .when(claim(ann, 7), at(100))
      .then({ type: 'LeaseRenewed', lease: { startsAt: at(0), expiresAt: at(3700), renewals: 1 } }))
  it('with the same transaction id much later extends it too: some clients never change it', () =>
    given(bound).when(claim(ann, 1), at(64)).then({ type: 'LeaseRenewed' }))
  it('of one’s own expired address begins a new lease', () =>
    given(bound)
      .when(claim(ann, 2), at(3600))
      .then({ type: 'LeaseClaimed', lease: { startsAt: at(3600) } }))
  it('that may only get back its own is refused where nothing was', () =>
    given([])
      .when(claim(ann, 1, true), at(0))
      .thenRefused('NotHolder'))
  it('that may only get back its own gets an expired address back', () =>
    given(history([claim(ann), at(0)], [expire, at(3605)]))
      .when(claim(ann, 3, true), at(4000))
      .then({ type: 'LeaseClaimed' }))
  it('that may only get back its own is refused what was revoked or released', () => {
    given(history([claim(ann), at(0)], [revoke, at(5)]))
      .when(claim(ann, 3, true), at(6))
      .thenRefused('NotHolder')
    given(history([claim(ann), at(0)], [release(ann), at(5)]))
      .when(claim(ann, 3, true), at(6))
      .thenRefused('NotHolder')
  })
  it('of a released address succeeds for anybody', () =>
    given(history([claim(ann), at(0)], [release(ann), at(5)]))
      .when(claim(bob), at(5))
      .then({ type: 'LeaseClaimed' }))
  it('with an infinite lifetime never ends', () =>
    given(history([{ type: 'Claim', terms: terms(ann, { validLifetimeSec: INFINITE_SEC }), ownOnly: false }, at(0)]))
      .when(claim(bob), at(4_000_000_000))
      .thenRefused('HeldByAnother'))
})

describe('Renew', () => {
  it('extends the lease and counts', () =>
    given(bound)
      .when(renew(ann), at(1800))
      .then({ type: 'LeaseRenewed', lease: { startsAt: at(0), expiresAt: at(5400), renewals: 1 } }))
  it('by another client is refused', () => given(bound).when(renew(bob), at(1800)).thenRefused('HeldByAnother'))
  it('of nothing is refused', () => given([]).when(renew(ann), at(0)).thenRefused('NotHolder'))
  it('that comes as a copy right behind itself is nothing new', () =>
    given(history([claim(ann), at(0)], [renew(ann, 9), at(1800)]))
      .when(renew(ann, 9), at(1800.9))
      .thenNothing())
  it('with the transaction id of the claim extends it, be the lease ever so short: some clients never change it', () =>
    given(history([claim(ann), at(0)]))
      .when(renew(ann, 1), at(3))
      .then({ type: 'LeaseRenewed', lease: { expiresAt: at(3603), renewals: 1 } }))
  it('inside the cache threshold is nothing new', () =>
    given(bound)
      .when(renew(ann, 9, 900), at(899))
      .thenNothing())
  it('inside the cache threshold is recorded when it tells something new of the client or its place', () => {
    const relay = { address: '198.51.100.1', circuitId: '0102' }
    const before = history([{ type: 'Claim', terms: terms(ann, { relay, hostname: 'a' }), ownOnly: false }, at(0)])
    const again = (more: object) =>
      given(before).when(
        { type: 'Renew', terms: terms(ann, { relay, hostname: 'a', transactionId: 9, ...more }), reuseSec: 900 },
        at(300),
      )
    again({}).thenNothing()
    again({ relay: { circuitId: '0102', address: '198.51.100.1' } }).thenNothing()
    for (const changed of [
      { relay: { ...relay, circuitId: '0103' } },
      { relay: { address: relay.address } },
      { relay: undefined },
      { hostname: 'b' },
      { hwAddress: '02000000000b' },
      { subnetId: 2 },
      { validLifetimeSec: 1800 },
    ]) {
      again(changed).then({ type: 'LeaseRenewed', lease: changed })
    }
  })
  it('beyond the cache threshold is recorded', () =>
    given(bound)
      .when(renew(ann, 9, 900), at(900))
      .then({ type: 'LeaseRenewed' }))
  it('counts those before it that were answered without an event', () => {
    given(history([claim(ann), at(0)], [renew(ann, 8), at(1000)]))
      .when({ ...renew(ann, 9, 900), unrecorded: 2 }, at(1900))
      .then({ type: 'LeaseRenewed', unrecorded: 2, lease: { renewals: 4, expiresAt: at(5500) } })
    given(bound)
      .when({ ...claim(ann, 9), unrecorded: 1 }, at(1900))
      .then({ type: 'LeaseRenewed', unrecorded: 1, lease: { renewals: 2 } })
  })
  it('says nothing of others when there were none', () => {
    const [, renewed] = history([claim(ann), at(0)], [{ ...renew(ann), unrecorded: 0 }, at(60)])
    expect(Object.keys(renewed ?? {})).toEqual(['type', 'lease'])
  })
  it('that comes too late gets the address back as a new lease while it is free', () =>
    given(bound)
      .when(renew(ann), at(3601))
      .then({ type: 'LeaseClaimed', lease: { startsAt: at(3601), renewals: 0 } }))
  it('of a revoked lease is refused', () =>
    given(history([claim(ann), at(0)], [revoke, at(5)]))
      .when(renew(ann), at(6))
      .thenRefused('NotHolder'))
})

describe('Release', () => {
  it('ends the lease now', () =>
    given(bound)
      .when(release(ann), at(60))
      .then({ type: 'LeaseReleased', cause: 'client', lease: { expiresAt: at(60) } }))
  it('by another is refused', () => given(bound).when(release(bob), at(60)).thenRefused('NotHolder'))
  it('repeated is nothing new', () =>
    given(history([claim(ann), at(0)], [release(ann), at(60)]))
      .when(release(ann), at(61))
      .thenNothing())
  it('in favour of another lease leaves alone what was extended meanwhile', () => {
    const supersede: Command = { type: 'Release', holder: ann, cause: 'superseded', ofGrant: at(3600) }
    given(bound).when(supersede, at(90)).then({ type: 'LeaseReleased', cause: 'superseded' })
    given(history([claim(ann), at(0)], [renew(ann), at(60)]))
      .when(supersede, at(90))
      .thenNothing()
  })
  it('says which lease took its place', () => {
    const supersededBy = lease4Stream(0xc6336405)
    given(bound)
      .when({ type: 'Release', holder: ann, cause: 'superseded', supersededBy }, at(60))
      .then({ type: 'LeaseReleased', cause: 'superseded', supersededBy })
  })
})

describe('a message that waited while its client got the lease anew', () => {
  const renewed = history([claim(ann), at(0)], [renew(ann), at(60)])
  it('does not release it', () =>
    given(renewed)
      .when({ type: 'Release', holder: ann, cause: 'client', ofGrant: at(3600) }, at(61))
      .thenNothing())
  it('does not decline it', () =>
    given(renewed)
      .when({ type: 'Decline', holder: ann, probationSec: 60, ofGrant: at(3600) }, at(61))
      .thenNothing())
})

describe('Decline', () => {
  const declined = history([claim(ann), at(0)], [decline(ann), at(1)])
  it('keeps the address back', () =>
    given(bound)
      .when(decline(ann), at(1))
      .then({ type: 'LeaseDeclined', lease: { expiresAt: at(86_401) } }))
  it('of an offer works too', () =>
    given(history([offer(ann), at(0)]))
      .when(decline(ann), at(1))
      .then({ type: 'LeaseDeclined' }))
  it('by another is refused', () => given(bound).when(decline(bob), at(1)).thenRefused('NotHolder'))
  it('keeps everybody away until probation is over', () => {
    given(declined).when(claim(ann, 3), at(80_000)).thenRefused('Declined')
    given(declined).when(claim(bob, 3), at(86_406)).then({ type: 'LeaseClaimed' })
  })
  it('ends by expiry', () => given(declined).when(expire, at(86_406)).then({ type: 'LeaseExpired' }))
})

describe('Expire', () => {
  it('before the end, or while clocks may differ, is refused', () => {
    given(bound).when(expire, at(3599)).thenRefused('NotDue')
    given(bound).when(expire, at(3604)).thenRefused('NotDue')
  })
  it('after it says so, with the end that the lease had', () =>
    given(bound)
      .when(expire, at(3605))
      .then({ type: 'LeaseExpired', lease: { expiresAt: at(3600) } }))
  it('of what is not held is nothing new', () => given([]).when(expire, at(0)).thenNothing())
})

describe('Revoke', () => {
  it('takes the lease away', () => given(bound).when(revoke, at(60)).then({ type: 'LeaseRevoked', reason: 'abuse' }))
  it('frees it for others at once', () =>
    given(history([claim(ann), at(0)], [revoke, at(60)]))
      .when(claim(bob), at(60))
      .then({ type: 'LeaseClaimed' }))
  it('of what is not held is nothing new', () => given([]).when(revoke, at(0)).thenNothing())
})

describe('Import', () => {
  const lease = bound[0]?.lease
  if (lease === undefined) throw new Error('a claim gives a lease')
  const importIt: Command = { type: 'Import', lease, status: 'bound', source: 'kea-leases4.csv' }
  it('takes a lease over', () => given([]).when(importIt, at(5)).then({ type: 'LeaseImported', status: 'bound' }))
  it('happens once', () => given(bound).when(importIt, at(5)).thenRefused('AlreadyKnown'))
  it('makes the lease count', () =>
    given(history([importIt, at(5)]))
      .when(claim(bob), at(6))
      .thenRefused('HeldByAnother'))
})
