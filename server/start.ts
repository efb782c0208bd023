/**
 * Puts the service together: the store, the replica started from the lease tables, command execution, the projector, and
 * the servers for DHCPv4 and DHCPv6. The only place that sees everything. What is opened is closed in reverse order.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Config } from './config/model.ts'
import { openCore } from './core.ts'
import type { Core, CoreOptions } from './core.ts'
import type { Counters } from './counters.ts'
import type { Ledger } from './ledger.ts'
import { openHttp } from './http.ts'
import type { HttpEndpoint } from './http.ts'
import { openProtocols } from './protocols.ts'
import type { ProtocolOptions, Protocols } from './protocols.ts'
import { openStores } from './stores.ts'
import type { Replica } from './replica.ts'
import type { Stores } from './stores.ts'

/** What the command line adds to the configuration. Ports are UDP ports, uint16. */
export interface StartOptions extends CoreOptions, ProtocolOptions {
  readonly serverName: string
  /** Whether this process has the embedded database, or shares that of another. */
  readonly storeMode: 'own' | 'share'
}

/** A running service. */
export interface Running {
  /** Where it listens, for people. */
  readonly listening: ReadonlyArray<string>
  /** How to query leases and events. */
  readonly stores: Stores
  readonly ledger: Ledger
  readonly replica: Replica
  readonly counters: Counters
  /** Serves under another configuration from now on; on `Left`, one sentence, the old one stays in force. */
  readonly reload: (config: Config) => Promise<Either<string, void>>
  /** Answers what is under way, writes what is pending, and closes everything. */
  readonly stop: () => Promise<void>
}

/** Starts the service; `Left` is one sentence that says what is wrong and what to do. Then nothing is left open. */
export const start = async (config: Config, options: StartOptions): Promise<Either<string, Running>> => {
  const { log, serverName, storeMode: mode } = options
  const stores = await openStores(config, { serverName, mode, log })
  if (E.isLeft(stores)) return stores
  const core = await openCore(config, options, stores.right)
  if (E.isLeft(core)) {
    await stores.right.close()
    return core
  }
  const protocols = await openProtocols(config, { core: core.right, options })
  if (E.isLeft(protocols)) {
    await core.right.stop()
    await stores.right.close()
    return protocols
  }
  const { http } = config.ledger
  const endpoint = http === undefined ? E.right(undefined) : await openHttp(http, core.right)
  if (E.isLeft(endpoint)) {
    await protocols.right.close()
    await core.right.stop()
    await stores.right.close()
    return endpoint
  }
  void stores.right.failed.then(options.onFatal)
  return E.right(makeRunning(config, options, stores.right, core.right, protocols.right, endpoint.right))
}

const makeRunning = (
  config: Config,
  options: StartOptions,
  stores: Stores,
  core: Core,
  first: Protocols,
  http: HttpEndpoint | undefined,
): Running => {
  let protocols = first
  let inForce = config
  return {
    get listening() {
      return http === undefined ? protocols.where : [...protocols.where, http.where]
    },
    stores,
    ledger: core.ledger,
    replica: core.replica,
    counters: core.counters,
    reload: async (next) => {
      const stays = JSON.stringify([inForce.store, inForce.ledger]) === JSON.stringify([next.store, next.ledger])
      if (!stays) options.log.warn({}, 'changes of lease-database and LeaseLedger take effect with the next start')
      // The new sockets may need the ports of the old ones.
      const before = inForce
      await protocols.close()
      const opened = await openProtocols(next, { core, options })
      if (E.isRight(opened)) {
        protocols = opened.right
        inForce = next
        return E.right(undefined)
      }
      const again = await openProtocols(before, { core, options })
      if (E.isRight(again)) protocols = again.right
      else options.onFatal(again.left)
      return E.left(opened.left)
    },
    stop: async () => {
      await http?.close()
      await protocols.close()
      await core.stop()
      await stores.close()
    },
  }
}
