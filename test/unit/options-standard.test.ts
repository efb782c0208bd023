import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { encodeOptionText, fitsDefinition, formatOption } from '../../server/options/definition.ts'
import type { OptionDefinition } from '../../server/options/definition.ts'
import type { FieldType } from '../../server/options/fields.ts'
import { checkDefinition, makeOptionRegistry } from '../../server/options/registry.ts'
import { standardOptions4 } from '../../server/options/standard4.ts'
import { standardOptions6 } from '../../server/options/standard6.ts'
import {
  decodeSuboptions,
  decodeVendorOptions4,
  encodeSuboptions,
  encodeVendorOptions,
} from '../../server/options/suboptions.ts'

const SAMPLES: Readonly<Record<FieldType, string>> = {
  binary: '0x0102ff',
  boolean: 'true',
  uint8: '7',
  uint16: '258',
  uint32: '65537',
  int8: '-7',
  int16: '-258',
  int32: '-3600',
  'ipv4-address': '198.51.100.1',
  'ipv6-address': '2001:db8::1',
  'ipv6-prefix': '2001:db8::/32',
  psid: '3/4',
  string: 'some text',
  tuple: 'some text',
  fqdn: 'example.org.',
}

const INTERNAL_SAMPLES: Readonly<Record<string, string>> = {
  'classless-static-route': '203.0.113.0/24 - 198.51.100.1',
  'v4-dnr': '10, dot.example.org., 198.51.100.3, alpn=dot',
  'v6-dnr': '10, dot.example.org., 2001:db8::53, alpn=dot',
}

const sample = (definition: OptionDefinition): string => {
  if (definition.type === 'internal') return INTERNAL_SAMPLES[definition.name] ?? 'no sample'
  if (definition.type === 'empty') return ''
  const types = definition.type === 'record' ? definition.recordTypes : [definition.type]
  const repeated = definition.array ? types.slice(-1) : []
  return [...types, ...repeated].map((type) => SAMPLES[type]).join(', ')
}

describe.each([
  [4, standardOptions4],
  [6, standardOptions6],
] as const)('standard DHCPv%i options', (universe, rows) => {
  it.each(rows.map((row) => [row.space, row.code, row.name, row] as const))(
    '%s %i %s takes its sample both ways',
    (_space, _code, _name, row) => {
      const bytes = encodeOptionText(row, sample(row), true)
      expect(bytes._tag === 'Left' ? bytes.left : '').toBe('')
      if (E.isLeft(bytes)) return
      expect(fitsDefinition(row, bytes.right)).toBe(true)
      const formatted = formatOption(row, bytes.right)
      expect(formatted).toBe(row.type === 'empty' ? '' : sample(row))
      expect(encodeOptionText(row, Buffer.from(bytes.right).toString('hex'), false)).toEqual(bytes)
    },
  )

  it('names each code once and each name once in a space, in the order of codes', () => {
    for (const space of new Set(rows.map((row) => row.space))) {
      const inSpace = rows.filter((row) => row.space === space)
      const codes = inSpace.map((row) => row.code)
      expect(codes).toEqual([...new Set(codes)].sort((a, b) => a - b))
      expect(new Set(inSpace.map((row) => row.name)).size).toBe(inSpace.length)
    }
  })

  it('says for each option where it is specified', () => {
    for (const row of rows) expect(row.rfc).toMatch(/^(RFC \d{3,4}( §\d+(\.\d+)*)?|CL-SP-CANN-DHCP-Reg)$/)
  })

  it('would pass as definitions of their own, apart from what only a standard option may do', () => {
    const registry = makeOptionRegistry(universe)
    for (const row of rows) {
      const apart = { ...row, space: 'elsewhere', name: `other-${row.name}` }
      if (row.type !== 'internal') expect(checkDefinition(registry, universe, apart)).toEqual(E.right(apart))
    }
  })
})

