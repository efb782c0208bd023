/**
 * Plays many DHCP clients against a server, with real UDP packets: either a crowd once through, as quickly as the server
 * answers, or a steady rate for some seconds. In the spirit of perfdhcp.
 */
import type { DatagramSocket } from '../net/socket.ts'
import type { SimulatedClient, Task } from './client.ts'

/** What to play. */
export interface RunOptions {
  readonly clients: ReadonlyArray<SimulatedClient>
  readonly socket: DatagramSocket
  readonly server: { readonly address: string; readonly port: number }
  readonly transactionOf: (bytes: Uint8Array) => number | undefined
  /** Largest transaction id: 2^32 - 1 in DHCPv4, 2^24 - 1 in DHCPv6. */
  readonly transactionMax: number
  /** Exchanges begun a second; undefined begins the next one as soon as fewer than `windowMax` are under way. */
  readonly rate: number | undefined
  readonly windowMax: number
  /**
   * Exchanges begun at one moment: with a rate, at that rate on average, else the next ones when all those are over;
   * undefined begins them one by one.
   */
  readonly burst: number | undefined
  /** A message without reply is sent again after this long, `attemptsMax` times in all. */
  readonly retryMs: number
  readonly attemptsMax: number
  /** Monotonic milliseconds. */
  readonly clock: () => number
  readonly random: () => number
  /** Told now and then how many of how many exchanges are over. */
  readonly onProgress: (over: number, all: number) => void
}

/** What came of one task for all clients. */
export interface TaskResult {
  readonly task: Task
  readonly begun: number
  /** ACKs, or Replies that grant. */
  granted: number
  /** NAKs, or refusing statuses. */
  refused: number
  timeouts: number
  retransmissions: number
  /** Replies that belong to no exchange under way. */
  orphans: number
  /** From the first message to the last reply of each exchange that was granted, ms, sorted. */
  latenciesMs: number[]
  elapsedMs: number
}

interface Exchange {
  readonly client: SimulatedClient
  readonly xid: number
  readonly begunAt: number
  sentAt: number
  attempts: number
  bytes: Uint8Array
}

/** How often retransmissions are looked after and, with a rate, exchanges begun. ms. */
const TICK_MS = 5

/** Lets `count` exchanges of one task be played, the clients in turn. */
export const play = (options: RunOptions, task: Task, count: number): Promise<TaskResult> =>
  new Promise((resolve) => {
    const run = new Play(options, task, count, resolve)
    run.start()
  })

