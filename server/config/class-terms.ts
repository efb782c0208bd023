/** The parts of a packet that class expressions name: options, relays, vendors, fields. */
import { formatOption } from '../options/definition.ts'
import type { OptionDefinition } from '../options/definition.ts'
import { OPTION_CODE_MAX } from '../options/registry.ts'
import { decodeSuboptions } from '../options/suboptions.ts'
import type { ClassAccessor, PacketField } from './class-accessor.ts'
import type { Cursor, Term } from './class-cursor.ts'
import { EMPTY, bytesOf, numberBytes } from './class-values.ts'
import { vendorClass, vendorOptions } from './class-vendor.ts'

type Octets = (packet: ClassAccessor) => Uint8Array | undefined

/** A term of octets; what is absent is empty, as in Kea. */
export const octets = (of: Octets): Term => ({ kind: 'octets', of: (packet) => of(packet) ?? EMPTY })

/** `option[60].hex`, `option[125].option[1].exists`. The word `option` has been taken. */
export const readOption = (cursor: Cursor): Term => {
  const { universe } = cursor.context
  const { code, definition } = optionCode(cursor, `dhcp${universe}`)
  const outer: Octets = (packet) => packet.option(code)
  cursor.expect('.')
  if (!cursor.accept('option')) return represented(cursor, outer, definition)
  const inner = optionCode(cursor, definition?.encapsulates ?? '')
  cursor.expect('.')
  return represented(cursor, within(universe, code, inner.code, outer), inner.definition)
}

/** Octets of fields before the options inside these DHCPv6 options (RFC 8415 §21). */
const FIELDS_BEFORE: Readonly<Record<number, number>> = { 3: 12, 4: 4, 5: 24, 17: 4, 25: 12, 26: 25 }

const within = (universe: 4 | 6, code: number, inner: number, outer: Octets): Octets => {
  const skip = universe === 6 ? (FIELDS_BEFORE[code] ?? 0) : 0
  return (packet) => {
    const bytes = outer(packet)
    return bytes === undefined ? undefined : decodeSuboptions(universe, bytes.subarray(skip), code === 43)?.get(inner)
  }
}

/** `relay4[1].hex`. */
export const readRelay4 = (cursor: Cursor, offset: number): Term => {
  if (cursor.context.universe === 6) cursor.fail(offset, 'relay4 is for DHCPv4; expected relay6 here')
  const { code, definition } = optionCode(cursor, 'dhcp-agent-options-space')
  cursor.expect('.')
  return represented(cursor, (packet) => packet.relayOption(0, code), definition)
}

/** How deep relays may be nested (RFC 8415 §7.6). */
const NESTING_MAX = 32

/** `relay6[0].option[18].hex`, `relay6[-1].peeraddr`. */
export const readRelay6 = (cursor: Cursor, offset: number): Term => {
  if (cursor.context.universe === 4) cursor.fail(offset, 'relay6 is for DHCPv6; expected relay4 here')
  cursor.expect('[')
  const nesting = cursor.integer(-NESTING_MAX, NESTING_MAX - 1)
  cursor.expect(']')
  cursor.expect('.')
  const what = cursor.oneOf(['option', 'peeraddr', 'linkaddr'])
  if (what === 'peeraddr' || what === 'linkaddr') return octets((packet) => packet.relayAddress(nesting, what))
  const { code, definition } = optionCode(cursor, 'dhcp6')
  cursor.expect('.')
  return represented(cursor, (packet) => packet.relayOption(nesting, code), definition)
}

/** `pkt.iface`, `pkt4.mac`, `pkt6.msgtype`. */
export const readPacket = (cursor: Cursor, word: string, offset: number): Term => {
  const { universe } = cursor.context
  const fields: Readonly<Record<string, readonly PacketField[]>> = {
    pkt: ['iface', 'src', 'dst', 'len'],
    pkt4: ['mac', 'hlen', 'htype', 'ciaddr', 'giaddr', 'yiaddr', 'siaddr', 'msgtype', 'transid'],
    pkt6: ['msgtype', 'transid'],
  }
  if (word !== 'pkt' && word !== `pkt${universe}`) cursor.fail(offset, `expected pkt or pkt${universe}, found ${word}`)
  cursor.expect('.')
  const field = cursor.oneOf(fields[word] ?? [])
  return octets((packet) => (field === undefined ? undefined : packet.packetField(field)))
}

