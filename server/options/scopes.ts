/** Whose value of an option counts. */
import type { OptionSet, OptionValue } from '../config/model.ts'

/** The value of an option in scopes from the nearest to the outermost; undefined when it is not sent. */
export const valueIn = (scopes: ReadonlyArray<OptionSet>, code: number): OptionValue | undefined => {
  let nearest: OptionValue | undefined
  for (const scope of scopes) {
    const value = scope.standard.get(code)
    // As in Kea, never-send in any scope is final, also where a nearer one does not say it.
    if (value?.neverSend) return undefined
    nearest ??= value
  }
  return nearest
}
