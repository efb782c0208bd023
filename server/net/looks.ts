/** One timer for all sockets that only look now and then at what has come: when the process wakes, it looks at all. */

/** Between two looks. Much less than servers stand back for. ms. */
const LOOK_MS = 10

const looks = new Set<() => void>()
let timer: NodeJS.Timeout | undefined

/** Has `look` called now and then until the function that this returns is called. */
export const lookNowAndThen = (look: () => void): (() => void) => {
  looks.add(look)
  timer ??= setInterval(() => {
    for (const each of [...looks]) each()
  }, LOOK_MS)
  return () => {
    looks.delete(look)
    if (looks.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}