/** `vendor.enterprise`, `vendor[4491].exists`, `vendor[*].option[2].hex`. */
export const readVendor = (cursor: Cursor): Term => {
  const { universe } = cursor.context
  if (cursor.accept('.')) {
    cursor.oneOf(['enterprise'])
    return octets((packet) => numberOf(vendorOptions(universe, packet, undefined)?.enterprise))
  }
  const enterprise = enterpriseNumber(cursor)
  cursor.expect('.')
  if (cursor.oneOf(['exists', 'option']) !== 'option') {
    return { kind: 'truth', holds: (packet) => vendorOptions(universe, packet, enterprise) !== undefined }
  }
  const { code, definition } = optionCode(cursor, `vendor-${enterprise}`)
  cursor.expect('.')
  return represented(cursor, (packet) => vendorOptions(universe, packet, enterprise)?.content.get(code), definition)
}

/** `vendor-class.enterprise`, `vendor-class[4491].exists`, `vendor-class[4491].data[0]`. */
export const readVendorClass = (cursor: Cursor): Term => {
  const { universe } = cursor.context
  if (cursor.accept('.')) {
    cursor.oneOf(['enterprise'])
    return octets((packet) => numberOf(vendorClass(universe, packet, undefined)?.enterprise))
  }
  const enterprise = enterpriseNumber(cursor)
  cursor.expect('.')
  if (cursor.oneOf(['exists', 'data']) !== 'data') {
    return { kind: 'truth', holds: (packet) => vendorClass(universe, packet, enterprise) !== undefined }
  }
  let index = 0
  if (cursor.accept('[')) {
    index = cursor.integer(0, 255)
    cursor.expect(']')
  }
  return octets((packet) => vendorClass(universe, packet, enterprise)?.content[index])
}

/** `member('name')`. */
export const readMember = (cursor: Cursor): Term => {
  cursor.expect('(')
  const name = cursor.take()
  if (name.kind !== 'text') cursor.fail(name.offset, 'expected the name of a class in single quotes')
  else if (!cursor.context.isClass(name.text)) {
    cursor.fail(name.offset, `expected a class that is defined before this one, found ${name.text}`)
  }
  cursor.expect(')')
  return { kind: 'truth', holds: (packet) => packet.isMember(name.text) }
}

const numberOf = (value: number | undefined): Uint8Array | undefined =>
  value === undefined ? undefined : numberBytes(value)

const enterpriseNumber = (cursor: Cursor): number | undefined => {
  cursor.expect('[')
  const any = cursor.accept('*')
  const enterprise = any ? undefined : cursor.integer(0, 0xffffffff)
  cursor.expect(']')
  return enterprise
}

const optionCode = (
  cursor: Cursor,
  space: string,
): { readonly code: number; readonly definition: OptionDefinition | undefined } => {
  const { registry, universe } = cursor.context
  cursor.expect('[')
  let definition: OptionDefinition | undefined
  let code = 0
  if (cursor.next.kind === 'word') {
    const { text, offset } = cursor.take()
    definition = registry.byName(space, text)
    if (definition === undefined) cursor.fail(offset, `expected an option of the space ${space}, found ${text}`)
    code = definition?.code ?? 0
  } else {
    code = cursor.integer(0, universe === 6 ? OPTION_CODE_MAX[6] : 255)
    definition = registry.byCode(space, code)
  }
  cursor.expect(']')
  return { code, definition }
}

const represented = (cursor: Cursor, of: Octets, definition: OptionDefinition | undefined): Term => {
  const how = cursor.oneOf(['exists', 'hex', 'text'])
  if (how === 'exists') return { kind: 'truth', holds: (packet) => of(packet) !== undefined }
  if (how === 'hex' || definition === undefined || definition.type === 'string') return octets(of)
  return octets((packet) => {
    const bytes = of(packet)
    return bytes === undefined ? undefined : bytesOf(formatOption(definition, bytes))
  })
}
