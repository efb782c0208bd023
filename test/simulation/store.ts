/** The store of a simulation: one ledger in memory behind a network that is slow, loses replies, and is cut. */
import * as E from 'fp-ts/lib/Either.js'
import { openMemory } from '../../adapters/memory/memory-store.ts'
import type { Fault, MemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import type { World } from './world.ts'

/** What is wrong with the way to the store, or the store, just now. */
export interface StoreWeather {
  /** Servers that cannot reach it. */
  readonly cutOff: Set<string>
  /** Nobody can reach it. */
  away: boolean
  /** Probability that the answer to a commit is lost. */
  lostReplies: number
}

const never = new Promise<never>(() => undefined)

/** Opens the ledger for one incarnation of a server, which stands still in the middle of any call once it is dead. */
export const openSimulated = (
  world: World,
  ledger: MemoryLedger,
  weather: StoreWeather,
  name: string,
  isAlive: () => boolean,
): EventStore => {
  const unreachable = (): boolean => weather.away || weather.cutOff.has(name)
  const fault = async (call: keyof EventStore): Promise<Fault | undefined> => {
    await world.wait(world.between(1, 15))
    if (!isAlive()) return never
    const reason = `${name} lost its connection`
    if (call === 'append' && !unreachable() && world.chance(weather.lostReplies)) {
      return { _tag: 'OutcomeUnknown', reason, committed: world.chance(0.5) }
    }
    if (!unreachable()) return undefined
    // A commit that meets a cut may or may not have come through; a read just fails. Both take their time to be noticed.
    const through = call === 'append' && !weather.away && world.chance(0.3)
    await world.wait(world.between(100, 2000))
    if (!isAlive()) return never
    return call === 'append'
      ? { _tag: 'OutcomeUnknown', reason, committed: through }
      : { _tag: 'StoreUnavailable', reason }
  }
  const store = openMemory({ ...ledger, fault: (call) => fault(call) }, name)
  /** The way back: a server may die between the commit and its answer. */
  const answered = async <A>(answer: Promise<A>): Promise<A> => {
    const value = await answer
    await world.wait(world.between(0, 10))
    return isAlive() ? value : never
  }
  return {
    ...store,
    append: (batch) => () => answered(store.append(batch)()),
    settle: () => () => answered(store.settle()()),
    // Hints are lost now and then: the truth is what is read.
    onAppended: (wake) => store.onAppended(() => void (isAlive() && world.chance(0.7) && wake())),
    close: () => Promise.resolve(),
  }
}

/** The value of an answer that cannot fail here. */
export const valueOf = <A>(answer: E.Either<unknown, A>): A => {
  if (E.isLeft(answer)) throw new Error(`unexpected: ${JSON.stringify(answer.left)}`)
  return answer.right
}
