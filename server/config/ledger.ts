/** Resolves the object `LeaseLedger`. */
import { resolve } from 'node:path'
import { ip4Text, ip6Text } from '../../domain/address.ts'
import type { LedgerConfig, ListenAddress, ProjectionTarget } from './model.ts'
import type { Report } from './report.ts'
import type { LedgerText } from './shapes.ts'
import { resolveStore } from './store.ts'

/** What the command line says in place of the files. */
export interface Overrides {
  readonly serverName?: string
  /** Data folder, absolute or from the working directory. */
  readonly dataFolder?: string
}

const DATA_FOLDER = 'data'
const MAX_CLOCK_SKEW_SEC = 5
const LIMITS = { queueMax: 4096, batchMax: 200, offerBatchMax: 200, attemptsMax: 4, packetAgeMsMax: 2000 } as const

/** Resolves the ledger's own settings, with those of the command line laid over. */
export const resolveLedger = (written: LedgerText | undefined, overrides: Overrides, report: Report): LedgerConfig => {
  const limits = written?.limits
  const http = written?.http
  return {
    serverName: overrides.serverName ?? written?.['server-name'],
    dataFolder: resolve(overrides.dataFolder ?? written?.['data-folder'] ?? DATA_FOLDER),
    evidenceKey: written?.['evidence-key'] === undefined ? undefined : resolve(written['evidence-key']),
    maxClockSkewSec: written?.['max-clock-skew'] ?? MAX_CLOCK_SKEW_SEC,
    loadBalancing: written?.['load-balancing'] ?? false,
    workers: written?.workers ?? 1,
    projections: resolveProjections(written, report),
    limits: {
      queueMax: limits?.['queue-max'] ?? LIMITS.queueMax,
      batchMax: limits?.['batch-max'] ?? LIMITS.batchMax,
      offerBatchMax: limits?.['offer-batch-max'] ?? LIMITS.offerBatchMax,
      attemptsMax: limits?.['attempts-max'] ?? LIMITS.attemptsMax,
      packetAgeMsMax: limits?.['packet-age-max'] ?? LIMITS.packetAgeMsMax,
    },
    http: http === undefined ? undefined : { address: http.address || '127.0.0.1', port: http.port },
  }
}

/** Explicit sockets of each protocol. */
export const listenAddresses = (
  written: LedgerText | undefined,
): { readonly dhcp4: readonly ListenAddress[]; readonly dhcp6: readonly ListenAddress[] } => ({
  dhcp4: (written?.listen?.dhcp4 ?? []).map(({ address, port }) => ({ address: ip4Text(address), port })),
  dhcp6: (written?.listen?.dhcp6 ?? []).map(({ address, port }) => ({ address: ip6Text(address), port })),
})

const resolveProjections = (written: LedgerText | undefined, report: Report): readonly ProjectionTarget[] => {
  const targets: ProjectionTarget[] = []
  for (const { at, name, database } of written?.projections ?? []) {
    if (targets.some((target) => target.name === name)) report.error([...at, 'name'], `the name ${name} is given twice`)
    const store = resolveStore(database, report)
    if (store?._tag === 'postgresql' || store?._tag === 'mysql') targets.push({ name, store })
    else if (store !== undefined) {
      report.error([...database.at, 'type'], `expected "postgresql" or "mysql" for tables, found "${database.type}"`)
    }
  }
  return targets
}
