/** What the simulator asks of a simulated client, of either protocol. */

/** What a client sets out to do. */
export type Task = 'acquire' | 'renew' | 'rebind' | 'release'

/** What a reply means to the client. */
export type Reaction =
  /** The exchange goes on with this message, under this transaction id. */
  | { readonly _tag: 'Next'; readonly bytes: Uint8Array; readonly transactionId: number }
  /** The exchange is over; seconds are the lease time or the shortest valid lifetime. */
  | { readonly _tag: 'Granted'; readonly leaseTimeSec: number }
  /** NAK, or a status other than success. */
  | { readonly _tag: 'Refused' }
  | { readonly _tag: 'Ignored' }

/** A client: it holds its lease, and knows no time and no sockets. */
export interface SimulatedClient {
  /** The first message of a task under this transaction id. */
  readonly begin: (task: Task, transactionId: number) => Uint8Array
  /** Takes a reply that carries its transaction id; `fresh` gives one that no exchange under way has. */
  readonly react: (bytes: Uint8Array, transactionId: number, fresh: () => number) => Reaction
  /** Whether it has a lease now. */
  readonly bound: () => boolean
  /** Comparable names of what it holds. */
  readonly lease: () => ReadonlyArray<string>
}
