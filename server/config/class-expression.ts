/** What a client class's `test` may ask of the packet that is being classified. */
export interface ClassAccessor {
  /** Bytes of a top-level option; undefined when the packet has none. */
  readonly option: (code: number) => Uint8Array | undefined
}

/** A parsed `test`: pure, never throws. */
export type ClassTest = (packet: ClassAccessor) => boolean
