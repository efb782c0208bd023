/** Writes big-endian fields into a growing buffer. One writer may be reused for many packets through {@link Writer.reset}. */
export class Writer {
  #bytes: Uint8Array
  #at = 0

  /** `capacity` in octets is what is reserved at first; the buffer doubles when it is outgrown. */
  constructor(capacity = 1500) {
    this.#bytes = new Uint8Array(capacity)
  }

  /** Octets written so far. */
  get length(): number {
    return this.#at
  }

  /** Forgets what was written and keeps the buffer. */
  reset(): this {
    this.#at = 0
    return this
  }

  /** Appends one octet. */
  u8(value: number): this {
    this.#reserve(1)
    this.#bytes[this.#at++] = value
    return this
  }

  /** Appends a uint16 in network order. */
  u16(value: number): this {
    this.#reserve(2)
    this.#bytes[this.#at++] = value >>> 8
    this.#bytes[this.#at++] = value
    return this
  }

  /** Appends a uint32 in network order. */
  u32(value: number): this {
    this.#reserve(4)
    this.#bytes[this.#at++] = value >>> 24
    this.#bytes[this.#at++] = value >>> 16
    this.#bytes[this.#at++] = value >>> 8
    this.#bytes[this.#at++] = value
    return this
  }

  /** Appends octets. */
  bytes(value: Uint8Array): this {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
    return this
  }

  /** Appends `value` and zeros up to `length` octets; what is longer is cut off. */
  padded(value: Uint8Array, length: number): this {
    this.#reserve(length)
    const kept = value.length > length ? value.subarray(0, length) : value
    this.#bytes.set(kept, this.#at)
    this.#bytes.fill(0, this.#at + kept.length, this.#at + length)
    this.#at += length
    return this
  }

  /** Overwrites the uint8 at `offset`, for a length that is known only afterwards. */
  patchU8(offset: number, value: number): void {
    this.#bytes[offset] = value
  }

  /** Overwrites the uint16 at `offset`. */
  patchU16(offset: number, value: number): void {
    this.#bytes[offset] = value >>> 8
    this.#bytes[offset + 1] = value
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  /**
   * A copy for what is sent and forgotten, in octets of Node's pool: an allocation of its own costs more than a message is
   * to write.
   */
  message(): Uint8Array {
    const { buffer, byteOffset } = Buffer.allocUnsafe(this.#at)
    const copy = new Uint8Array(buffer, byteOffset, this.#at)
    copy.set(this.#bytes.subarray(0, this.#at))
    return copy
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + more))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
  }
}
