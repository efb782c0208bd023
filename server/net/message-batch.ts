/**
 * Many datagrams in one system call, recvmmsg(2) and sendmmsg(2). A call costs as much as the work on a DHCP message
 * does, and Node makes one, with its own bookkeeping, for every datagram.
 */

/** Memory outside of JavaScript's heap that stays where it is, since the kernel is told where things lie in it. */
export interface FixedMemory {
  readonly address: bigint
  readonly octets: ArrayBuffer
}

// struct mmsghdr of the kernel: where the name is and its length, where the iovec is and their number, where control
// data is and its length, flags; then the octets that were moved.
const HEADER_OCTETS = 64
const NAME_AT = 0
const NAME_LENGTH_AT = 8
const IOVEC_AT = 16
const IOVECS_AT = 24
const MOVED_AT = 56
/** struct iovec: where the octets are, and how many. */
const IOVEC_OCTETS = 16
const IOVEC_LENGTH_AT = 8
/** Room for struct sockaddr_in6, the longer one. */
const NAME_OCTETS = 32

/** Octets of the memory that a batch of `capacity` messages of up to `payloadMax` octets takes. */
const octetsOf = (capacity: number, payloadMax: number): number =>
  capacity * (HEADER_OCTETS + IOVEC_OCTETS + NAME_OCTETS + payloadMax)

/**
 * Room for `capacity` messages of up to `payloadMax` octets each, with the socket addresses of their other ends. The
 * pages of it that no message reaches are never touched, so generous room costs no memory.
 */
export class MessageBatch {
  readonly capacity: number
  readonly payloadMax: number
  readonly #address: bigint
  readonly view: DataView
  readonly #octets: Uint8Array
  readonly #iovecsAt: number
  readonly #namesAt: number
  readonly #payloadsAt: number

  constructor(allocate: (octets: number) => FixedMemory, capacity: number, payloadMax: number) {
    const { address, octets } = allocate(octetsOf(capacity, payloadMax))
    this.capacity = capacity
    this.payloadMax = payloadMax
    this.#address = address
    this.view = new DataView(octets)
    this.#octets = new Uint8Array(octets)
    this.#iovecsAt = capacity * HEADER_OCTETS
    this.#namesAt = this.#iovecsAt + capacity * IOVEC_OCTETS
    this.#payloadsAt = this.#namesAt + capacity * NAME_OCTETS
    this.#octets.fill(0, 0, this.#payloadsAt)
    for (let i = 0; i < capacity; i++) {
      const header = i * HEADER_OCTETS
      const iovec = this.#iovecsAt + i * IOVEC_OCTETS
      this.view.setBigUint64(header + NAME_AT, address + BigInt(this.nameAt(i)), true)
      this.view.setBigUint64(header + IOVEC_AT, address + BigInt(iovec), true)
      this.view.setBigUint64(header + IOVECS_AT, 1n, true)
      this.view.setBigUint64(iovec, address + BigInt(this.#payloadsAt + i * payloadMax), true)
      this.#setRoom(i, payloadMax)
    }
  }

  /** Address of the struct mmsghdr of message `i`. */
  headerAddress(i: number): bigint {
    return this.#address + BigInt(i * HEADER_OCTETS)
  }

  /** Where the socket address of message `i` begins in {@link view}. */
  nameAt(i: number): number {
    return this.#namesAt + i * NAME_OCTETS
  }

  /** Says how long socket addresses are: 16 octets for IPv4, 28 for IPv6. */
  setNameLength(i: number, octets: number): void {
    this.view.setUint32(i * HEADER_OCTETS + NAME_LENGTH_AT, octets, true)
  }

  /** A copy of what was received as message `i`, which whoever gets it may keep. */
  payload(i: number): Uint8Array {
    const length = this.view.getUint32(i * HEADER_OCTETS + MOVED_AT, true)
    const from = this.#payloadsAt + i * this.payloadMax
    const copy = Buffer.allocUnsafe(length)
    copy.set(this.#octets.subarray(from, from + length))
    return copy
  }

  /** Makes `octets`, at most `payloadMax` of them, message `i`, to be sent to this socket address. */
  put(i: number, octets: Uint8Array, name: Uint8Array): void {
    this.#octets.set(octets, this.#payloadsAt + i * this.payloadMax)
    this.#setRoom(i, octets.length)
    this.#octets.set(name, this.nameAt(i))
    this.setNameLength(i, name.length)
  }

  /** What {@link put} made message `i`. */
  sent(i: number): Uint8Array {
    const from = this.#payloadsAt + i * this.payloadMax
    const length = this.view.getUint32(this.#iovecsAt + i * IOVEC_OCTETS + IOVEC_LENGTH_AT, true)
    return this.#octets.slice(from, from + length)
  }

  #setRoom(i: number, octets: number): void {
    this.view.setUint32(this.#iovecsAt + i * IOVEC_OCTETS + IOVEC_LENGTH_AT, octets, true)
  }
}
