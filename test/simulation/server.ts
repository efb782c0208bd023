/** A server of a simulation: the parts that the service is made of, on a simulated store, clock and network. */
import * as E from 'fp-ts/lib/Either.js'
import type { MemoryLedger } from '../../adapters/memory/memory-store.ts'
import { openMemoryTables } from '../../projections/memory/memory-tables.ts'
import type { MemoryTables } from '../../projections/memory/memory-tables.ts'
import type { Config, Dhcp4 } from '../../server/config/model.ts'
import { openCore } from '../../server/core.ts'
import type { Core } from '../../server/core.ts'
import { Handler4 } from '../../server/dhcp4/handler.ts'
import { Service4 } from '../../server/dhcp4/service.ts'
import { Spaces } from '../../server/spaces.ts'
import { silent } from '../support/servers.ts'
import { openSimulated } from './store.ts'
import type { StoreWeather } from './store.ts'
import type { World } from './world.ts'

/** What all servers of a simulation share. */
export interface Site {
  readonly world: World
  readonly ledger: MemoryLedger
  readonly tables: MemoryTables
  readonly weather: StoreWeather
  readonly config: Config & { readonly dhcp4: Dhcp4 }
  /** Carries a reply to the clients. */
  readonly reply: (bytes: Uint8Array) => void
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
  #handler: Handler4 | undefined

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
    this.#handler = undefined
  }

  /** Takes a datagram off the network. */
  receive(bytes: Uint8Array): void {
    const { reply } = this.#site
    const own = this.#incarnation
    const arrival = { sourceAddress: RELAY, sourcePort: 67, localAddress: this.address, interfaceName: undefined }
    this.#handler?.handle(bytes, arrival, (answer) => {
      if (this.#incarnation === own) reply(answer)
    })
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
    this.#serve(core.right, now)
  }

  #serve(core: Core, now: () => number): void {
    const { world, config } = this.#site
    const { ledger, replica, counters } = core
    const { dhcp4 } = config
    const spaces = new Spaces(replica, now, () => world.random(), dhcp4, undefined)
    replica.listen((stream) => spaces.sync(stream))
    const service = new Service4({
      config: dhcp4,
      ledger,
      replica,
      spaces,
      now,
      log: silent,
      isOwnAddress: (address) => address === this.address,
      makeRoom: async () => {
        if (!(await core.follower.catchUp())) return false
        await core.sweeper.sweep(true)
        return ledger.health === 'up'
      },
    })
    this.#handler = new Handler4({
      config: dhcp4,
      service,
      ports: { server: 67, client: 68 },
      now,
      counters,
      log: silent,
      queueMax: 1000,
      packetAgeMsMax: 4000,
      answers: () => true,
    })
    this.#core = core
  }
}

/** giaddr of the relay that all clients are behind: 198.18.0.1. */
export const RELAY = 0xc6120001
