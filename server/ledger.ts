/**
 * Command execution: turns commands into events in the store, many at a time.
 *
 * A command is decided at once on what the replica knows; its event goes into the next batch, and the reply waits until
 * the store has said that the event is durable. While one batch is being committed the next one collects. Each stream has
 * one decision under way at a time; later commands for it wait their turn. A lost race (another server wrote the
 * stream) reads the stream and decides again. A refusal is never given from memory: the stream is read from the
 * store first.
 *
 * Offers promise nothing, so they are answered from memory and written behind, after the claims, if by then nobody has
 * claimed them.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { AppendError, EventStore, Outcome, Proposal, Recorded, Revision, Unsealed } from '../domain/event-store.ts'
import { NO_STREAM } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import { decide, evolve } from '../domain/lease.ts'
import type { Command, LeaseEvent, LeaseState, Offer, Policy, Refusal, Used } from '../domain/lease.ts'
import { decodeStored } from '../domain/lease-codec.ts'
import type { StreamName } from '../domain/stream.ts'
import { pauseFor } from '../projections/timer.ts'
import type { Timer } from '../projections/timer.ts'
import type { Logger } from './logger.ts'
import { PassingMap } from './passing-map.ts'
import type { Replica } from './replica.ts'
import { UnrecordedRenewals } from './unrecorded-renewals.ts'

/** Why a command got no answer that rests on the ledger. None of these may become a NAK. */
export type Failure =
  /** The store cannot be reached, or what it did with the command is not known yet. */
  | { readonly _tag: 'Unavailable' }
  /** Too many commands are waiting. */
  | { readonly _tag: 'Overloaded' }
  /** Other servers won the stream again and again. */
  | { readonly _tag: 'Contended' }

/** A command that was carried out, or was so already: the state after it, and the event if one was written. */
export interface Done {
  readonly state: LeaseState
  readonly event: LeaseEvent | undefined
}

/** What comes back for a command. A refusal has been confirmed by the store. */
export type Answer = Either<Refusal | Failure, Done>

/** Whether the store answers: `settling` while the outcome of a batch is unknown, `down` while it cannot be reached. */
export type Health = 'up' | 'settling' | 'down' | 'stopped'

/** Numbers since the start, for logs and metrics. */
export interface LedgerCounters {
  appended: number
  batches: number
  conflicts: number
  offersWritten: number
  offersOvertaken: number
  overloaded: number
  outages: number
}

/** What the ledger is made of. Times in ms. */
export interface LedgerOptions {
  readonly store: EventStore
  readonly replica: Replica
  readonly policy: Policy
  readonly now: () => Instant
  readonly timer: Timer
  readonly log: Logger
  readonly batchMax: number
  readonly offerBatchMax: number
  readonly attemptsMax: number
  /** Commands waiting, those in the batch under way included. */
  readonly queueMax: number
  /** How long an offer waits for its claim before it is written by itself. */
  readonly offerDelayMs: number
  /** Pause between attempts to reach a store that is away. */
  readonly retryMs: number
  /** Whether clients that this server leaves alone have another one to turn to. */
  readonly hasPeers: () => boolean
  /** Reads what was appended by others since, before commands are taken again after an outage. */
  readonly catchUp: () => Promise<boolean>
  /** Told of every event that this server appended, in the order of its log. */
  readonly onAppended: (events: ReadonlyArray<Recorded>) => void
  /** The process cannot go on: another one writes its log, or the store cannot be worked with. */
  readonly onFatal: (reason: string) => void
}

interface Task {
  readonly stream: StreamName
  readonly command: Command
  readonly resolve: (answer: Answer) => void
  attempts: number
  /** The refusal, or the lack of anything to do, rests on what the store said and not on the replica. */
  confirmed: boolean
  /** What is to be appended, decided on the state at revision `expected`. */
  event: LeaseEvent | undefined
  expected: Revision
  /** The offer of this server, not written, that the event is decided on: it holds the address again if the event comes to nothing. */
  offered: Used | undefined
  waiting: Task[]
}

interface PendingOffer {
  readonly stream: StreamName
  readonly expected: Revision
  readonly event: LeaseEvent
  readonly at: Instant
}

