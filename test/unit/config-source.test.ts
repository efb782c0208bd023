import * as E from 'fp-ts/lib/Either.js'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatErrors, loadConfig } from '../../server/config/load.ts'
import { positionAt, sourceOf } from '../../server/config/source.ts'
import { bad, good } from './config-support.ts'

const textOf = (text: string): string => {
  const source = sourceOf('a.conf', text)
  return E.isRight(source) ? source.right.text : formatErrors([source.left])
}

describe('comments', () => {
  it('are blanked out in place, in all three notations', () => {
    const text = '# one\n{ // two\n "a": /* three\n */ 1 }'
    expect(textOf(text)).toBe('     \n{       \n "a":         \n    1 }')
    expect(textOf(text)).toHaveLength(text.length)
  })

  it('do not begin inside text', () => {
    const text = '{ "a": "x # y // z /* w */", "b": "\\"# //" } # end'
    expect(textOf(text)).toBe('{ "a": "x # y // z /* w */", "b": "\\"# //" }      ')
  })

  it('that do not end reach to the end', () => {
    expect(textOf('{} /* open')).toBe('{}        ')
  })

  it('leave line and column of what follows alone', () => {
    const source = sourceOf('a.conf', '/* x\ny */ { # z\n  "k": 1 }')
    if (E.isLeft(source)) throw new Error('unreadable')
    expect(positionAt(source.right, source.right.text.indexOf('"k"'))).toEqual({ file: 'a.conf', line: 3, column: 3 })
  })
})

describe('what is not JSON', () => {
  it.each([
    ['{ "Dhcp4": { "valid-lifetime": } }', 'test.conf:1:32: /Dhcp4/valid-lifetime: expected a value, found }'],
    ['{ "Dhcp4": { "a": 1 "b": 2 } }', 'test.conf:1:21: /Dhcp4/b: expected a comma, found "b"'],
    ['{ "Dhcp4": {\n  valid: 1 } }', 'test.conf:2:3: /Dhcp4: expected a key in double quotes, found valid'],
    ['{ "Dhcp4": "x }', 'test.conf:1:12: /Dhcp4: expected a double quote at the end of the text, found "x }'],
    ['[]', 'test.conf:1:1: /: expected an object in { }'],
    ['', 'test.conf:1:1: /: expected a value'],
    ['{ "Dhcp4": {} } {}', 'test.conf:1:17: /: expected nothing more behind the closing }, found {'],
  ])('%j says %s', (text, message) => {
    expect(bad(text)[0]).toBe(message)
  })

  it('includes a key that is given twice', () => {
    const text = '{ "Dhcp4": { "valid-lifetime": 1,\n "x": [{ "a": 1, "a": 2 }],\n  "valid-lifetime": 2 } }'
    expect(bad(text)).toEqual([
      'test.conf:2:18: /Dhcp4/x[0]/a: the key is given twice, first on line 2',
      'test.conf:3:3: /Dhcp4/valid-lifetime: the key is given twice, first on line 1',
    ])
  })

  it('does not include trailing commas', () => {
    expect(good('{ "Dhcp4": { "option-data": [], }, }').dhcp4?.subnets).toEqual([])
  })

  it('cannot reach the prototype of an object', () => {
    expect(bad('{ "Dhcp4": { "__proto__": { "authoritative": true } } }')).toEqual([
      'test.conf:1:14: /Dhcp4/__proto__: unknown key __proto__; expected a key of Kea for this place',
    ])
  })
})

describe('several files', () => {
  it('are merged by top-level object, and none may be there twice', () => {
    expect(bad('{ "Dhcp4": {} }', '{\n "Dhcp4": {} }')).toEqual([
      'test2.conf:2:2: /Dhcp4: the object is given twice: also in test.conf',
    ])
    expect(bad('{ "Dhcp4": {} }', '{ "LeaseLedger": { "workers": 0 } }')).toEqual([
      'test2.conf:1:31: /LeaseLedger/workers: expected a whole number from 1 to 256, found 0',
    ])
  })
})

describe('include directives', () => {
  let folder = ''
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const errorsOf = (path: string): string => {
    const config = loadConfig([path])
    return E.isLeft(config) ? formatErrors(config.left).replaceAll(`${folder}/`, '') : ''
  }
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), `ll-${process.pid}-`))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  it('put the text of another file in their place; errors name that file', () => {
    file('subnets.json', '# subnets\n[ { "id": 7, "subnet": "198.51.100.0/24" } ]')
    const path = file('good.conf', '{ "Dhcp4": { "subnet4": <?include "subnets.json"?>, "authoritative": true } }')
    const config = loadConfig([path])
    expect(E.isRight(config) && config.right.dhcp4?.subnets.map(({ id }) => id)).toEqual([7])
    file('wrong.json', '[\n  { "id": 7, "subnet": "198.51.100.0/33" } ]')
    const wrong = file('wrong.conf', '{ "Dhcp4": { "subnet4": <?include "wrong.json"?>,\n "authoritative": 1 } }')
    expect(errorsOf(wrong).split('\n')).toEqual([
      'wrong.conf:2:19: /Dhcp4/authoritative: expected true or false, found 1',
      'wrong.json:2:24: /Dhcp4/subnet4[0]/subnet: expected an IPv4 prefix such as "192.0.2.0/24", ' +
        'found "198.51.100.0/33"',
    ])
  })

  it('inside text or comments are none', () => {
    const path = file(
      'text.conf',
      '// <?include "none"?>\n{ "LeaseLedger": { "server-name": "<?include x?>" }, "Dhcp4": {} }',
    )
    const config = loadConfig([path])
    expect(E.isRight(config) && config.right.ledger.serverName).toBe('<?include x?>')
  })

  it('of a missing file or of itself are errors where they stand', () => {
    expect(errorsOf(file('lost.conf', '{\n  "Dhcp4": <?include "nowhere.json"?> }'))).toBe(
      'lost.conf:2:12: the file nowhere.json cannot be read: there is no such file',
    )
    expect(errorsOf(file('loop.conf', '<?include "loop.conf"?>'))).toBe(
      'loop.conf:1:1: files include one another more than 10 levels deep',
    )
  })

  it('do not keep a missing configuration from being named', () => {
    expect(errorsOf(join(folder, 'absent.conf'))).toBe(
      'absent.conf:1:1: the file absent.conf cannot be read: there is no such file',
    )
  })
})
