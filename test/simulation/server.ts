/** A server of a simulation: the parts that the service is made of, on a simulated store, clock and network. */
import * as E from 'fp-ts/lib/Either.js'
import type { MemoryLedger } from '../../adapters/memory/memory-store.ts'
import { openMemoryTables } from '../../projections/memory/memory-tables.ts'
import type { MemoryTables } from '../../projections/memory/memory-tables.ts'
import type { Config, Dhcp4, Dhcp6 } from '../../server/config/model.ts'
import { openCore } from '../../server/core.ts'
import type { Core } from '../../server/core.ts'
import { Handler4 } from '../../server/dhcp4/handler.ts'
import { Service4 } from '../../server/dhcp4/service.ts'
import { makeDuidLl } from '../../server/dhcp6/duid.ts'
import { Handler6 } from '../../server/dhcp6/handler.ts'
import { Service6 } from '../../server/dhcp6/service.ts'
import { Spaces } from '../../server/spaces.ts'
import { Turns } from '../../server/turns.ts'
import { silent } from '../support/servers.ts'
import { openSimulated } from './store.ts'
import type { StoreWeather } from './store.ts'
import type { World } from './world.ts'

/** Which protocol a datagram speaks. */
export type Family = 4 | 6

/** What all servers of a simulation share. */
export interface Site {
  readonly world: World
  readonly ledger: MemoryLedger
  readonly tables: MemoryTables
  readonly weather: StoreWeather
  readonly config: Config & { readonly dhcp4: Dhcp4; readonly dhcp6: Dhcp6 }
  /** Carries a reply to the clients. */
  readonly reply: (family: Family, bytes: Uint8Array) => void
}

/** A server by its name, which may be dead, starting or serving. Each start is another incarnation. */
export class SimulatedServer {
  readonly name: string
  /** Its address, uint32: the server identifier. */
  readonly address: number
  /** How far its clock is ahead of the true time. ms. */
  skewMs: number
  readonly fatal: string[] = []
  readonly #site: Site
  #incarnation = 0
  #core: Core | undefined
  #handler4: Handler4 | undefined
  #handler6: Handler6 | undefined

  constructor(site: Site, name: string, address: number, skewMs: number) {
    this.#site = site
    this.name = name
    this.address = address
    this.skewMs = skewMs
  }

  /** The parts of the incarnation that serves; undefined while none does. */
  get core(): Core | undefined {
    return this.#core
  }

  /** Begins another incarnation. It serves when it has caught up, unless it is killed before. */
  start(): void {
    const own = ++this.#incarnation
    void this.#open(() => this.#incarnation === own)
  }

  /** SIGKILL: whatever it is about to do does not happen any more. */
  kill(): void {
    this.#incarnation++
    this.#core = undefined
    this.#handler4 = undefined
    this.#handler6 = undefined
  }

  /** Takes a datagram off the network. */
  receive(family: Family, bytes: Uint8Array): void {
    const own = this.#incarnation
    const send = (answer: Uint8Array): void => {
      if (this.#incarnation === own) this.#site.reply(family, answer)
    }
    const arrival = { sourcePort: 67, interfaceName: undefined }
    if (family === 4)
      this.#handler4?.handle(bytes, { ...arrival, localAddress: this.address, sourceAddress: RELAY }, send)
    else this.#handler6?.handle(bytes, { ...arrival, sourceAddress: 'fe80::1' }, send)
  }

  async #open(isAlive: () => boolean): Promise<void> {
    const { world, ledger, tables, weather, config } = this.#site
    const store = openSimulated(world, ledger, weather, this.name, isAlive)
    const now = (): number => world.now + this.skewMs
    const stores = {
      store,
      tables: [openMemoryTables(tables)],
      connection: undefined,
      failed: new Promise<string>(() => undefined),
      close: () => Promise.resolve(),
    }
    const onFatal = (reason: string): void => {
      if (isAlive()) this.fatal.push(reason)
    }
    const core = await openCore(config, { log: silent, now, timer: world.timer(isAlive), onFatal }, stores)
    if (!isAlive()) return
    // A service whose store is away at the start ends with an error; whoever runs it starts it again.
    if (E.isLeft(core)) return void world.after(500, () => isAlive() && this.start())
    this.#serve(core.right, now, isAlive)
  }

  #serve(core: Core, now: () => number, isAlive: () => boolean): void {
    const { world, config } = this.#site
    const { ledger, replica, counters } = core
    const { dhcp4, dhcp6 } = config
    const spaces = new Spaces(replica, now, () => world.random(), dhcp4, dhcp6)
    replica.listen((stream) => spaces.sync(stream))
    const makeRoom = async (): Promise<boolean> => {
      if (!(await core.follower.catchUp())) return false
      await core.sweeper.sweep(true)
      return ledger.health === 'up'
    }
    const shared = { ledger, replica, spaces, now, log: silent, makeRoom }
    const share = () => ({ own: this.name, alive: core.cluster.alive })
    const limits = { now, counters, log: silent, queueMax: 1000, packetAgeMsMax: 4000, answers: () => true }
    const turnsOf = { share, now, timer: world.timer(isAlive) }
    const isOwnAddress = (address: number): boolean => address === this.address
    this.#handler4 = new Handler4({
      config: dhcp4,
      service: new Service4({ config: dhcp4, isOwnAddress, catchUp: () => core.follower.catchUp(), ...shared }),
      ports: { server: 67, client: 68 },
      turns: new Turns(turnsOf),
      ...limits,
    })
    this.#handler6 = new Handler6({
      config: dhcp6,
      service: new Service6({ config: dhcp6, ...shared }),
      serverDuid: makeDuidLl(1, Uint8Array.of(2, 0, 0, 0, 1, this.address & 255)),
      ports: { server: 547, client: 546 },
      turns: new Turns(turnsOf),
      ...limits,
    })
    this.#core = core
  }
}

/** giaddr of the relay that all clients are behind: 198.18.0.1. */
export const RELAY = 0xc6120001
