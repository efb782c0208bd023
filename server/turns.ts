/**
 * Taking turns. Several servers hear the first message of a client (DISCOVER, Solicit), and the client takes one offer. On
 * each link one of them, by a hash, offers at once. The others stand back for a moment, and offer only if the client has
 * not asked for what it was offered by then. So N servers do not do everything N times, and what one of them grants goes
 * to the store in batches that are not N times smaller.
 *
 * Nobody's silence rests on what somebody else is believed to do: who stood back in vain answers. Where that happens again
 * and again, because a relay sends to this server alone, or the first one has died or has too much to do, it stands back
 * no more for a while.
 */
import { hash32 } from '../domain/allocation.ts'
import type { Instant } from '../domain/instant.ts'
import type { Timer } from '../projections/timer.ts'
import type { Share } from './load-share.ts'

/** A client that has waited this long by its own account gets an answer from whoever hears it, at once. Seconds. */
export const PATIENCE_SEC = 1

/** How long the server that is next in turn stands back, and each one after it longer by as much. ms. */
export const STAND_BACK_MS = 100

/** Clients on one link that nobody else served, one after the other, after which it stands back there no more. */
export const VAIN_MAX = 8

/**
 * For this long at first, since the server whose turn it is may only have been busy starting, and each time twice as long up
 * to the most; after each time one more client shows whether it still is so. ms.
 */
export const ALONE_MS_FIRST = 1_000
export const ALONE_MS_MOST = 16_000

/** Clients that it stands back from at most; what is beyond is answered at once. */
const HELD_MAX = 4_096

/** Links of which it is known whether others serve there; beyond that all are forgotten. */
const LINKS_MAX = 4_096

interface Held {
  readonly link: string
  readonly cancel: () => void
}

/** How it went on a link. */
interface LinkSeen {
  vain: number
  aloneUntil: Instant
  /** How long it will not stand back the next time. ms. */
  aloneMs: number
}

/** A link, as a message shows it. */
export interface LinkName {
  /** Address of the relay on it, as any text; empty where the message came directly. Every server must see the same. */
  readonly relay: string
  /** Interface that it came in by, if that is known: each server has names of its own. */
  readonly interfaceName: string | undefined
}

/** What turns are made of. */
export interface TurnsOptions {
  /** The servers that may hear the same clients. */
  readonly share: () => Share
  readonly now: () => Instant
  readonly timer: Timer
}

/** The turns of one server for one protocol. `client` is a client's identifier, hardware address or DUID. */
export class Turns {
  readonly #options: TurnsOptions
  readonly #held = new Map<string, Held>()
  readonly #links = new Map<string, LinkSeen>()

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /** Whether this server stands back from a client's first message; then `act` comes later, unless the client chooses. */
  standsBack(client: Uint8Array, { relay, interfaceName = '' }: LinkName, act: () => void): boolean {
    const behind = this.#behind(relay)
    if (behind === 0 || this.#held.size >= HELD_MAX) return false
    const key = keyOf(client)
    const link = `${relay}%${interfaceName}`
    if (this.#held.has(key)) return true // it comes twice at once, by two relays
    if (this.#options.now() < this.#seenOn(link).aloneUntil) return false
    const { timer } = this.#options
    const inVain = (): void => {
      if (this.#held.get(key) !== held) return
      this.#held.delete(key)
      this.#stoodBackInVain(link)
      act()
    }
    // What the client chose may have come already, to be heard in this turn of the event loop, after the timers.
    const held: Held = { link, cancel: timer.after(behind * STAND_BACK_MS, () => timer.soon(inVain)) }
    this.#held.set(key, held)
    return true
  }

  /** The client has asked a server for what that offered. Whether this server had stood back from it. */
  chosen(client: Uint8Array): boolean {
    if (this.#held.size === 0) return false
    const key = keyOf(client)
    const held = this.#held.get(key)
    if (held === undefined) return false
    held.cancel()
    this.#held.delete(key)
    const seen = this.#seenOn(held.link)
    seen.vain = 0
    seen.aloneMs = ALONE_MS_FIRST
    return true
  }

  /** Answers nobody any more from whom this server has stood back. */
  stop(): void {
    for (const { cancel } of this.#held.values()) cancel()
    this.#held.clear()
  }

  /** How many servers the hash puts before this one; 0 also where this one is not known to be alive. */
  #behind(relay: string): number {
    const { own, alive } = this.#options.share()
    const index = alive.indexOf(own)
    if (alive.length < 2 || index < 0) return 0
    return (index - (hash32(relay, 0) % alive.length) + alive.length) % alive.length
  }

  #stoodBackInVain(link: string): void {
    const seen = this.#seenOn(link)
    const now = this.#options.now()
    // Clients that came together are one sign, and do not make it stand back the less.
    if (now < seen.aloneUntil || ++seen.vain < VAIN_MAX) return
    seen.vain = VAIN_MAX - 1
    seen.aloneUntil = now + seen.aloneMs
    seen.aloneMs = Math.min(2 * seen.aloneMs, ALONE_MS_MOST)
  }

  #seenOn(link: string): LinkSeen {
    const known = this.#links.get(link)
    if (known !== undefined) return known
    if (this.#links.size >= LINKS_MAX) this.#links.clear()
    const seen = { vain: 0, aloneUntil: 0, aloneMs: ALONE_MS_FIRST }
    this.#links.set(link, seen)
    return seen
  }
}

const keyOf = (client: Uint8Array): string =>
  Buffer.from(client.buffer, client.byteOffset, client.byteLength).toString('latin1')
