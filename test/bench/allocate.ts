/**
 * `npm run bench:allocate`: the time to choose an address, to take it and to free it again, at several degrees of fill of
 * pools of several sizes. It must not grow with the fill.
 */
import { findFree, startingPlace } from '../../domain/allocation.ts'
import { Occupancy } from '../../domain/occupancy.ts'
import { table } from './report.ts'

/** Pools: places, and how many of them are taken. A /64 is filled by number, since no share of it can be. */
const POOLS = [
  { name: 'IPv4 /16', size: 2 ** 16, taken: [0.1, 0.5, 0.99, 0.9999].map((share) => Math.floor(share * 2 ** 16)) },
  { name: 'IPv4 /10', size: 2 ** 22, taken: [0.1, 0.5, 0.99, 0.9999].map((share) => Math.floor(share * 2 ** 22)) },
  { name: 'IPv6 /64', size: 2 ** 52, taken: [1_000, 100_000, 1_000_000, 4_000_000] },
] as const

const CLIENTS = 100_000
const REPEATS = 5

/** Fills a pool as clients do: each takes the place that its key leads to. */
const fillTo = (occupancy: Occupancy, count: number): void => {
  for (let n = 0; occupancy.taken < count; n++) {
    const found = findFree([occupancy], startingPlace(`hw:1:02${n.toString(16).padStart(10, '0')}`, 1, occupancy.size))
    if (found !== undefined) occupancy.add(found.place)
  }
}

/** Nanoseconds for one of `CLIENTS` turns of `act`; the middle of several tries. */
const time = (act: (client: string) => void): number => {
  const clients = Array.from({ length: CLIENTS }, (_, n) => `id:01${(n * 7919).toString(16).padStart(12, '0')}`)
  const tries = Array.from({ length: REPEATS }, () => {
    const began = process.hrtime.bigint()
    for (const client of clients) act(client)
    return Number(process.hrtime.bigint() - began) / CLIENTS
  })
  return tries.sort((a, b) => a - b)[REPEATS >> 1] as number
}

const lines = POOLS.flatMap(({ name, size, taken }) => {
  const occupancy = new Occupancy(size)
  return taken.map((count) => {
    fillTo(occupancy, count)
    const choose = (client: string): number =>
      findFree([occupancy], startingPlace(client, 1, occupancy.size))?.place ?? -1
    const chosen = time(choose)
    const cycle = time((client) => {
      const place = choose(client)
      occupancy.add(place)
      occupancy.delete(place)
    })
    const share = size > 2 ** 32 ? '' : `${((count / size) * 100).toFixed(2)} %`
    return [name, count.toLocaleString('en'), share, chosen.toFixed(0), cycle.toFixed(0)]
  })
})

const headings = ['pool', 'taken', 'fill', 'choose, ns', 'choose, take and free, ns']
process.stdout.write(`${table([headings, ...lines])}\n`)
