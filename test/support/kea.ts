/** The distribution's Kea as a server under test, for comparison and for proving the tests themselves. */
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import type { TestMariadb } from './mariadb.ts'
import type { TestPostgres } from './postgres.ts'
import { must, PATIENCE_MS, signalOne, start, which } from './process.ts'
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

// ---------------------------------------------------------------- Its database and its commands

const SCRIPTS = '/usr/share/kea/scripts'

/** Why Kea cannot have its tables in a database here, or undefined when it can. */
export const keaTablesMissing = (engine: 'pgsql' | 'mysql'): string | undefined => {
  const missing = (engine === 'pgsql' ? ['psql'] : ['mariadb', 'mysql']).filter(
    (program) => which(program) === undefined,
  )
  if (missing.length > 0) return `needs ${missing.join(' and ')}`
  const file = `${SCRIPTS}/${engine}/dhcpdb_create.${engine}`
  return existsSync(file) ? undefined : `needs ${file}, which is part of kea-admin`
}

/** Makes a database with Kea's own tables; gives what goes into `lease-database`. */
export const makeKeaPostgres = async (server: TestPostgres, name: string): Promise<object> => {
  await server.createDatabase(name)
  const at = ['-h', server.socketFolder, '-p', String(server.port), '-U', server.user, '-d', name]
  await must(['psql', '-q', '-v', 'ON_ERROR_STOP=1', ...at, '-f', `${SCRIPTS}/pgsql/dhcpdb_create.pgsql`])
  const { host, port, user } = server
  return { type: 'postgresql', host, port, user, password: '', name }
}

/** Makes a database with Kea's own tables; gives what goes into `lease-database`. */
export const makeKeaMariadb = async (server: TestMariadb, name: string): Promise<object> => {
  await server.createDatabase(name)
  const input = await readFile(`${SCRIPTS}/mysql/dhcpdb_create.mysql`, 'utf8')
  const account = [`--user=${server.user}`, `--password=${server.password}`]
  const command = ['mariadb', '--no-defaults', `--socket=${server.socketPath}`, ...account, name]
  await must(command, { input, timeoutMs: 60_000 })
  const { host, port, user, password } = server
  return { type: 'mysql', host, port, user, password, name }
}

/** The hook of Kea with the lease commands, such as `lease4-get-all`; undefined where it is not installed. */
export const leaseCommandsHook = (): string | undefined => {
  const folders = existsSync('/usr/lib') ? readdirSync('/usr/lib') : []
  return folders.map((folder) => `/usr/lib/${folder}/kea/hooks/libdhcp_lease_cmds.so`).find((file) => existsSync(file))
}

/** What Kea answers to a command: 0 is success, 3 is nothing found. */
export interface KeaAnswer {
  readonly result: number
  readonly text?: string
  readonly arguments?: { readonly leases?: ReadonlyArray<Readonly<Record<string, unknown>>> }
}

/** Gives Kea a command over its control socket. */
export const askKea = (socket: string, command: string, args?: object): Promise<KeaAnswer> =>
  new Promise((resolve, reject) => {
    let answer = ''
    const connection = createConnection(socket)
    connection.setEncoding('utf8').setTimeout(PATIENCE_MS, () => connection.destroy(new Error(`${command}: no answer`)))
    connection.on('data', (text: string) => (answer += text)).on('error', reject)
    connection.on('end', () => resolve(JSON.parse(answer) as KeaAnswer))
    connection.write(JSON.stringify({ command, ...(args === undefined ? {} : { arguments: args }) }))
  })
