/** Collects everything that is wrong with a configuration, so that an operator sees it all at once. */
import type { ConfigError } from './model.ts'
import { pathText } from './tree.ts'
import type { Path, Tree } from './tree.ts'

/** Errors in the order found; warnings are one sentence each. */
export class Report {
  readonly errors: ConfigError[] = []
  readonly #said = new Set<string>()
  readonly #warnings = new Set<string>()
  readonly #ignored = new Map<string, number>()
  readonly #tree: Tree

  constructor(tree: Tree) {
    this.#tree = tree
  }

  /** Something is wrong with the value at `path`, or with its key. */
  error(path: Path, message: string, what: 'key' | 'value' = 'value'): void {
    const text = pathText(path)
    // What a shared network says is looked at for each of its subnets.
    const said = `${what} ${text} ${message}`
    if (this.#said.has(said)) return
    this.#said.add(said)
    this.errors.push({ ...this.#tree.locate(path, what), path: text, message })
  }

  /** Something worth knowing; the same sentence is kept once. */
  warn(sentence: string): void {
    this.#warnings.add(sentence)
  }

  /** A key that has no effect, one warning however often it is there. */
  ignore(key: string, why: string): void {
    const warning = `${key} has no effect here: ${why}`
    this.#ignored.set(warning, (this.#ignored.get(warning) ?? 0) + 1)
  }

  /** Line of the value at `path`, for messages that point to another place. */
  line(path: Path): number {
    return this.#tree.locate(path, 'value').line
  }

  get warnings(): readonly string[] {
    const ignored = [...this.#ignored].map(([text, count]) => (count === 1 ? text : `${text} (${count} places)`))
    return [...this.#warnings, ...ignored]
  }
}
