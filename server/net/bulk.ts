/**
 * Datagrams in bulk: what waits at a socket is taken in with one system call, and what one turn of the event loop sends
 * goes out with one. Node offers neither; it still says when something has come, and reads the first of it.
 */
import { MessageBatch } from './message-batch.ts'
import type { Native } from './native.ts'
import type { PeerAddresses } from './peer-address.ts'
import type { Endpoint } from './socket.ts'

/** What one socket sends and receives in bulk. */
export interface Bulk {
  /** Hands over what waits, at most {@link CAPACITY} datagrams; how many, or `-errno`. */
  readonly receive: (take: Take) => number
  /** The same, unless this turn of the event loop has done so. */
  readonly drain: (take: Take) => number
  /** Keeps a datagram to be sent when this turn's work is done; `false` when it is not for bulk. */
  readonly send: (octets: Uint8Array, to: Endpoint) => boolean
  /** Sends what was kept. To be called before the descriptor is closed. */
  readonly flush: () => void
}

/** Takes a datagram. */
type Take = (octets: Uint8Array, from: Endpoint) => void

/** Told of a datagram that the kernel would not take; `error` is `-errno`. */
export type Refused = (error: number, octets: Uint8Array, to: Endpoint) => void

/** Datagrams taken in at once: what the rest of the service must not wait longer for. */
export const CAPACITY = 64
/** A UDP datagram of any length. */
const RECEIVED_MAX = 65_536
/** Replies beyond that are fragmented, and rare. */
const SENT_MAX = 2_048

/** Opens bulk sending and receiving at a bound descriptor; undefined where the machine has it not. */
export const openBulk = (native: Native, fd: number, peers: PeerAddresses, refused: Refused): Bulk | undefined => {
  const batches = batchesOf(native)
  if (batches === undefined) return undefined
  const { received, outbox } = batches
  const sender: Sender = { fd, refused }
  let drained = false
  const nextTurn = (): void => {
    drained = false
  }
  const receive = (take: Take): number => {
    for (let i = 0; i < CAPACITY; i++) received.setNameLength(i, peers.octets)
    const count = native.receiveMany(fd, received.headerAddress(0), CAPACITY)
    for (let i = 0; i < count; i++) take(received.payload(i), peers.read(received.view, received.nameAt(i)))
    return count
  }
  return {
    receive,
    drain: (take) => {
      if (drained) return 0
      drained = true
      setImmediate(nextTurn)
      return receive(take)
    },
    send: (octets, to) => {
      const name = octets.length > SENT_MAX ? undefined : peers.write(to)
      if (name === undefined) return false
      outbox.add(sender, octets, name, to)
      return true
    },
    flush: () => outbox.flush(),
  }
}

interface Sender {
  readonly fd: number
  readonly refused: Refused
}

/** What is to be sent in this turn, of one socket at a time. */
class Outbox {
  readonly #native: Native
  readonly #batch: MessageBatch
  readonly #to: Endpoint[] = []
  #sender: Sender | undefined
  #scheduled = false

  constructor(native: Native, batch: MessageBatch) {
    this.#native = native
    this.#batch = batch
  }

  add(sender: Sender, octets: Uint8Array, name: Uint8Array, to: Endpoint): void {
    if (this.#sender !== sender || this.#to.length === CAPACITY) this.flush()
    this.#sender = sender
    this.#batch.put(this.#to.length, octets, name)
    this.#to.push(to)
    if (this.#scheduled) return
    this.#scheduled = true
    // After all that this turn's work still brings about: promises that are settled come before it.
    process.nextTick(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    const sender = this.#sender
    if (sender === undefined) return
    this.#sender = undefined
    const to = this.#to.splice(0)
    for (let first = 0; first < to.length;) {
      const sent = this.#native.sendMany(sender.fd, this.#batch.headerAddress(first), to.length - first)
      first += Math.max(sent, 0)
      // An error is that of the first message that is left; it alone did not go.
      if (sent <= 0) {
        sender.refused(sent, this.#batch.sent(first), to[first] as Endpoint)
        first++
      }
    }
  }
}

interface Batches {
  readonly received: MessageBatch
  readonly outbox: Outbox
}

const known = new WeakMap<Native, Batches>()

/** One room for all sockets of the process: what is received is copied out, and each turn's sending is done in it. */
const batchesOf = (native: Native): Batches | undefined => {
  if (!native.canBatch) return undefined
  const made = known.get(native) ?? {
    received: new MessageBatch(native.allocate, CAPACITY, RECEIVED_MAX),
    outbox: new Outbox(native, new MessageBatch(native.allocate, CAPACITY, SENT_MAX)),
  }
  known.set(native, made)
  return made
}
