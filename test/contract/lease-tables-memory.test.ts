import { makeMemoryTables, openMemoryTables } from '../../projections/memory/memory-tables.ts'
import { leaseTablesContract } from './lease-tables-contract.ts'

leaseTablesContract('memory', async () => {
  const database = makeMemoryTables()
  return {
    open: async () => openMemoryTables(database),
    clear: async () => {
      database.content = makeMemoryTables().content
    },
    dispose: async () => undefined,
  }
})
