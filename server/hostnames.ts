/** The names of clients as they are recorded and told: see `HostnameRules`. The same for DHCPv4 and DHCPv6. */
import type { HostnameRules } from './config/model.ts'

/** Longest name that is kept, octets (RFC 1035 §2.3.4). */
const HOSTNAME_OCTETS_MAX = 255

/** A name from a host name option, as a whole: a dot is a character like others. May be empty. */
export const scrubbedName = (name: string, rules: HostnameRules | undefined): string =>
  rules === undefined ? name : name.replaceAll(rules.invalid, () => rules.replacement)

/** A domain name label by label, so that its dots stay; labels of which nothing is left are left out. May be empty. */
export const scrubbedDomain = (name: string, rules: HostnameRules | undefined): string =>
  rules === undefined
    ? name
    : name
        .split('.')
        .map((label) => scrubbedName(label, rules))
        .filter((label) => label !== '')
        .join('.')

/** A name as leases have it: in lower case, as the names of DNS do not differ by case; undefined when there is none. */
export const recordedName = (name: string | undefined): string | undefined =>
  name === undefined || name === '' || name.length > HOSTNAME_OCTETS_MAX ? undefined : name.toLowerCase()
