/**
 * The history of one address or prefix as spans: who held it from when to when, and how that ended. A pure fold of the
 * stream's events; contiguous renewals of one holder are one span.
 */
import type { LogName, Recorded, Seq } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import type { Lease } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'

/** How a span ended. */
export type EndedBy = 'held' | 'released' | 'superseded' | 'expired' | 'declined' | 'revoked'

/** A time during which one client held one address or prefix. */
export interface Span {
  readonly stream: StreamName
  /** The lease as its last event in the span left it: who, relay, lifetimes, renewals. */
  readonly lease: Lease
  /** Inclusive. */
  readonly from: Instant
  /** Exclusive. For `held` the end that was granted, which may still be extended. */
  readonly until: Instant
  readonly endedBy: EndedBy
  readonly renewals: number
  /** When it was last renewed; undefined when never. */
  readonly renewedAt: Instant | undefined
  /** The server that gave it. */
  readonly server: LogName
  /** The events that the span rests on, in order. */
  readonly events: ReadonlyArray<{ readonly log: LogName; readonly seq: Seq; readonly type: string }>
}

type Open = { -readonly [K in keyof Span]: Span[K] } & { events: { log: LogName; seq: Seq; type: string }[] }

/**
 * The spans of a stream, in order, from its events in order. A span that ran out counts as expired at its end whether or
 * not that has been written down by `now`; a client that got the address later begins a new span.
 */
export const spansOf = (events: ReadonlyArray<Recorded>, now: Instant): ReadonlyArray<Span> => {
  const spans: Open[] = []
  let open: Open | undefined
  const end = (by: EndedBy, at: Instant): void => {
    if (open === undefined) return
    open.endedBy = by
    open.until = Math.max(open.from, Math.min(at, open.until))
    open = undefined
  }
  for (const recorded of events) {
    const { event } = recorded
    const { lease } = event
    if (open !== undefined && recorded.recordedAt >= open.until) end('expired', open.until)
    switch (event.type) {
      case 'LeaseOffered':
        break
      case 'LeaseClaimed':
      case 'LeaseRenewed':
      case 'LeaseImported':
        if (event.type === 'LeaseImported' && event.status !== 'bound') break
        if (open === undefined || open.lease.holder !== lease.holder) {
          end('expired', recorded.recordedAt)
          spans.push((open = begin(recorded)))
        } else extend(open, recorded)
        break
      case 'LeaseReleased':
        note(open, recorded)
        end(event.cause === 'superseded' ? 'superseded' : 'released', recorded.recordedAt)
        break
      case 'LeaseDeclined':
        note(open, recorded)
        end('declined', recorded.recordedAt)
        break
      case 'LeaseExpired':
        note(open, recorded)
        end('expired', lease.expiresAt)
        break
      case 'LeaseRevoked':
        note(open, recorded)
        end('revoked', recorded.recordedAt)
        break
    }
  }
  if (open !== undefined && open.until <= now) end('expired', open.until)
  return spans
}

/** Who held it at a moment: the span that covers it, or `undefined`. Spans in order, of one stream. */
export const holderAt = (spans: ReadonlyArray<Span>, at: Instant): Span | undefined =>
  spans.find((span) => span.from <= at && at < span.until)

const positionOf = ({ log, seq, event }: Recorded) => ({ log, seq, type: event.type })

const begin = (recorded: Recorded): Open => ({
  stream: recorded.stream,
  lease: recorded.event.lease,
  from: recorded.event.lease.startsAt,
  until: recorded.event.lease.expiresAt,
  endedBy: 'held',
  renewals: recorded.event.lease.renewals,
  renewedAt: undefined,
  server: recorded.log,
  events: [positionOf(recorded)],
})

const extend = (open: Open, recorded: Recorded): void => {
  const { lease } = recorded.event
  open.lease = lease
  open.until = lease.expiresAt
  open.renewals = lease.renewals
  open.renewedAt = recorded.recordedAt
  open.events.push(positionOf(recorded))
}

const note = (open: Open | undefined, recorded: Recorded): void => {
  open?.events.push(positionOf(recorded))
}
