/** Lease files of Kea and ISC dhcpd as items to import. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { keaStatements } from '../../adapters/kea-statements.ts'
import type { KeaDatabase } from '../../adapters/kea-statements.ts'
import { FOREVER } from '../../domain/instant.ts'
import { readIscLeases } from '../../server/import/isc-leases.ts'
import { lastOfEach } from '../../server/import/item.ts'
import { HEADER4, HEADER6, keaFiles, readKeaCsv } from '../../server/import/kea-csv.ts'

const kea = (...lines: string[]) => lastOfEach(readKeaCsv('leases.csv', lines))

const EXPIRE = 1_772_546_700

describe("Kea's lease file", () => {
  it('counts the last line of an address, and a lifetime of zero as a removal', () => {
    const { found, bad } = kea(
      HEADER4,
      `198.18.0.5,02:00:00:00:00:05,01:02:00:00:00:00:05,3600,${EXPIRE - 100},7,0,0,,0,,0`,
      `198.18.0.5,02:00:00:00:00:05,01:02:00:00:00:00:05,3600,${EXPIRE},7,1,0,a&#x2cb,0,,3`,
      `198.18.0.6,02:00:00:00:00:06,,3600,${EXPIRE},7,0,0,,0,,0`,
      `198.18.0.6,02:00:00:00:00:06,,0,${EXPIRE},7,0,0,,0,,0`,
      `198.18.0.7,,,86400,${EXPIRE},7,0,0,,1,,0`,
      `198.18.0.8,02:00:00:00:00:08,,4294967295,${EXPIRE},7,0,0,,0,,0`,
    )
    expect(bad).toEqual([])
    expect(found.map(({ stream, status }) => [stream, status])).toEqual([
      ['lease4/198.18.0.5', 'bound'],
      ['lease4/198.18.0.7', 'declined'],
      ['lease4/198.18.0.8', 'bound'],
    ])
    expect(found[0]).toMatchObject({
      place: 'leases.csv:3',
      lease: {
        holder: 'id:01020000000005',
        hostname: 'a,b',
        fqdnForward: true,
        subnetId: 7,
        poolId: 3,
        startsAt: (EXPIRE - 3_600) * 1000,
        expiresAt: EXPIRE * 1000,
      },
    })
    expect(found[2]?.lease).toMatchObject({ holder: 'hw:1:020000000008', expiresAt: FOREVER })
  })

  it('is read in older forms, and for DHCPv6', () => {
    const old = kea(
      'address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname',
      `198.18.0.5,02:00:00:00:00:05,,3600,${EXPIRE},7,0,0,pc`,
    )
    expect(old.found[0]).toMatchObject({ status: 'bound', lease: { hostname: 'pc', poolId: 0 } })
    const { found } = kea(
      HEADER6,
      `2001:db8::5,00:03:00:01:02:00:00:00:00:05,3600,${EXPIRE},7,1800,0,4000000000,128,0,0,,02:00:00:00:00:05,0,,1,2,0`,
      `2001:db8:8000::,00:03:00:01:02:00:00:00:00:05,3600,${EXPIRE},7,1800,2,9,56,0,0,,,3,,,,0`,
    )
    expect(found).toMatchObject([
      { stream: 'lease6/2001:db8::5', lease: { holder: 'duid:00030001020000000005/4000000000', hwSource: 2 } },
      { stream: 'prefix6/2001:db8:8000::/56', status: 'released', lease: { preferredLifetimeSec: 1_800, iaid: 9 } },
    ])
  })

  it('keeps what the relay said in the user context', () => {
    const context = '{ "ISC": { "relay-agent-info": { "sub-options": "0x0104000400070206020304050607" } } }'
    const { found } = kea(
      HEADER4,
      `198.18.0.5,02:00:00:00:00:05,,3600,${EXPIRE},7,0,0,,0,${context.replaceAll(',', '&#x2c')},0`,
    )
    expect(found[0]?.lease.relay).toEqual({ circuitId: '00040007', remoteId: '020304050607' })
  })

  it('keeps what the relays of DHCPv6 said: of the nearest to the client, and what it left out of the next', () => {
    const nearest = '{ "hop": 0, "link": "2001:db8:1::1", "options": "0x001200020A0B", "peer": "fe80::5" }'
    const next = '{ "hop": 1, "link": "::", "options": "0x001200011100250006000009010203", "peer": "fe80::9" }'
    const relay = {
      address: '2001:db8:1::1',
      peer: 'fe80::5',
      interfaceId: '0a0b',
      remoteId: '000009010203',
    }
    // Kea 2.2 and later releases have another word each.
    for (const word of ['relays', 'relay-info']) {
      const context = `{ "ISC": { "${word}": [ ${next}, ${nearest} ] } }`.replaceAll(',', '&#x2c')
      const { found } = kea(
        HEADER6,
        `2001:db8::5,00:03:00:01:02:00:00:00:00:05,3600,${EXPIRE},7,0,0,1,128,0,0,cpe.example.org.,,0,${context},,,0`,
      )
      expect(found[0]?.lease).toMatchObject({ relay, hostname: 'cpe.example.org' })
    }
  })

  it('takes what is no context of Kea for the word of an operator', () => {
    for (const context of ['{ "ISC": 7 }', '{ "ISC": { "relays": [ 7 ] } }', 'second floor', '[]', 'null']) {
      const { found } = kea(HEADER4, `198.18.0.5,02:00:00:00:00:05,,3600,${EXPIRE},7,0,0,,0,${context},0`)
      expect(found[0]?.lease).toMatchObject({ userContext: context })
      expect(found[0]?.lease.relay).toBeUndefined()
    }
  })

  it('knows since when a lease without end is held, from its files and from its tables', () => {
    const at = (expire: number) => `198.18.0.8,02:00:00:00:00:08,,4294967295,${expire},7,0,0,,0,,0`
    const starts = [EXPIRE + 4_294_967_295, EXPIRE].map((expire) => kea(HEADER4, at(expire)).found[0]?.lease.startsAt)
    expect(starts).toEqual([EXPIRE * 1_000, EXPIRE * 1_000])
  })

  it('lists bad lines with their place and reason', () => {
    const { found, bad } = kea(
      HEADER4,
      '198.18.0.999,02:00:00:00:00:05,,3600,1,7,0,0,,0,,0',
      '198.18.0.5,02:xx:00:00:00:05,,3600,1,7,0,0,,0,,0',
      '198.18.0.5,02:00:00:00:00:05,,soon,1,7,0,0,,0,,0',
      '198.18.0.5,02:00',
      '198.18.0.5,02:00:00:00:00:05,,3600,1,7,0,0,,9,,0',
      '198.18.0.5,,,3600,1,7,0,0,,0,,0',
    )
    expect(found).toEqual([])
    expect(bad.map(({ place, reason }) => `${place} ${reason}`)).toEqual([
      'leases.csv:2 198.18.0.999 is no address',
      'leases.csv:3 hwaddr is 02:xx:00:00:00:05',
      'leases.csv:4 valid_lifetime is soon',
      'leases.csv:5 the line ends early',
      'leases.csv:6 state 9 has no meaning here',
      'leases.csv:7 a lease in use without a client',
    ])
    expect(kea('something').bad).toHaveLength(1)
  })

  it('is more than one file after a clean-up', () => {
    const folder = mkdtempSync(join(tmpdir(), `ll-${process.pid}-kea-`))
    try {
      const file = join(folder, 'leases4.csv')
      for (const end of ['', '.1', '.2']) writeFileSync(`${file}${end}`, '')
      expect(keaFiles(file)).toEqual([`${file}.2`, `${file}.1`, file])
      writeFileSync(`${file}.completed`, '')
      expect(keaFiles(file)).toEqual([`${file}.completed`, file])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe("statements for Kea's tables", () => {
  const name = `it's "a\\b",\n; DROP TABLE lease4; --`
  const four = {
    columns: HEADER4.split(','),
    rows: [
      ['198.18.0.5', '02:00:00:00:00:05', '', '4294967295', `${EXPIRE + 4_294_967_295}`, '7', '1', '0', name, '0', ''],
    ],
  }
  const six = {
    columns: HEADER6.split(','),
    rows: ['2001:db8:0:2:1:1:1:5,00:03,60,9,7,30,0,4000000000,128,0,0,,,1,,,'.split(',')],
  }
  const statements = (database: KeaDatabase) => [...keaStatements(database, [four, six])].join('\n')

  it('let no text out of its place', () => {
    expect(statements('postgresql')).toContain(`'it''s "a\\b",\n; DROP TABLE lease4; --'`)
    expect(statements('postgresql')).toContain('SET standard_conforming_strings = on;')
    expect(statements('mysql')).toContain(`_utf8mb4 x'${Buffer.from(name).toString('hex')}'`)
    expect(statements('mysql')).not.toContain('DROP')
  })

  it('have what is not there, the end of an endless lease and IAIDs as each database of Kea has them', () => {
    const [onPostgres, onMysql] = [statements('postgresql'), statements('mysql')]
    expect(onPostgres).toContain(
      `('198.18.0.5'::inet - '0.0.0.0', '\\x020000000005', '\\x', 4294967295, to_timestamp(${EXPIRE}), 7, true, false, `,
    )
    expect(onMysql).toContain(
      `(inet_aton('198.18.0.5'), x'020000000005', NULL, 4294967295, from_unixtime(${EXPIRE}), 7, 1, 0, `,
    )
    expect(onPostgres).toContain(
      `('2001:db8:0:2:1:1:1:5', '\\x0003', 60, to_timestamp(9), 7, 30, 0, -294967296, 128, false, false, '', ` +
        `'\\x', 0, 0, 1, NULL);`,
    )
    expect(onMysql).toContain(
      `(IF(@octets, inet6_aton('2001:db8:0:2:1:1:1:5'), '2001:db8:0:2:1:1:1:5'), x'0003', 60, from_unixtime(9), 7, 30, ` +
        `0, 4000000000, 128, 0, 0, _utf8mb4 x'', NULL, NULL, NULL, 1, NULL);`,
    )
  })
})

describe("ISC dhcpd's lease file", () => {
  const read = (text: string) =>
    lastOfEach(readIscLeases('dhcpd.leases', text, (stream) => (stream.includes('.9.') ? undefined : 3)))

  it('is read for DHCPv4', () => {
    const { found, bad } = read(`# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
lease 198.18.0.5 {
  starts 2 2026/03/03 13:05:00;
  ends 2 2026/03/03 14:05:00;
  binding state active;
  hardware ethernet 02:00:00:00:00:05;
  uid "\\001\\002\\000\\000\\000\\000\\"";
  client-hostname "pc; {5}";
  option agent.circuit-id "Gi1/0/7";
  option agent.remote-id 0:6:2:3;
}
lease 198.18.0.6 { starts epoch 1772543100; # Tue Mar  3 13:05:00 2026
  ends never; binding state active; hardware ethernet 02:00:00:00:00:06; }
lease 198.18.0.7 { starts 2 2026/03/03 13:05:00; ends 2 2026/03/03 13:06:00; binding state free;
  hardware ethernet 02:00:00:00:00:07; }
lease 198.18.0.8 { starts 2 2026/03/03 13:05:00; ends 2 2026/03/03 13:06:00; binding state free; }
lease 198.18.9.1 { starts 2 2026/03/03 13:05:00; ends 2 2026/03/03 13:06:00; binding state active;
  hardware ethernet 02:00:00:00:00:07; }
lease 198.18.0.10 { starts soon; ends 2 2026/03/03 13:06:00; binding state active; }
`)
    expect(found).toMatchObject([
      {
        place: 'dhcpd.leases:3',
        stream: 'lease4/198.18.0.5',
        status: 'bound',
        lease: {
          holder: 'id:01020000000022',
          hostname: 'pc; {5}',
          hwAddress: '020000000005',
          startsAt: Date.UTC(2026, 2, 3, 13, 5),
          validLifetimeSec: 3_600,
          subnetId: 3,
          relay: { circuitId: Buffer.from('Gi1/0/7').toString('hex'), remoteId: '00060203' },
        },
      },
      { stream: 'lease4/198.18.0.6', lease: { expiresAt: FOREVER, holder: 'hw:1:020000000006' } },
      { stream: 'lease4/198.18.0.7', status: 'expired' },
    ])
    expect(bad.map(({ place, reason }) => `${place} ${reason}`)).toEqual([
      'dhcpd.leases:18 no subnet of the configuration holds 198.18.9.1',
      'dhcpd.leases:20 when it starts or ends cannot be read',
    ])
  })

  it('is read for DHCPv6', () => {
    const { found, bad } = read(`
ia-na "\\007\\000\\000\\000\\000\\003\\000\\001\\002\\000\\000\\000\\000\\005" {
  cltt 2 2026/03/03 13:05:00;
  iaaddr 2001:db8::5 { binding state active; preferred-life 1800; max-life 3600; ends 2 2026/03/03 14:05:00; }
}
ia-pd "\\007\\000\\000\\000\\000\\003\\000\\001\\002\\000\\000\\000\\000\\005" {
  cltt 2 2026/03/03 13:05:00;
  iaprefix 2001:db8:8000::/56 { binding state expired; preferred-life 1800; max-life 3600; ends 2 2026/03/03 14:05:00; }
}`)
    expect(bad).toEqual([])
    expect(found).toMatchObject([
      { stream: 'lease6/2001:db8::5', lease: { holder: 'duid:00030001020000000005/7', validLifetimeSec: 3_600 } },
      { stream: 'prefix6/2001:db8:8000::/56', status: 'expired' },
    ])
  })
})
