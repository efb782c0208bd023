/** Ledgers of any size for measurements: claims and renewals of as many clients, appended through a store. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { EventStore, Proposal } from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import { makeLease } from '../../domain/lease.ts'
import type { Lease } from '../../domain/lease.ts'
import { lease4Stream } from '../../domain/stream.ts'

/** 100.64.0.0/10, of which the sample leases one address after the other. */
const FIRST_ADDRESS = ((100 << 24) | (64 << 16)) >>> 0

const VALID_SEC = 4000

/** The hardware address of the client that holds address number `index`, hex: mixed, so that no index is in order. */
export const hardwareOf = (index: number): string =>
  `02${(Math.imul(index + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')}${(index & 255).toString(16).padStart(2, '0')}`

const leaseOf = (index: number, renewals: number, startsAt: Instant, at: Instant): Lease => {
  const hardware = hardwareOf(index)
  return makeLease(
    {
      clientId: undefined,
      duid: undefined,
      fqdnForward: undefined,
      fqdnReverse: undefined,
      holder: `hw:1:${hardware}`,
      hostname: undefined,
      hwAddress: hardware,
      hwSource: undefined,
      hwType: 1,
      iaid: undefined,
      poolId: 0,
      preferredLifetimeSec: undefined,
      relay: { address: '198.18.0.2' },
      subnetId: 1,
      transactionId: Math.imul(index, 2654435761) >>> 0,
      userContext: undefined,
      validLifetimeSec: VALID_SEC,
    },
    at + VALID_SEC * 1000,
    renewals,
    startsAt,
  )
}

/** What a sample is: `leases` claims, and renewals in turn until there are `events` events. */
export interface Sample {
  readonly leases: number
  readonly events: number
  /** Time of the first event; one event each `stepMs` follows. */
  readonly from: Instant
  readonly stepMs: number
}

/** The proposals of a sample, in order: first all claims, then renewals of each client in turn. */
export function* proposalsOf({ leases, events, from, stepMs }: Sample): Generator<Proposal> {
  for (let n = 0; n < events; n++) {
    const index = n % leases
    const renewals = Math.floor(n / leases)
    const at = from + n * stepMs
    const lease = leaseOf(index, renewals, from + index * stepMs, at)
    yield {
      stream: lease4Stream(FIRST_ADDRESS + index),
      expected: renewals - 1,
      event: { type: renewals === 0 ? 'LeaseClaimed' : 'LeaseRenewed', lease },
      recordedAt: at,
    }
  }
}

const BATCH = 1_000

/** Appends a sample. Throws when the store refuses; `onProgress` is told the events appended so far. */
export const appendSample = async (
  store: EventStore,
  sample: Sample,
  onProgress: (events: number) => void = () => undefined,
): Promise<void> => {
  let batch: Proposal[] = []
  let done = 0
  const send = async (): Promise<void> => {
    const [first, ...rest] = batch
    if (first === undefined) return
    const appended = await store.append([first, ...rest] as unknown as ReadonlyNonEmptyArray<Proposal>)()
    if (E.isLeft(appended)) throw new Error(appended.left.reason)
    done += batch.length
    batch = []
    onProgress(done)
  }
  for (const proposal of proposalsOf(sample)) {
    batch.push(proposal)
    if (batch.length >= BATCH) await send()
  }
  await send()
}

/** Seconds until the leases of a file end: long after every run. */
const FILE_VALID_SEC = 40_000

/** Writes a lease file as Kea does into a folder, with one entry a lease, and gives its path. */
export const writeLeaseFile = async (folder: string, leases: number): Promise<string> => {
  const expire = Math.floor(Date.now() / 1000) + FILE_VALID_SEC
  const lines = [
    'address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context',
  ]
  for (let n = 0; n < leases; n++) {
    const mac = hardwareOf(n).replace(/(..)(?=.)/g, '$1:')
    lines.push(`100.${64 + (n >> 16)}.${(n >> 8) & 255}.${n & 255},${mac},,${FILE_VALID_SEC},${expire},1,0,0,,0,`)
  }
  const file = join(folder, 'leases4.csv')
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}