/** Commands that may wait for one stream; a client that sends more of them at once is not served sooner. */
const WAITING_PER_STREAM_MAX = 16

/**
 * Where there are other servers, nothing is offered while a batch waits for longer than this: a client that takes the offer
 * of a server which has lost its store is bound to that server and waits, while another one could have served it. ms.
 */
const OFFER_PATIENCE_MS = 300

const unavailable: Answer = E.left({ _tag: 'Unavailable' })
const overloaded: Answer = E.left({ _tag: 'Overloaded' })
const contended: Answer = E.left({ _tag: 'Contended' })

/** Executes commands on one store for one server. */
export class Ledger {
  readonly counters: LedgerCounters = {
    appended: 0,
    batches: 0,
    conflicts: 0,
    offersWritten: 0,
    offersOvertaken: 0,
    overloaded: 0,
    outages: 0,
  }
  readonly #options: LedgerOptions
  readonly #decide: ReturnType<typeof decide>
  readonly #underWay = new PassingMap<StreamName, Task>()
  readonly #offers = new PassingMap<StreamName, PendingOffer>()
  readonly #unrecorded = new UnrecordedRenewals()
  #queue: Task[] = []
  #unconfirmed: Task[] = []
  #waiting = 0
  #health: Health = 'up'
  #appending = false
  /** When the batch under way was sent. */
  #sentAt: Instant = 0
  #reading = false
  #flushPlanned = false
  #idle: (() => void)[] = []

  constructor(options: LedgerOptions) {
    this.#options = options
    this.#decide = decide(options.policy)
  }

  /** Whether commands can be carried out now. */
  get health(): Health {
    return this.#health
  }

  /** Commands that have not been answered yet. */
  get waiting(): number {
    return this.#waiting
  }

  /** Offers that wait to be written or claimed. */
  get offersPending(): number {
    return this.#offers.size
  }

