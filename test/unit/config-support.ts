/** Configurations as text, for the tests of the configuration. */
import * as E from 'fp-ts/lib/Either.js'
import { formatErrors, resolveSources } from '../../server/config/load.ts'
import type { Overrides } from '../../server/config/ledger.ts'
import type { Config, Dhcp4, Dhcp6 } from '../../server/config/model.ts'
import { sourceOf } from '../../server/config/source.ts'

const resolve = (texts: readonly string[], overrides: Overrides) => {
  const sources = texts.map((text, index) => sourceOf(index === 0 ? 'test.conf' : `test${index + 1}.conf`, text))
  const failed = sources.find(E.isLeft)
  if (failed !== undefined) return E.left([failed.left])
  return resolveSources(
    sources.filter(E.isRight).map(({ right }) => right),
    overrides,
  )
}

/** The model of a configuration that must be good. */
export const good = (text: string, overrides: Overrides = {}): Config => {
  const config = resolve([text], overrides)
  if (E.isLeft(config)) throw new Error(formatErrors(config.left))
  return config.right
}

/** The lines that are printed for configurations that must be bad. */
export const bad = (...texts: readonly string[]): readonly string[] => {
  const config = resolve(texts, {})
  if (E.isRight(config)) throw new Error('the configuration was accepted')
  return formatErrors(config.left).split('\n')
}

/** `Dhcp4` with these members, beside a database and an interface. */
export const dhcp4 = (members: string): string =>
  `{"Dhcp4": {"interfaces-config": {"interfaces": ["eth0"]}, "lease-database": {"type": "memory"}, ${members}}}`

/** The same for `Dhcp6`. */
export const dhcp6 = (members: string): string => dhcp4(members).replace('Dhcp4', 'Dhcp6')

export const good4 = (members: string): Dhcp4 => good(dhcp4(members)).dhcp4 as Dhcp4
export const good6 = (members: string): Dhcp6 => good(dhcp6(members)).dhcp6 as Dhcp6

/** Paths and messages only. */
export const bad4 = (members: string): readonly string[] => bad(dhcp4(members)).map(withoutPlace)
export const bad6 = (members: string): readonly string[] => bad(dhcp6(members)).map(withoutPlace)

const withoutPlace = (line: string): string => line.replace(/^test\d*\.conf:\d+:\d+: /, '')
