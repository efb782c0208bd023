/**
 * Opens the DHCPv4 server's sockets inside the network namespace it is started in, for dhcp4-listen.test.ts, and tells
 * what happens as JSON lines. Its one argument is an `interfaces-config` of Kea, with `listen` as in LeaseLedger. It
 * ends on SIGTERM.
 */
import * as E from 'fp-ts/lib/Either.js'
import { ip4Text } from '../../domain/address.ts'
import { formatErrors, resolveSources } from '../../server/config/load.ts'
import { sourceOf } from '../../server/config/source.ts'
import { listen4 } from '../../server/dhcp4/listen.ts'
import { ownSockets } from '../../server/net/socket-maker.ts'
import type { Logger } from '../../server/logger.ts'

const tell = (event: string, more: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ event, ...more })}\n`)
const log: Logger = {
  debug: () => undefined,
  info: (fields, message) => tell('info', { ...fields, message }),
  warn: (fields, message) => tell('warn', { ...fields, message }),
  error: (fields, message) => tell('error', { ...fields, message }),
}

const { listen = [], ...interfaces } = JSON.parse(process.argv[2] ?? '{}') as Record<string, unknown>
const document = { Dhcp4: { 'interfaces-config': interfaces }, LeaseLedger: { listen: { dhcp4: listen } } }
const source = sourceOf('probe', JSON.stringify(document))
const config = E.isLeft(source) ? E.left([source.left]) : resolveSources([source.right])
if (E.isLeft(config)) throw new Error(formatErrors(config.left))
if (config.right.dhcp4 === undefined) throw new Error('the configuration has no Dhcp4')
const opened = await listen4({
  interfaces: config.right.dhcp4.interfaces,
  ports: { server: 67, client: 68 },
  now: Date.now,
  log,
  sockets: ownSockets,
  receive: (bytes, { localAddress, interfaceName }) =>
    tell('datagram', { text: Buffer.from(bytes).toString(), to: ip4Text(localAddress), interfaceName }),
})
if (E.isLeft(opened)) tell('refused', { tag: opened.left._tag })
else {
  tell('ready', { where: opened.right.where, addresses: [...opened.right.addresses].map(ip4Text) })
  process.once('SIGTERM', () => void opened.right.close().then(() => tell('closed')))
}