  /**
   * Carries out a command on the lease of a stream. The answer comes after the event is durable, or with a confirmed
   * refusal. `Unavailable` comes at once while the store is known to be away.
   */
  execute(stream: StreamName, command: Command): Promise<Answer> {
    if (this.#health !== 'up') return Promise.resolve(unavailable)
    const before = this.#underWay.get(stream)
    if (this.#waiting >= this.#options.queueMax || (before?.waiting.length ?? 0) >= WAITING_PER_STREAM_MAX) {
      this.counters.overloaded++
      return Promise.resolve(overloaded)
    }
    this.#waiting++
    return new Promise((resolve) => {
      const task: Task = makeTask(stream, command, resolve)
      if (before !== undefined) before.waiting.push(task)
      else this.#start(task)
    })
  }

  /**
   * Holds an address for a client, from memory and at once. With `record` it is written behind. A refusal here only means
   * that another address should be tried; it is no answer to a client.
   */
  offer(stream: StreamName, command: Offer, record: boolean): Either<Refusal | Failure, LeaseState> {
    const { replica, now } = this.#options
    const at = now()
    if (this.#health !== 'up' || this.#isStuck(at)) return E.left({ _tag: 'Unavailable' })
    const state = replica.effective(stream)
    const decided = this.#decide(state, command, at)
    if (E.isLeft(decided)) return decided
    if (decided.right._tag === 'None') return E.right(state)
    const event = decided.right.value
    const offered = evolve(state, event) as Used
    replica.plan(stream, offered)
    if (record && this.#offers.size < this.#options.queueMax) {
      this.#offers.set(stream, { stream, expected: replica.revision(stream), event, at })
      this.#planFlush()
    }
    return E.right(offered)
  }

  /** Whether the store has been silent on a batch for so long that clients had better take what another server offers. */
  #isStuck(at: Instant): boolean {
    return this.#appending && at - this.#sentAt > OFFER_PATIENCE_MS && this.#options.hasPeers()
  }

  /** Lets go of offers whose time is over; those that were not written are not written any more. */
  lapse(): void {
    for (const stream of this.#options.replica.lapse(this.#options.now())) this.#offers.delete(stream)
    this.#planFlush()
  }

  /** Waits until everything that is under way has been answered and all offers are written, or the store is away. */
  async drain(): Promise<void> {
    while (this.#isBusy()) {
      this.#flush(true)
      // When the last offers had been overtaken, nothing is under way that would call back.
      if (this.#isBusy()) await new Promise<void>((resolve) => this.#idle.push(resolve))
    }
  }

  #isBusy(): boolean {
    return (this.#waiting > 0 || this.#offers.size > 0 || this.#appending) && this.#health === 'up'
  }

  /** Takes no more commands; what is waiting is answered `Unavailable`. */
  stop(): void {
    this.#health = 'stopped'
    this.#failQueued()
  }

  #start(task: Task): void {
    this.#underWay.set(task.stream, task)
    this.#advance(task)
  }

  #advance(task: Task): void {
    const { replica, now } = this.#options
    // Nothing else is under way on this stream, so all that can be planned for it is an offer of this server.
    const state = replica.effective(task.stream)
    const at = now()
    const decided = this.#decide(state, this.#unrecorded.counted(task.stream, task.command, state), at)
    if (E.isRight(decided) && decided.right._tag === 'Some') {
      task.event = decided.right.value
      task.expected = replica.revision(task.stream)
      task.offered = replica.planned(task.stream)
      replica.plan(task.stream, evolve(state, task.event) as Used)
      this.#queue.push(task)
      this.#planFlush()
      return
    }
    // Expiry is tried on a guess and answers nobody; everything else must not be refused, nor granted anew, from memory.
    if (task.confirmed || task.command.type === 'Expire') {
      if (E.isRight(decided)) this.#unrecorded.note(task.stream, task.command, state, at)
      this.#finish(task, E.isLeft(decided) ? decided : E.right({ state, event: undefined }))
      return
    }
    this.#unconfirmed.push(task)
    void this.#confirm()
  }

  #finish(task: Task, answer: Answer): void {
    this.#waiting--
    if (task.event !== undefined) this.#unplan(task)
    this.#underWay.delete(task.stream)
    const [next, ...others] = task.waiting
    if (next !== undefined) {
      next.waiting.push(...others)
      if (this.#health === 'up') this.#start(next)
      else this.#finish(next, unavailable)
    }
    task.resolve(answer)
  }

  /**
   * Forgets what was planned for a command. A client whose claim the store did not take still has its offer, and asks again:
   * until that lapses nobody else is led to the address.
   */
  #unplan({ stream, offered, expected }: Task): void {
    const { replica } = this.#options
    if (offered !== undefined && replica.revision(stream) === expected) replica.plan(stream, offered)
    else replica.unplan(stream)
  }

