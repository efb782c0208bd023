/** The distribution's Kea as a server under test, for comparison and for proving the tests themselves. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { signalOne, start, which } from './process.ts'
import type { Running } from './process.ts'
import type { Place, ServerUnderTest } from './server-under-test.ts'

/** Why Kea cannot be started here, or undefined when it can. */
export const keaMissing = (): string | undefined =>
  which('kea-dhcp4') === undefined || which('kea-dhcp6') === undefined ? 'needs kea-dhcp4 and kea-dhcp6' : undefined

const families = [
  { key: 'Dhcp4', program: 'kea-dhcp4', leases: 'leases4.csv', ready: /DHCP4_STARTED/ },
  { key: 'Dhcp6', program: 'kea-dhcp6', leases: 'leases6.csv', ready: /DHCP6_STARTED/ },
] as const

/**
 * Kea with its lease file in the place's folder: one process for each of `Dhcp4` and `Dhcp6`. A `lease-database` of
 * type `embedded` or none becomes `memfile`; others are taken as they are.
 */
export const makeKea = (place: Place): ServerUnderTest => {
  let running: Running[] = []
  let commands: { readonly command: readonly string[]; readonly ready: RegExp }[] = []
  const ended: string[] = []
  const env = { KEA_PIDFILE_DIR: place.folder, KEA_LOCKFILE_DIR: place.folder }
  const ports = [
    ...(place.serverPort === undefined ? [] : ['-p', String(place.serverPort)]),
    ...(place.clientPort === undefined ? [] : ['-P', String(place.clientPort)]),
  ]
  const restart = async () => {
    for (const { command, ready } of commands) {
      const server = await (place.start ?? start)([...command, ...ports], { env })
      running.push(server)
      await server.printed(ready)
    }
  }
  const ending = async (how: (server: Running) => Promise<unknown>) => {
    const servers = running
    running = []
    await Promise.all(servers.map(how))
    ended.push(...servers.map((server) => server.output()))
  }
  return {
    kind: 'kea',
    start: async (config) => {
      await mkdir(place.folder, { recursive: true })
      commands = []
      for (const { key, program, leases, ready } of families) {
        const given = config[key] as Record<string, unknown> | undefined
        if (given === undefined) continue
        const file = join(place.folder, `${program}.json`)
        await writeFile(file, JSON.stringify({ [key]: translate(given, join(place.folder, leases), program) }, null, 2))
        commands.push({ command: [which(program) ?? program, '-c', file], ready })
      }
      await restart()
    },
    restart,
    sigkill: () => ending(async (server) => (signalOne(server.pid, 'SIGKILL'), server.exited)),
    stop: () => ending((server) => server.stop('SIGTERM')),
    logs: () => [...ended, ...running.map((server) => server.output())].join(''),
  }
}

const translate = (config: Record<string, unknown>, leaseFile: string, logger: string): object => {
  const database = config['lease-database'] as { readonly type?: string } | undefined
  const own = database === undefined || database.type === 'embedded' || database.type === 'memfile'
  // Its DUID file has a fixed path; a DUID in the configuration needs none (32473 is the number for examples, RFC 5612).
  const serverId = { type: 'EN', 'enterprise-id': 32473, identifier: '6b6561', persist: false }
  return {
    ...(logger === 'kea-dhcp6' ? { 'server-id': serverId } : {}),
    ...config,
    'lease-database': own ? { type: 'memfile', persist: true, name: leaseFile, 'lfc-interval': 0 } : database,
    // Without an output: standard output, in every release.
    loggers: config.loggers ?? [{ name: logger, severity: 'INFO' }],
  }
}
