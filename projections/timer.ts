/** Waiting, as an argument: a simulation has a time of its own. */
export interface Timer {
  /** Calls `act` after `ms` milliseconds, unless the function that it gives is called before. */
  readonly after: (ms: number, act: () => void) => () => void
  /** Calls `act` when what is at hand now has been done. */
  readonly soon: (act: () => void) => void
}

/** The process's own time. */
export const realTimer: Timer = {
  after: (ms, act) => {
    const timeout = setTimeout(act, ms)
    return () => clearTimeout(timeout)
  },
  soon: setImmediate,
}

/** Calls `act` every `ms` milliseconds until the function that it gives is called. */
export const every = (timer: Timer, ms: number, act: () => void): (() => void) => {
  let cancel: () => void
  const next = (): void => {
    cancel = timer.after(ms, () => {
      next()
      act()
    })
  }
  next()
  return () => cancel()
}

/** Resolves after `ms` milliseconds. */
export const pauseFor = (timer: Timer, ms: number): Promise<void> =>
  new Promise((resolve) => void timer.after(ms, resolve))

/** A pause that ends early when it is woken. One waiter at a time. */
export class Pause {
  readonly #timer: Timer
  #wake: (() => void) | undefined

  constructor(timer: Timer) {
    this.#timer = timer
  }

  /** Resolves after `ms` milliseconds or at the next `wake`. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#timer.after(ms, () => this.wake())
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  wake(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