describe('option registry', () => {
  const custom: OptionDefinition = {
    code: 224,
    name: 'asset-tag',
    space: 'dhcp4',
    type: 'string',
    array: false,
    recordTypes: [],
    rfc: '',
  }

  it('finds by code and by name, in each space', () => {
    const registry = makeOptionRegistry(4, [custom])
    expect(registry.byName('dhcp4', 'routers')?.code).toBe(3)
    expect(registry.byCode('dhcp-agent-options-space', 5)?.name).toBe('link-selection')
    expect(registry.byCode('dhcp4', 224)).toBe(custom)
    expect(registry.byName('dhcp4', 'asset-tag')).toBe(custom)
    expect(registry.byName('dhcp6', 'dns-servers')).toBeUndefined()
    expect(makeOptionRegistry(6).byName('dhcp6', 'dns-servers')?.code).toBe(23)
    expect(registry.inSpace('vendor-4491').map(({ code }) => code)).toEqual([1, 2])
    expect(registry.hasSpace('vendor-encapsulated-options-space')).toBe(true)
    expect(registry.hasSpace('nowhere')).toBe(false)
  })

  it('does not carry definitions from one registry into another', () => {
    makeOptionRegistry(4, [custom])
    expect(makeOptionRegistry(4).byCode('dhcp4', 224)).toBeUndefined()
  })

  it('lets option-def replace what Kea learned late, under a name of its own', () => {
    const routes = { ...custom, code: 121, name: 'rfc3442-routes', type: 'uint8', array: true } as const
    expect(checkDefinition(makeOptionRegistry(4), 4, routes)).toEqual(E.right(routes))
    const registry = makeOptionRegistry(4, [routes])
    expect(registry.byCode('dhcp4', 121)?.name).toBe('rfc3442-routes')
    expect(registry.byName('dhcp4', 'classless-static-route')).toBeUndefined()
  })

  it.each([
    [{ code: 3 }, 'clashes with routers (3)'],
    [{ name: 'routers' }, 'clashes with routers (3)'],
    [{ code: 0 }, 'from 1 to 254'],
    [{ code: 255 }, 'from 1 to 254'],
    [{ code: 1.5 }, 'a whole number'],
    [{ name: 'two words' }, 'is not a name'],
    [{ type: 'record' }, 'at least two types'],
    [{ recordTypes: ['uint8', 'uint8'] }, 'not of type record'],
    [{ type: 'record', recordTypes: ['string', 'uint8'] }, 'only the last field'],
    [{ array: true }, 'where one ends could not be seen'],
    [{ type: 'empty', array: true }, 'an array of the type empty'],
    [{ type: 'internal' }, 'cannot be of the type internal'],
    [{ encapsulates: 'dhcp4' }, 'its own space'],
  ] as const)('refuses %o', (change, reason) => {
    const checked = checkDefinition(makeOptionRegistry(4), 4, { ...custom, ...change })
    expect(E.isLeft(checked) && checked.left).toContain(reason)
  })

  it('refuses the second of two custom definitions of one code', () => {
    const registry = makeOptionRegistry(4, [custom])
    expect(E.isLeft(checkDefinition(registry, 4, { ...custom, name: 'other' }))).toBe(true)
  })
})

describe('encapsulated options', () => {
  it('have lengths of one octet in DHCPv4 and of two in DHCPv6', () => {
    const suboptions = new Map([
      [1, Uint8Array.of(7)],
      [2, new Uint8Array(0)],
    ])
    expect(encodeSuboptions(4, suboptions)).toEqual(E.right(Uint8Array.of(1, 1, 7, 2, 0)))
    expect(encodeSuboptions(6, suboptions)).toEqual(E.right(Uint8Array.of(0, 1, 0, 1, 7, 0, 2, 0, 0)))
    expect(decodeSuboptions(6, Uint8Array.of(0, 1, 0, 1, 7, 0, 2, 0, 0))).toEqual(suboptions)
    expect(E.isLeft(encodeSuboptions(4, new Map([[1, new Uint8Array(256)]])))).toBe(true)
  })

  it('know pad and end only in option 43', () => {
    expect(decodeSuboptions(4, Uint8Array.of(0, 1, 1, 7, 255, 9), true)).toEqual(new Map([[1, Uint8Array.of(7)]]))
    expect(decodeSuboptions(4, Uint8Array.of(1, 1, 7, 255, 9))).toBeNull()
  })

  it('of vendors stand behind the enterprise number', () => {
    const suboptions = new Map([[2, Uint8Array.of(198, 51, 100, 1)]])
    const bytes = encodeVendorOptions(4, 4491, suboptions)
    expect(bytes).toEqual(E.right(Uint8Array.of(0, 0, 0x11, 0x8b, 6, 2, 4, 198, 51, 100, 1)))
    expect(E.isRight(bytes) && decodeVendorOptions4(bytes.right)).toEqual(new Map([[4491, suboptions]]))
    expect(decodeVendorOptions4(Uint8Array.of(0, 0, 0x11, 0x8b, 6, 2))).toBeNull()
    expect(encodeVendorOptions(6, 4491, new Map())).toEqual(E.right(Uint8Array.of(0, 0, 0x11, 0x8b)))
  })
})
