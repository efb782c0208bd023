/**
 * A larger receive buffer for the sockets of another program, which offers no setting for it: its descriptor is borrowed
 * (pidfd_getfd(2), Linux 5.6) and the option set there, as root. Where that cannot be done, the program goes on without.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'
import * as E from 'fp-ts/lib/Either.js'
import { linux, loadNative } from '../../server/net/native.ts'

/** Numbers of system calls, the same on every platform. */
const PIDFD_OPEN = 434
const PIDFD_GETFD = 438

const WAIT_MS_MAX = 2_000

const require = createRequire(import.meta.url)

type SystemCall = (number: number, first: number, second: number, third: number) => number

const systemCall = (): SystemCall => {
  const koffi = require('koffi') as { load: (name: null) => { func: (declaration: string) => SystemCall } }
  return koffi.load(null).func('long syscall(long number, long first, long second, long third)')
}

/** Where the kernel lists the sockets that datagrams come to. */
const LISTS = ['udp', 'udp6', 'packet', 'raw'] as const

/** Descriptors of a program's sockets for datagrams; none when it is gone. Its standard streams may be sockets too. */
const socketsOf = (pid: number): ReadonlyArray<number> => {
  try {
    const known = LISTS.map((list) => readFileSync(`/proc/${pid}/net/${list}`, 'latin1')).join('\n')
    const inodes = new Set(known.split(/\s+/))
    return readdirSync(`/proc/${pid}/fd`)
      .map(Number)
      .filter((fd) => inodes.has(/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? 'none'))
  } catch {
    return []
  }
}

/** Waits until the program has sockets and sets their receive buffers. */
export const widenReceiveBuffers = async (pid: number, octets: number): Promise<void> => {
  const native = loadNative()
  if (E.isLeft(native)) return
  const deadline = performance.now() + WAIT_MS_MAX
  let sockets = socketsOf(pid)
  while (sockets.length === 0 && performance.now() < deadline) {
    await pause(2)
    sockets = socketsOf(pid)
  }
  const call = systemCall()
  const program = call(PIDFD_OPEN, pid, 0, 0)
  if (program < 0) return
  const borrowed = sockets.map((fd) => call(PIDFD_GETFD, program, fd, 0)).filter((fd) => fd >= 0)
  for (const fd of borrowed) {
    native.right.setOption(fd, linux.SOL_SOCKET, linux.SO_RCVBUFFORCE, octets)
    native.right.close(fd)
  }
  native.right.close(program)
}
