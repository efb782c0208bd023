/**
 * Whether a socket wants to be told of each datagram at once. Where servers take turns, those that stand by hear everything
 * and answer nothing, and to be woken for a datagram costs them more than what they do about it. So a socket that hears
 * much and answers nothing looks at what has come only now and then, until it answers again or little comes.
 */
import type { Instant } from '../../domain/instant.ts'

/** So long is listened before it is decided anew. ms. */
const WINDOW_MS = 100
/** Datagrams in a window that are many: 500 a second. */
const MANY = 50
/** Fewer than that are few; being told of each costs little then. */
const FEW = 25

/** The attention of one socket. */
export class Attention {
  #since: Instant = 0
  #heard = 0
  #answered = false
  #lax = false

  /** Whether it is enough to look now and then. */
  get isLax(): boolean {
    return this.#lax
  }

  /** So many datagrams have come. To be called with 0 too, where nothing has come. */
  heard(count: number, at: Instant): void {
    this.#heard += count
    const elapsed = at - this.#since
    if (elapsed >= 0 && elapsed < WINDOW_MS) return
    // What came in a longer time, or before the clock was set, says nothing of how many come now.
    const isKnown = elapsed >= 0 && elapsed < 2 * WINDOW_MS
    this.#lax = isKnown && !this.#answered && this.#heard >= (this.#lax ? FEW : MANY)
    this.#since = at
    this.#heard = 0
    this.#answered = false
  }

  /** Something was answered: more is asked, and waits for an answer. */
  answered(): void {
    this.#answered = true
    this.#lax = false
  }
}
