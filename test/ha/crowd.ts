/**
 * A crowd of DHCP clients behind one relay that knows several servers: every message goes to all of them unless the
 * client unicasts, the first offer is taken, and the first answer counts. It runs in the relay's network namespace.
 *
 * Time is compressed: where a client would wait for seconds before it sends again, these wait for one.
 */
import * as E from 'fp-ts/lib/Either.js'
import { openUdp4 } from '../../server/net/udp4.ts'
import { openUdp6 } from '../../server/net/udp6.ts'
import type { DatagramSocket } from '../../server/net/socket.ts'
import { messageType } from '../../server/dhcp4/option-access.ts'
import { MESSAGE_TYPE } from '../../server/dhcp4/option-codes.ts'
import { decodePacket4 } from '../../server/dhcp4/packet.ts'
import { iaNasOf, statusOf } from '../../server/dhcp6/option-access.ts'
import { MESSAGE6 } from '../../server/dhcp6/option-codes.ts'
import { decodePacket6 } from '../../server/dhcp6/packet.ts'
import type { SimulatedClient, Task } from '../../server/simulator/client.ts'
import { makeClient4, transactionOf4 } from '../../server/simulator/client4.ts'
import { makeClient6, transactionOf6 } from '../../server/simulator/client6.ts'

/** IP version of a client and its exchanges. */
export type Family = 4 | 6

/** Where the relay stands and which servers it knows, in the order of their numbers. Ports are UDP ports. */
export interface CrowdPlace {
  readonly bind4: string
  readonly bind6: string
  readonly servers: ReadonlyArray<{ readonly address4: string; readonly address6: string }>
  readonly port4: number
  readonly port6: number
}

/** The links that the clients are on: uint32 for DHCPv4, text for DHCPv6. */
export interface Link {
  readonly link4: number
  readonly link6: bigint
}

/** Exchanges begun a second, for each family. */
export interface Rates {
  readonly fresh: number
  readonly renew: number
  readonly rebind: number
}

/** How an exchange ended: with a grant, with a refusal as the first answer, or without any answer. */
export type End = 'granted' | 'refused' | 'silent'

/** One exchange that is over. Times in ms of Unix time. */
export interface Deed {
  readonly family: Family
  readonly task: Task
  readonly begunAt: number
  readonly endedAt: number
  readonly end: End
  /** Whether an offer had been taken, so that the exchange ended with a REQUEST. */
  readonly claimed: boolean
  /** Place in the list of servers of the one that gave the last answer; -1 without any. */
  readonly server: number
  readonly leaseTimeSec: number
}

/** What the crowd has seen since the last time it was asked. */
export interface Record {
  readonly deeds: ReadonlyArray<Deed>
  /** Refusals that came when the exchange had been granted by another server. */
  readonly lateRefusals: number
  /** Sentences: an address that a second client was granted while the first had it. */
  readonly duplicates: ReadonlyArray<string>
  /** Leases held now, by the clients' own record. */
  readonly held: number
}

/** Who hears a message: all servers, the one that the client's lease is from, or one by number. */
export type Audience = 'all' | 'own' | number

/** How an exchange is played. Times in ms. */
export interface Manner {
  readonly audience: Audience
  readonly retryMs: number
  readonly attemptsMax: number
  /** The nth server hears each message that much later, times n. */
  readonly staggerMs: number
}

const ALL: Manner = { audience: 'all', retryMs: 1_000, attemptsMax: 12, staggerMs: 0 }

interface Member {
  readonly family: Family
  readonly name: number
  readonly client: SimulatedClient
  server: number
  busy: boolean
  /** When its lease ends; a client that has none any more neither renews nor rebinds. */
  until: number
}

interface Exchange {
  readonly member: Member
  readonly task: Task
  readonly manner: Manner
  readonly begunAt: number
  readonly over: (deed: Deed) => void
  transactionId: number
  bytes: Uint8Array
  sentAt: number
  attempts: number
  claimed: boolean
}

