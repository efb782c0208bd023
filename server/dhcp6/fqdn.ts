/** The answer to the client FQDN option (RFC 4704). */
import type { HostnameRules } from '../config/model.ts'
import { scrubbedDomain } from '../hostnames.ts'
import { Writer } from '../wire/writer.ts'
import type { Exchange6 } from './exchange.ts'
import { clientFqdn6, FQDN6_FLAG } from './option-access.ts'
import { OPTION6 } from './option-codes.ts'
import type { Option6 } from './packet.ts'

/** The name that the client has here; N set, because this server updates no DNS, and O where S was asked (RFC 4704 §6). */
export const clientFqdnReply = (exchange: Exchange6, rules: HostnameRules | undefined): Option6 | undefined => {
  const asked = clientFqdn6(exchange.packet.options)
  if (asked === undefined) return undefined
  const name = exchange.reservation?.hostname ?? scrubbedDomain(asked.name, rules)
  const overridden = (asked.flags & FQDN6_FLAG.server) !== 0 ? FQDN6_FLAG.overridden : 0
  const out = new Writer(64).u8(FQDN6_FLAG.noUpdate | overridden)
  const labels = name.split('.').filter((label) => label !== '')
  for (const label of labels) out.u8(Math.min(label.length, 63)).bytes(new TextEncoder().encode(label.slice(0, 63)))
  // A name with a domain is complete and ends in the root label; a bare host name stays partial (RFC 4704 §4.2).
  if (labels.length > 1) out.u8(0)
  return { code: OPTION6.clientFqdn, data: out.finish() }
}
