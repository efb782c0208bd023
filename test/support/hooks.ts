/**
 * The scripts that DHCP clients call when something happens to a lease. Ours record the environment, which holds the
 * lease as the client understood it, and do the little that makes the address usable.
 */
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** One call of a client's script. */
export interface HookEvent {
  /** The client's own word for it: `bound`, `renew` (udhcpc); `BOUND`, `RENEW`, `REBIND6` … (dhclient, dhcpcd). */
  readonly reason: string
  readonly env: Readonly<Record<string, string>>
}

/** A script in a folder, and the calls it has seen. */
export interface Hook {
  readonly script: string
  readonly events: () => readonly HookEvent[]
}

/**
 * Writes a script that runs `configure`, a piece of shell that finds the client's word for the event in `$event`, and
 * then records the call, so that an address which is seen in the record can be used. Clients call their scripts one at
 * a time, so records do not mix.
 */
export const makeHook = async (folder: string, configure: string): Promise<Hook> => {
  const script = join(folder, 'hook')
  const record = join(folder, 'events')
  const text = `#!/bin/sh
# Clients pass no search path, or one of their own.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
event="\${1:-$reason}"
${configure}
{ printf 'EVENT\\0%s\\0' "$event"; env -0; printf 'END\\0'; } >> '${record}'
exit 0
`
  await writeFile(script, text, { mode: 0o755 })
  return { script, events: () => (existsSync(record) ? parse(readFileSync(record, 'utf8')) : []) }
}

const parse = (text: string): readonly HookEvent[] => {
  const events: HookEvent[] = []
  // What follows the last END is a record that is being written.
  for (const record of text.split('END\0').slice(0, -1)) {
    const [, reason = '', ...pairs] = record.split('\0')
    const env = Object.fromEntries(
      pairs
        .filter((pair) => pair.includes('='))
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    )
    events.push({ reason, env })
  }
  return events
}