  /** Reads the streams of commands that are about to be refused, all in one go, and decides them again. */
  async #confirm(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    while (this.#unconfirmed.length > 0) {
      const tasks = this.#unconfirmed.splice(0, this.#options.batchMax)
      const fresh = await this.#refresh(tasks.map((task) => task.stream))
      for (const task of tasks) {
        task.confirmed = true
        if (fresh) this.#advance(task)
        else this.#finish(task, unavailable)
      }
    }
    this.#reading = false
    this.#settleIdle()
  }

  /** Brings streams up to date from the store. `false` when it cannot be reached. */
  async #refresh(streams: ReadonlyArray<StreamName>): Promise<boolean> {
    const { store, log, onFatal, replica } = this.#options
    const read = await store.readLatest(streams)()
    if (E.isLeft(read)) {
      if (read.left._tag === 'StoreUnusable') onFatal(read.left.reason)
      log.warn({ reason: read.left.reason }, 'cannot read from the store')
      return false
    }
    return read.right.every((stored) => applyStored(replica, stored, onFatal))
  }

  #planFlush(): void {
    if (this.#flushPlanned || this.#appending || this.#health !== 'up') return
    this.#flushPlanned = true
    this.#options.timer.soon(() => {
      this.#flushPlanned = false
      this.#flush(false)
    })
  }

  #flush(allOffers: boolean): void {
    if (this.#appending || this.#health !== 'up') return
    const tasks = this.#takeQueued()
    if (tasks.length > 0) return void this.#appendClaims(tasks)
    const offers = this.#ripeOffers(allOffers)
    if (offers.length > 0) return void this.#appendOffers(offers)
    this.#settleIdle()
  }

  /**
   * The next commands to append. What was decided on a state that has been overtaken since is decided again first: its
   * event must never be sent with a newer revision than the one it was decided on.
   */
  #takeQueued(): Task[] {
    const { replica, batchMax } = this.#options
    const tasks: Task[] = []
    for (let left = this.#queue.length; left > 0 && tasks.length < batchMax; left--) {
      const task = this.#queue.shift() as Task
      if (replica.revision(task.stream) === task.expected) tasks.push(task)
      else {
        replica.unplan(task.stream)
        task.event = undefined
        this.#advance(task)
      }
    }
    return tasks
  }

  async #appendClaims(tasks: Task[]): Promise<void> {
    const { replica, now } = this.#options
    const at = now()
    const batch = tasks.map((task): Proposal => {
      if (this.#offers.delete(task.stream)) this.counters.offersOvertaken++
      return { stream: task.stream, expected: task.expected, event: task.event as LeaseEvent, recordedAt: at }
    })
    let late = false
    await this.#append(
      batch,
      (outcomes) => {
        const losers = this.#takeOutcomes(batch, outcomes)
        return () => {
          tasks.forEach((task, i) => {
            if (losers[i] === false) {
              const event = task.event as LeaseEvent
              this.#finish(task, E.right({ state: replica.get(task.stream).state, event }))
            }
          })
          const lost = tasks.filter((_, i) => losers[i])
          if (late) for (const task of lost) this.#finish(task, unavailable)
          else this.#decideAgain(lost)
        }
      },
      (answerNow) => {
        // An unknown outcome keeps the streams closed until it is settled, but the clients need not wait for that.
        late = answerNow
        if (answerNow) for (const task of tasks) task.resolve(unavailable)
        else for (const task of tasks) this.#finish(task, unavailable)
      },
    )
  }

  async #appendOffers(offers: ReadonlyArray<PendingOffer>): Promise<void> {
    const { replica } = this.#options
    const batch = offers.map(({ stream, expected, event, at }): Proposal => ({
      stream,
      expected,
      event,
      recordedAt: at,
    }))
    for (const { stream } of offers) this.#offers.delete(stream)
    await this.#append(
      batch,
      (outcomes) => {
        const losers = this.#takeOutcomes(batch, outcomes)
        this.counters.offersWritten += losers.filter((lost) => !lost).length
        for (const { stream } of offers) if (!this.#underWay.has(stream)) replica.unplan(stream)
        return () => undefined
      },
      () => undefined,
    )
  }

  /**
   * Sends a batch and, if its outcome is unknown, goes on until it is known. `done` takes in the outcomes whenever they come,
   * and gives what answers; `failed(true)` says that they will come late, `failed(false)` that nothing was written. The next
   * batch is sent before the answers, so that the database works while replies are written.
   */
  async #append(
    batch: ReadonlyArray<Proposal>,
    done: (outcomes: ReadonlyArray<Outcome>) => () => void,
    failed: (answerNow: boolean) => void,
  ): Promise<void> {
    const { store } = this.#options
    this.#appending = true
    this.#sentAt = this.#options.now()
    this.counters.batches++
    let result = await store.append(batch as unknown as ReadonlyNonEmptyArray<Proposal>)()
    if (E.isLeft(result) && result.left._tag === 'OutcomeUnknown') {
      this.#leaveUp('settling', result.left.reason)
      failed(true)
      result = await this.#settle()
    }
    if (E.isRight(result)) {
      await this.#comeBack('settling')
      this.#appending = false
      const answer = done(result.right)
      this.#flush(false)
      answer()
    } else {
      this.#appending = false
      failed(false)
      this.#giveUp(result.left)
    }
    this.#planFlush()
    this.#settleIdle()
  }

  async #settle(): Promise<Either<AppendError, ReadonlyNonEmptyArray<Outcome>>> {
    const { store, retryMs, log, timer } = this.#options
    for (;;) {
      const settled = await store.settle()()
      if (E.isRight(settled)) return settled
      const { _tag, reason } = settled.left
      if (_tag === 'LogTaken' || _tag === 'StoreUnusable' || this.#health === 'stopped') return settled
      log.debug({ reason }, 'the outcome of a commit is still unknown')
      await pauseFor(timer, retryMs)
    }
  }

  #giveUp(error: AppendError): void {
    if (error._tag === 'LogTaken' || error._tag === 'StoreUnusable') {
      this.stop()
      this.#options.onFatal(error.reason)
    } else {
      this.#leaveUp('down', error.reason)
      void this.#comeBack('down')
    }
  }

  #leaveUp(health: 'settling' | 'down', reason: string): void {
    if (this.#health !== 'up') return
    this.#health = health
    this.counters.outages++
    this.#options.log.error({ reason }, 'the store does not answer: nothing is granted or refused until it does')
    this.#failQueued()
  }

  /** Catches up with what others wrote meanwhile, then takes commands again. */
  async #comeBack(from: 'settling' | 'down'): Promise<void> {
    if (this.#health !== from) return
    const { catchUp, retryMs, log, timer } = this.#options
    while (this.#health === from && !(await catchUp())) await pauseFor(timer, retryMs)
    if (this.#health !== from) return
    this.#health = 'up'
    log.info({}, 'the store answers again')
    this.#planFlush()
  }

  #failQueued(): void {
    for (const task of this.#queue.splice(0)) this.#finish(task, unavailable)
    // They are not recorded any more, and hold their addresses in memory until they lapse.
    this.#offers.clear()
  }

  /** Takes the appended events into the replica and passes them on; for each proposal whether it lost. */
  #takeOutcomes(batch: ReadonlyArray<Proposal>, outcomes: ReadonlyArray<Outcome>): boolean[] {
    const { replica, store, onAppended } = this.#options
    const events: Recorded[] = []
    const losers = outcomes.map((outcome, i) => {
      const { stream, event, recordedAt } = batch[i] as Proposal
      if (outcome._tag !== 'Appended') return true
      this.#unrecorded.forget(stream)
      const { revision, seq } = outcome
      const recorded = { log: store.log, seq, stream, revision, recordedAt, event }
      replica.apply(recorded)
      events.push(recorded)
      return false
    })
    this.counters.appended += events.length
    this.counters.conflicts += outcomes.length - events.length
    if (events.length > 0) onAppended(events)
    return losers
  }

  #decideAgain(losers: ReadonlyArray<Task>): void {
    for (const task of losers) {
      this.#options.replica.unplan(task.stream)
      task.event = undefined
      task.attempts++
      if (task.attempts >= this.#options.attemptsMax) this.#finish(task, contended)
      else this.#unconfirmed.push(task)
    }
    void this.#confirm()
  }

  /** Offers that have waited long enough for a claim, on streams where nothing is under way. */
  #ripeOffers(all: boolean): PendingOffer[] {
    const { now, offerDelayMs, offerBatchMax, replica } = this.#options
    const ripe: PendingOffer[] = []
    const before = now() - offerDelayMs
    for (const offer of this.#offers.values()) {
      if (ripe.length >= offerBatchMax || (!all && offer.at > before)) break
      if (this.#underWay.has(offer.stream)) continue
      if (replica.revision(offer.stream) === offer.expected) ripe.push(offer)
      else this.#dropOffer(offer.stream)
    }
    return ripe
  }

  #dropOffer(stream: StreamName): void {
    this.counters.offersOvertaken++
    this.#offers.delete(stream)
    this.#options.replica.unplan(stream)
  }

  #settleIdle(): void {
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

const makeTask = (stream: StreamName, command: Command, resolve: (answer: Answer) => void): Task => ({
  stream,
  command,
  resolve,
  attempts: 0,
  confirmed: false,
  event: undefined,
  expected: NO_STREAM,
  offered: undefined,
  waiting: [],
})

/** Decodes an event and takes it into the replica; `false`, after `onFatal`, when this version cannot read it. */
export const applyStored = (replica: Replica, stored: Unsealed, onFatal: (reason: string) => void): boolean => {
  const recorded = decodeStored(stored)
  if (E.isLeft(recorded)) {
    onFatal(recorded.left.reason)
    return false
  }
  replica.apply(recorded.right)
  return true
}
