import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * One packet of a corpus: a file of hexadecimal octets, a field a line, `#` before comments, `00*64` for 64 zeros.
 */
export interface CorpusPacket {
  readonly name: string
  /** `ok`, the tag with which decoding must fail, or the reason for which the decoded message must be discarded. */
  readonly expected: string
  readonly bytes: Uint8Array
}

/** All packets of DHCPv4 or DHCPv6, by name. */
export const readCorpus = (version: 4 | 6): CorpusPacket[] => {
  const folder = join(import.meta.dirname, `corpus${version}`)
  const files = readdirSync(folder).filter((file) => file.endsWith('.hex'))
  return files.sort().map((file) => parse(file, readFileSync(join(folder, file), 'utf8')))
}

const parse = (file: string, text: string): CorpusPacket => {
  const expected = /^# expect: (\w+)$/m.exec(text)?.[1]
  if (expected === undefined) throw new Error(`${file} does not say what to expect`)
  const octets: number[] = []
  for (const token of text.replace(/#.*$/gm, '').split(/\s+/).filter(Boolean)) {
    const [, digits, times] = /^([0-9a-f]{2})(?:\*(\d+))?$/.exec(token) ?? []
    if (digits === undefined) throw new Error(`${file}: "${token}" is not an octet`)
    for (let count = 0; count < Number(times ?? 1); count++) octets.push(Number.parseInt(digits, 16))
  }
  return { name: file.replace(/\.hex$/, ''), expected, bytes: Uint8Array.from(octets) }
}