class Play {
  readonly #options: RunOptions
  readonly #count: number
  readonly #resolve: (result: TaskResult) => void
  readonly #result: TaskResult & { begun: number }
  readonly #underWay = new Map<number, Exchange>()
  #startedAt = 0
  #over = 0
  #beginning = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: RunOptions, task: Task, count: number, resolve: (result: TaskResult) => void) {
    this.#options = options
    this.#count = count
    this.#resolve = resolve
    this.#result = {
      task,
      begun: 0,
      granted: 0,
      refused: 0,
      timeouts: 0,
      retransmissions: 0,
      orphans: 0,
      latenciesMs: [],
      elapsedMs: 0,
    }
  }

  start(): void {
    this.#startedAt = this.#options.clock()
    this.#options.socket.onDatagram((bytes) => this.#receive(bytes))
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#tick()
  }

  #tick(): void {
    const { clock, retryMs, attemptsMax, onProgress } = this.#options
    const now = clock()
    // Exchanges stand in the order in which they were last sent, so the first that is not due ends the search.
    for (const exchange of this.#underWay.values()) {
      if (now - exchange.sentAt < retryMs) break
      this.#underWay.delete(exchange.xid)
      if (exchange.attempts >= attemptsMax) this.#end('timeouts')
      else {
        this.#result.retransmissions++
        exchange.attempts++
        this.#send(exchange, now)
      }
    }
    this.#beginMore(now)
    onProgress(this.#over, this.#count)
    if (this.#over >= this.#count) this.#finish()
  }

  #beginMore(now: number): void {
    if (this.#beginning) return
    this.#beginning = true
    const due = Math.min(this.#due(now), this.#count)
    while (this.#result.begun < due) {
      if (this.#isFull()) break
      this.#begin(now)
    }
    this.#beginning = false
  }

  /** How many exchanges should have been begun by now. */
  #due(now: number): number {
    const { rate, burst } = this.#options
    if (rate !== undefined) {
      const size = burst ?? 1
      return (Math.floor((((now - this.#startedAt) / 1000) * rate) / size) + 1) * size
    }
    if (burst === undefined) return this.#count
    return this.#underWay.size === 0 ? this.#result.begun + burst : this.#result.begun
  }

  #isFull(): boolean {
    const { rate, burst, windowMax } = this.#options
    return rate === undefined && burst === undefined && this.#underWay.size >= windowMax
  }

  #begin(now: number): void {
    const { clients } = this.#options
    const client = clients[this.#result.begun % clients.length] as SimulatedClient
    this.#result.begun++
    if (this.#result.task !== 'acquire' && !client.bound()) return this.#end('refused')
    const xid = this.#freshTransaction()
    const bytes = client.begin(this.#result.task, xid)
    this.#send({ client, xid, begunAt: now, sentAt: now, attempts: 1, bytes }, now)
  }

  readonly #freshTransaction = (): number => {
    const { random, transactionMax } = this.#options
    let xid = Math.floor(random() * transactionMax)
    while (this.#underWay.has(xid)) xid = (xid + 1) % transactionMax
    return xid
  }

  #send(exchange: Exchange, now: number): void {
    const { socket, server } = this.#options
    exchange.sentAt = now
    this.#underWay.set(exchange.xid, exchange)
    socket.send(exchange.bytes, server)
  }

  #receive(bytes: Uint8Array): void {
    const { transactionOf, clock } = this.#options
    const xid = transactionOf(bytes)
    const exchange = xid === undefined ? undefined : this.#underWay.get(xid)
    if (exchange === undefined) {
      this.#result.orphans++
      return
    }
    const reaction = exchange.client.react(bytes, exchange.xid, this.#freshTransaction)
    const now = clock()
    switch (reaction._tag) {
      case 'Next':
        this.#underWay.delete(exchange.xid)
        this.#send({ ...exchange, xid: reaction.transactionId, bytes: reaction.bytes, attempts: 1 }, now)
        return
      case 'Granted':
        this.#underWay.delete(exchange.xid)
        this.#result.latenciesMs.push(now - exchange.begunAt)
        this.#end('granted')
        return
      case 'Refused':
        this.#underWay.delete(exchange.xid)
        this.#end('refused')
        return
      case 'Ignored':
        return
    }
  }

  #end(how: 'granted' | 'refused' | 'timeouts'): void {
    this.#result[how]++
    this.#over++
    // Without a rate the next one begins at once; a rate is kept by the clock alone.
    if (this.#options.rate === undefined && this.#result.begun < this.#count) this.#beginMore(this.#options.clock())
  }

  #finish(): void {
    clearInterval(this.#timer)
    this.#result.elapsedMs = this.#options.clock() - this.#startedAt
    this.#result.latenciesMs.sort((a, b) => a - b)
    this.#resolve(this.#result)
  }
}

/** Sends one message for each client that has a lease and waits for no reply: DHCPv4 RELEASE has none. */
export const sendAll = (options: RunOptions, task: Task): number => {
  const bound = options.clients.filter((client) => client.bound())
  for (const client of bound) {
    const xid = Math.floor(options.random() * options.transactionMax)
    options.socket.send(client.begin(task, xid), options.server)
  }
  return bound.length
}

/** The value below which a share of the sorted values lies, e.g. 0.99; 0 without values. */
export const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0
