/** The server's DUID: from the configuration, or made once and kept in the store, so that a reinstalled server keeps it. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { hexText, parseHex } from '../../domain/address.ts'
import type { EventStore } from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import type { ServerId } from '../config/model.ts'
import type { NetworkInterface } from '../net/interfaces.ts'
import { serverOf } from '../worker.ts'
import { DUID_EPOCH_SEC, makeDuidEn, makeDuidLl, makeDuidLlt, makeDuidUuid } from './duid.ts'

/** What a DUID may be made from. `randomOctets` gives that many. */
export interface DuidSources {
  readonly interfaces: ReadonlyArray<NetworkInterface>
  readonly now: Instant
  readonly randomOctets: (count: number) => Uint8Array
}

/**
 * The DUID of this server; `Left` is one sentence. Workers of one server have one DUID, through the store even where it is
 * not to persist: a client names it, and any of them may be the one that hears the client.
 */
export const serverDuidOf = async (
  configured: ServerId | undefined,
  store: EventStore,
  sources: DuidSources,
): Promise<Either<string, Uint8Array>> => {
  const made = makeServerDuid(configured, sources)
  if (configured !== undefined && isComplete(configured)) return E.right(made)
  const server = serverOf(store.log)
  if (configured?.persist === false && server === store.log) return E.right(made)
  const kept = await store.remember(`server-duid/${server}`, hexText(made))()
  if (E.isLeft(kept)) return E.left(kept.left.reason)
  const parsed = parseHex(kept.right)
  return O.isSome(parsed) ? E.right(parsed.value) : E.left(`the server DUID in the store is damaged: ${kept.right}`)
}

/** Whether the configuration alone determines the DUID, so that nothing needs to be kept. */
const isComplete = ({ type, identifier, time }: ServerId): boolean =>
  identifier !== undefined && (type !== 'LLT' || time !== undefined)

/** An Ethernet address of the machine where there is one, else a UUID (RFC 8415 §11.2 to §11.5). */
const makeServerDuid = (configured: ServerId | undefined, sources: DuidSources): Uint8Array => {
  const found = sources.interfaces.find(({ loopback, hardwareAddress }) => !loopback && hardwareAddress.length === 6)
  const address = configured?.identifier ?? found?.hardwareAddress
  const type = configured?.type ?? (address === undefined ? 'UUID' : 'LLT')
  const htype = configured?.htype ?? found?.hardwareType ?? 1
  switch (type) {
    case 'LLT':
      return makeDuidLlt(
        htype,
        configured?.time ?? Math.floor(sources.now / 1000) - DUID_EPOCH_SEC,
        address ?? sources.randomOctets(6),
      )
    case 'LL':
      return makeDuidLl(htype, address ?? sources.randomOctets(6))
    case 'EN':
      return makeDuidEn(configured?.enterpriseId ?? ISC, configured?.identifier ?? sources.randomOctets(8))
    case 'UUID':
      return makeDuidUuid(configured?.identifier ?? sources.randomOctets(16))
  }
}

/** Enterprise number that Kea uses where none is configured (2495, ISC), so that files of Kea mean here what they mean there. */
const ISC = 2495
