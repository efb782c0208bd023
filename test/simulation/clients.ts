/** The clients of a simulation: what they do, what they believe to hold, and the network between them and the servers. */
import { makeClient4, transactionOf4 } from '../../server/simulator/client4.ts'
import { makeClient6, transactionOf6 } from '../../server/simulator/client6.ts'
import type { SimulatedClient, Task } from '../../server/simulator/client.ts'
import { RELAY } from './server.ts'
import type { Family, SimulatedServer } from './server.ts'
import type { World } from './world.ts'

/** The network between clients and servers. */
export interface NetworkWeather {
  /** Probabilities for each packet and receiver. */
  loss: number
  duplication: number
  /** Longest time on the way, ms. */
  delayMsMax: number
}

/** What a client believes. Times are true ones. */
export interface Belief {
  /** Streams of the address and the prefix that it uses. */
  readonly streams: ReadonlyArray<string>
  /** Until when it uses them (RFC 2131 §4.4.1: from the sending of the request). */
  readonly until: number
}

interface Exchange {
  readonly task: Task
  xid: number
  bytes: Uint8Array
  /** When the message that is repeated was sent first. */
  sentAt: number
  attempts: number
}

/** Longest time that any packet is on the way; a client that gave back its address stays silent for longer. ms. */
export const DELAY_MS_MAX = 3000

const ATTEMPTS_MAX = 4

/** Link-address of the relay: 2001:db8::1. */
const LINK6 = 0x20010db8_00000000_00000000_00000001n

/** One client. */
export class Client {
  readonly name: string
  readonly family: Family
  belief: Belief | undefined
  /** Times that it was granted, and refused, a lease. */
  granted = 0
  refused = 0
  /** Refusals that came while it had a lease with time left. */
  readonly wronged: string[] = []
  readonly #world: World
  readonly #client: SimulatedClient
  readonly #transactionMax: number
  readonly #send: (bytes: Uint8Array) => void
  readonly #onGrant: (client: Client) => void
  #exchange: Exchange | undefined

  constructor(
    world: World,
    family: Family,
    index: number,
    send: (bytes: Uint8Array) => void,
    onGrant: (client: Client) => void,
  ) {
    this.family = family
    this.#transactionMax = family === 4 ? 2 ** 31 : 2 ** 24 - 1
    this.#world = world
    this.#send = send
    this.#onGrant = onGrant
    this.name = `020000000${index.toString(16).padStart(3, '0')}`
    const hardwareAddress = Uint8Array.of(2, 0, 0, 0, index >> 8, index & 255)
    const wants = { hardwareAddress, link: LINK6, na: true, pd: index % 2 === 0, rapidCommit: index % 3 === 0 }
    this.#client = family === 4 ? makeClient4(hardwareAddress, { address: RELAY, link: undefined }) : makeClient6(wants)
    this.#next(world.between(0, 2000))
  }

  /** The key under which servers know it. */
  get holder(): string {
    return this.family === 4 ? `hw:1:${this.name}` : `duid:00030001${this.name}/1`
  }

  /** What it uses now. */
  uses(now: number): ReadonlyArray<string> {
    return this.belief !== undefined && now < this.belief.until ? this.belief.streams : []
  }

  /** Takes a datagram off the network; most are for others. */
  receive(bytes: Uint8Array): void {
    const exchange = this.#exchange
    const transactionOf = this.family === 4 ? transactionOf4 : transactionOf6
    if (exchange === undefined || transactionOf(bytes) !== exchange.xid) return
    const reaction = this.#client.react(bytes, exchange.xid, () => this.#fresh())
    switch (reaction._tag) {
      case 'Next':
        this.#begin({ ...exchange, xid: reaction.transactionId, bytes: reaction.bytes })
        return
      case 'Granted': {
        this.granted++
        this.belief = { streams: this.#client.lease(), until: exchange.sentAt + reaction.leaseTimeSec * 1000 }
        this.#onGrant(this)
        return this.#end(this.#world.between(500, 12_000))
      }
      case 'Refused':
        this.refused++
        if (exchange.task !== 'acquire' && this.uses(this.#world.now).length > 0) {
          this.wronged.push(`${this.name} was refused ${this.belief?.streams.join()} with time left`)
        }
        this.belief = undefined
        return this.#end(this.#world.between(100, 1000))
      case 'Ignored':
        return
    }
  }

  #fresh(): number {
    return this.#world.between(1, this.#transactionMax)
  }

  #next(afterMs: number): void {
    this.#world.after(afterMs, () => this.#act())
  }

  #end(pauseMs: number): void {
    this.#exchange = undefined
    this.#next(pauseMs)
  }

  #act(): void {
    const world = this.#world
    const holds = this.uses(world.now).length > 0 && this.#client.bound()
    const xid = this.#fresh()
    if (holds && world.chance(0.15)) {
      this.#send(this.#client.begin('release', xid))
      this.belief = undefined
      return this.#next(DELAY_MS_MAX + world.between(100, 3000))
    }
    // Now and then a client goes away without a word, and its lease has to run out.
    if (world.chance(0.1)) return this.#next(world.between(5_000, 40_000))
    const task: Task = !holds ? 'acquire' : world.chance(0.3) ? 'rebind' : world.chance(0.15) ? 'acquire' : 'renew'
    this.#begin({ task, xid, bytes: this.#client.begin(task, xid), sentAt: 0, attempts: 0 })
  }

  #begin(exchange: Exchange): void {
    this.#exchange = { ...exchange, sentAt: this.#world.now, attempts: 0 }
    this.#transmit(this.#exchange)
  }

  #transmit(exchange: Exchange): void {
    exchange.attempts++
    this.#send(exchange.bytes)
    this.#world.after(1000 * 2 ** (exchange.attempts - 1) + this.#world.between(0, 500), () => {
      if (this.#exchange !== exchange) return
      if (exchange.attempts >= ATTEMPTS_MAX) this.#end(this.#world.between(100, 1000))
      else this.#transmit(exchange)
    })
  }
}

/** Carries packets: to every server, as relays do that know several, and back to every client. */
export class Network {
  readonly #world: World
  readonly #weather: NetworkWeather

  constructor(world: World, weather: NetworkWeather) {
    this.#world = world
    this.#weather = weather
  }

  /** Brings a copy of the octets to a receiver, or loses it, or brings two; order is left to chance. */
  carry(bytes: Uint8Array, deliver: (bytes: Uint8Array) => void): void {
    const { loss, duplication, delayMsMax } = this.#weather
    const copies = this.#world.chance(loss) ? 0 : this.#world.chance(duplication) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const delay = this.#world.chance(0.9) ? this.#world.between(1, 30) : this.#world.between(1, delayMsMax)
      this.#world.after(delay, () => deliver(bytes.slice()))
    }
  }

  /** What a client sends reaches all servers. */
  toServers(family: Family, bytes: Uint8Array, servers: ReadonlyArray<SimulatedServer>): void {
    for (const server of servers) this.carry(bytes, (copy) => server.receive(family, copy))
  }
}
