/**
 * Reads big-endian fields from untrusted bytes without throwing. A read past the end yields zeros and is remembered;
 * the caller asks once, with {@link Reader.finish}, instead of after each field.
 */
export class Reader {
  readonly #bytes: Uint8Array
  #at: number
  readonly #end: number
  #short = false

  /** Reads `bytes` from `start` (inclusive) to `end` (exclusive), both in octets. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = Math.min(end, bytes.length)
  }

  /** Octets not yet read. */
  get left(): number {
    return this.#end - this.#at
  }

  /** Offset of the next octet in the underlying bytes. */
  get offset(): number {
    return this.#at
  }

  /** Next octet, uint8. */
  u8(): number {
    if (this.#at >= this.#end) {
      this.#short = true
      return 0
    }
    return this.#bytes[this.#at++] as number
  }

  /** Next two octets, uint16 in network order. */
  u16(): number {
    return (this.u8() << 8) | this.u8()
  }

  /** Next four octets, uint32 in network order. */
  u32(): number {
    return ((this.u8() << 24) | (this.u8() << 16) | (this.u8() << 8) | this.u8()) >>> 0
  }

  /** Next `length` octets as a view of the underlying buffer (no copy); empty when they are not all there. */
  take(length: number): Uint8Array {
    if (length > this.left) {
      this.#short = true
      this.#at = this.#end
      return EMPTY
    }
    const view = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return view
  }

  /** Everything that is left, as a view. */
  rest(): Uint8Array {
    return this.take(this.left)
  }

  /** Passes over `length` octets. */
  skip(length: number): void {
    this.take(length)
  }

  /** Whether all reads were covered (`ok`), some ran past the end (`short`), or octets are left over (`trailing`). */
  finish(): 'ok' | 'short' | 'trailing' {
    return this.#short ? 'short' : this.#at < this.#end ? 'trailing' : 'ok'
  }
}

const EMPTY = new Uint8Array(0)