/** Exchanges that are begun at a rate, and since when. */
interface Steady {
  readonly rates: Rates
  readonly link: Link
  readonly manner: Manner
  readonly since: number
}

interface Held {
  readonly name: number
  readonly until: number
}

const TICK_MS = 5

/** The relay, its clients and their leases. */
export class Crowd {
  readonly #place: CrowdPlace
  readonly #sockets: { readonly [F in Family]: DatagramSocket }
  readonly #underWay = { 4: new Map<number, Exchange>(), 6: new Map<number, Exchange>() }
  readonly #finished = { 4: new Map<number, number>(), 6: new Map<number, number>() }
  readonly #members: Member[] = []
  readonly #holders = new Map<string, Held>()
  #deeds: Deed[] = []
  #lateRefusals = 0
  #duplicates: string[] = []
  #made = 0
  #turn = 0
  #steady: Steady | undefined
  #begun = { fresh: 0, renew: 0, rebind: 0 }
  readonly #timer: NodeJS.Timeout

  private constructor(place: CrowdPlace, sockets: { readonly [F in Family]: DatagramSocket }) {
    this.#place = place
    this.#sockets = sockets
    sockets[4].onDatagram((bytes, from) => this.#receive(4, bytes, from.address))
    sockets[6].onDatagram((bytes, from) => this.#receive(6, bytes, from.address))
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Opens the relay's sockets. */
  static async open(place: CrowdPlace): Promise<Crowd> {
    const four = await openUdp4({ address: place.bind4, port: 0, now: Date.now })()
    if (E.isLeft(four)) throw new Error(four.left.message)
    const six = await openUdp6({ address: place.bind6, port: 0, now: Date.now })()
    if (E.isLeft(six)) throw new Error(six.left.message)
    return new Crowd(place, { 4: four.right, 6: six.right })
  }

  /** Ends everything. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#sockets[4].close()
    await this.#sockets[6].close()
  }

  /** Begins exchanges at these rates until `settle`: new clients claim, those that have a lease renew and rebind. */
  steady(rates: Rates, link: Link, staggerMs: number): void {
    this.#steady = { rates, link, manner: { ...ALL, staggerMs }, since: Date.now() }
    this.#begun = { fresh: 0, renew: 0, rebind: 0 }
  }

  /** Begins nothing more, waits for the exchanges under way, and gives what was seen since the last time. */
  async settle(): Promise<Record> {
    this.#steady = undefined
    while (this.#underWay[4].size + this.#underWay[6].size > 0) await pause(20)
    return this.take()
  }

  /** What was seen since the last time. */
  take(): Record {
    const record = {
      deeds: this.#deeds,
      lateRefusals: this.#lateRefusals,
      duplicates: this.#duplicates,
      held: this.#holders.size,
    }
    this.#deeds = []
    this.#lateRefusals = 0
    this.#duplicates = []
    return record
  }

  /** New clients of each family claim, `together` at one moment and the next ones when all those are over. */
  async claimTogether(count: number, together: number, link: Link, manner: Partial<Manner>): Promise<void> {
    for (let begun = 0; begun < count; begun += together) {
      const size = Math.min(together, count - begun)
      const members = Array.from({ length: size }, () => [this.#join(4, link), this.#join(6, link)]).flat()
      await Promise.all(members.map((member) => this.#play(member, 'acquire', { ...ALL, ...manner })))
    }
  }

  /** Clients whose lease is from the server `from` do one thing each, all at once. Gives how many they were. */
  async each(task: Task, from: number | undefined, countMax: number, manner: Partial<Manner>): Promise<number> {
    const chosen = ([4, 6] as const).flatMap((family) =>
      this.#members
        .filter((member) => member.family === family && member.client.bound() && !member.busy)
        .filter((member) => from === undefined || member.server === from)
        .slice(0, countMax),
    )
    await Promise.all(chosen.map((member) => this.#play(member, task, { ...ALL, ...manner })))
    return chosen.length
  }

  /** Forgets all clients, as if they had been switched off; their leases are remembered until they end. */
  disband(): void {
    this.#members.length = 0
  }

  /** Forgets the leases too: the servers begin with a ledger of which these clients know nothing. */
  forget(): void {
    this.disband()
    this.#holders.clear()
  }

  #join(family: Family, { link4, link6 }: Link): Member {
    const name = this.#made++
    const hardwareAddress = Uint8Array.of(0x02, family, 0, (name >> 16) & 255, (name >> 8) & 255, name & 255)
    const client =
      family === 4
        ? makeClient4(hardwareAddress, { address: parse4(this.#place.bind4), link: link4 })
        : makeClient6({ hardwareAddress, link: link6 as never, na: true, pd: false, rapidCommit: false })
    const member = { family, name, client, server: -1, busy: false, until: 0 }
    this.#members.push(member)
    return member
  }

  #tick(): void {
    const now = Date.now()
    for (const family of [4, 6] as const) {
      for (const exchange of [...this.#underWay[family].values()]) {
        if (now - exchange.sentAt < exchange.manner.retryMs) continue
        if (exchange.attempts >= exchange.manner.attemptsMax) this.#end(exchange, 'silent', -1, 0)
        else this.#send(exchange, now)
      }
      for (const [xid, at] of this.#finished[family]) {
        if (now - at < 5_000) break
        this.#finished[family].delete(xid)
      }
    }
    if (this.#steady !== undefined) this.#beginDue(this.#steady, now)
  }

  #beginDue({ rates, link, manner, since }: Steady, now: number): void {
    const due = (rate: number): number => ((now - since) / 1_000) * rate
    while (this.#begun.fresh < due(rates.fresh)) {
      this.#begun.fresh++
      for (const family of [4, 6] as const) void this.#play(this.#join(family, link), 'acquire', manner)
    }
    while (this.#begun.renew < due(rates.renew)) {
      this.#begun.renew++
      for (const family of [4, 6] as const) void this.#renewOrRebind(this.#idle(family), manner)
    }
    while (this.#begun.rebind < due(rates.rebind)) {
      this.#begun.rebind++
      for (const family of [4, 6] as const) {
        const member = this.#idle(family)
        if (member !== undefined) void this.#play(member, 'rebind', manner)
      }
    }
  }

  /** As a client does: it asks its own server, and when that is silent all of them (RFC 2131 §4.4.5, RFC 8415 §18.2.5). */
  async #renewOrRebind(member: Member | undefined, manner: Manner): Promise<void> {
    if (member === undefined) return
    const audience = member.family === 4 ? 'own' : 'all'
    const deed = await this.#play(member, 'renew', { ...manner, audience, attemptsMax: 1 })
    if (deed.end === 'silent') await this.#play(member, 'rebind', manner)
  }

  #idle(family: Family): Member | undefined {
    for (let tries = 0; tries < this.#members.length; tries++) {
      const member = this.#members[this.#turn++ % this.#members.length] as Member
      const isBound = member.client.bound() && member.until > Date.now()
      if (member.family === family && !member.busy && isBound) return member
    }
    return undefined
  }

  #play(member: Member, task: Task, manner: Manner): Promise<Deed> {
    member.busy = true
    return new Promise((resolve) => {
      const now = Date.now()
      const transactionId = this.#fresh(member.family)
      if (task === 'release') this.#letGo(member)
      const bytes = member.client.begin(task, transactionId)
      const base = { member, task, manner, begunAt: now, over: resolve, claimed: false }
      this.#send({ ...base, transactionId, bytes, sentAt: now, attempts: 0 }, now)
    })
  }

  #fresh(family: Family): number {
    for (;;) {
      const id = Math.floor(Math.random() * (family === 4 ? 2 ** 32 : 2 ** 24))
      if (!this.#underWay[family].has(id) && !this.#finished[family].has(id)) return id
    }
  }

  #send(exchange: Exchange, now: number): void {
    const { family } = exchange.member
    exchange.sentAt = now
    exchange.attempts++
    this.#underWay[family].set(exchange.transactionId, exchange)
    const { audience, staggerMs } = exchange.manner
    const port = family === 4 ? this.#place.port4 : this.#place.port6
    const only = audience === 'all' ? undefined : audience === 'own' ? exchange.member.server : audience
    const { bytes } = exchange
    this.#place.servers.forEach(({ address4, address6 }, index) => {
      if (only !== undefined && only !== index) return
      const to = { address: family === 4 ? address4 : address6, port }
      if (staggerMs === 0 || index === 0) this.#sockets[family].send(bytes, to)
      else setTimeout(() => this.#sockets[family].send(bytes, to), staggerMs * index)
    })
  }

  #receive(family: Family, bytes: Uint8Array, from: string): void {
    const transactionId = family === 4 ? transactionOf4(bytes) : transactionOf6(bytes)
    if (transactionId === undefined) return
    const exchange = this.#underWay[family].get(transactionId)
    if (exchange === undefined) {
      if (this.#finished[family].has(transactionId) && isRefusal(family, bytes)) this.#lateRefusals++
      return
    }
    const server = this.#place.servers.findIndex(({ address4, address6 }) => [address4, address6].includes(from))
    const reaction = exchange.member.client.react(bytes, transactionId, () => this.#fresh(family))
    switch (reaction._tag) {
      case 'Next':
        this.#underWay[family].delete(transactionId)
        this.#send({ ...exchange, ...reaction, claimed: true, attempts: 0 }, Date.now())
        return
      case 'Granted':
        return this.#end(exchange, 'granted', server, reaction.leaseTimeSec)
      case 'Refused':
        return this.#end(exchange, 'refused', server, 0)
      case 'Ignored':
        return
    }
  }

  #end(exchange: Exchange, end: End, server: number, leaseTimeSec: number): void {
    const { member, task, begunAt, claimed } = exchange
    const { family } = member
    const endedAt = Date.now()
    this.#underWay[family].delete(exchange.transactionId)
    this.#finished[family].set(exchange.transactionId, endedAt)
    member.busy = false
    if (end === 'granted' && task !== 'release') {
      member.server = server
      member.until = endedAt + leaseTimeSec * 1_000
      this.#hold(member, member.until, endedAt)
    }
    const deed = { family, task, begunAt, endedAt, end, claimed, server, leaseTimeSec }
    this.#deeds.push(deed)
    exchange.over(deed)
  }

  #hold(member: Member, until: number, now: number): void {
    for (const lease of member.client.lease()) {
      const before = this.#holders.get(lease)
      if (before !== undefined && before.name !== member.name && before.until > now) {
        this.#duplicates.push(`${lease} given to client ${member.name} while client ${before.name} has it`)
      }
      this.#holders.set(lease, { name: member.name, until })
    }
  }

  #letGo(member: Member): void {
    for (const lease of member.client.lease()) this.#holders.delete(lease)
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const parse4 = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)

/** A NAK, or a Reply that takes away or denies what the client has. */
const isRefusal = (family: Family, bytes: Uint8Array): boolean => {
  if (family === 4) {
    const decoded = decodePacket4(bytes)
    return E.isRight(decoded) && messageType(decoded.right) === MESSAGE_TYPE.nak
  }
  const decoded = decodePacket6(bytes, MESSAGE6.relayReply)
  if (E.isLeft(decoded) || decoded.right.messageType !== MESSAGE6.reply) return false
  const { options } = decoded.right
  const statuses = [statusOf(options), ...(iaNasOf(options) ?? []).map((ia) => ia.status)]
  return statuses.some((status) => (status?.code ?? 0) !== 0)
}
