/**
 * A log file that is rolled by size, as Kea's `maxsize`, `maxver` and `flush` have it. Several processes may write one
 * file (workers do): each line is one append, one of them rolls it, and the others follow when they see that the path
 * names another file. So a rotation by other hands, such as logrotate's, is followed too.
 */
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import type { LoggerOutput } from './config/model.ts'

/** As Kea has it: a file whose limit is below this is never rolled. Octets. */
const ROLLED_OCTETS_MIN = 204_800
/** What is held back at most before it is written, where not each line is. Characters. */
const HELD_MAX = 8_192

/** Where lines of the log go. A line that cannot be written is lost; the service goes on. */
export class LogFile {
  readonly #options: LoggerOutput
  readonly #path: string
  #fd: number
  #inode: number
  #held = ''
  #failed = false

  /** Opens the file for appending, with the folders that lead to it. Throws the system's error when it cannot. */
  constructor(options: LoggerOutput) {
    this.#options = options
    this.#path = options.output
    fs.mkdirSync(dirname(this.#path), { recursive: true })
    this.#fd = fs.openSync(this.#path, 'a')
    this.#inode = fs.fstatSync(this.#fd).ino
  }

  /** Takes a line, its end included. */
  write(line: string): void {
    this.#held += line
    if (this.#options.flush || this.#held.length >= HELD_MAX) this.flushSync()
  }

  /** Writes what is held back. */
  flushSync(): void {
    const text = this.#held
    this.#held = ''
    if (text === '') return
    try {
      const bytes = Buffer.from(text)
      const size = this.#follow()
      if (this.#isTooLong(size, bytes.length)) this.#roll(bytes.length)
      writeAll(this.#fd, bytes)
      this.#failed = false
    } catch (error) {
      if (!this.#failed) process.stderr.write(`lease-ledger: the log cannot be written: ${String(error)}\n`)
      this.#failed = true
    }
  }

  #isTooLong(size: number, more: number): boolean {
    const { sizeMax } = this.#options
    return sizeMax >= ROLLED_OCTETS_MIN && size > 0 && size + more > sizeMax
  }

  /** Makes sure that what is open is what the path names; its size in octets. */
  #follow(): number {
    const named = fs.statSync(this.#path, { throwIfNoEntry: false })
    if (named?.ino === this.#inode) return named.size
    const fd = fs.openSync(this.#path, 'a')
    fs.closeSync(this.#fd)
    this.#fd = fd
    const { ino, size } = fs.fstatSync(fd)
    this.#inode = ino
    return size
  }

  /** Renames the file and those before it, and begins anew, unless another process does or has just done so. */
  #roll(more: number): void {
    const lock = `${this.#path}.lock`
    if (!takeLock(lock)) return
    try {
      if (!this.#isTooLong(this.#follow(), more)) return
      const versionsMax = Math.max(1, this.#options.versionsMax)
      for (let version = versionsMax; version > 1; version--) rename(this.#version(version - 1), this.#version(version))
      rename(this.#path, this.#version(1))
      this.#follow()
    } finally {
      fs.rmSync(lock, { force: true })
    }
  }

  #version(version: number): string {
    return `${this.#path}.${version}`
  }
}

/** A lock is a link to the number of the process that holds it, which is made in one step; one that it left is void. */
const takeLock = (path: string): boolean => {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      fs.symlinkSync(String(process.pid), path)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (attempt > 0 || isHeld(path)) return false
      fs.rmSync(path, { force: true })
    }
  }
  return false
}

/** Whether somebody is at it, or was a moment ago; not when the process that made the lock has died over it. */
const isHeld = (path: string): boolean => {
  const pid = holderOf(path)
  if (pid === undefined) return true
  return pid === process.pid ? false : isAlive(pid) || holderOf(path) !== pid
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Undefined when the lock has been let go meanwhile. */
const holderOf = (path: string): number | undefined => {
  try {
    return Number(fs.readlinkSync(path))
  } catch {
    return undefined
  }
}

/** Renames a file that may not be there. */
const rename = (from: string, to: string): void => {
  try {
    fs.renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

const writeAll = (fd: number, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(fd, bytes, at)
}
