import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import type { FixedMemory } from './message-batch.ts'

/**
 * The few system calls that Node does not offer. Results below zero are `-errno`, as the kernel itself returns them.
 * Numbers in socket options and addresses are in the machine's byte order.
 */
export interface Native {
  /** socket(2), always close-on-exec and non-blocking. Returns the file descriptor. */
  readonly socket: (domain: number, type: number, protocol: number) => number
  readonly bind: (fd: number, address: Uint8Array) => number
  /** setsockopt(2); a number is passed as a C int. */
  readonly setOption: (fd: number, level: number, name: number, value: number | Uint8Array) => number
  /** getsockopt(2) into `value`. Returns the octets written. */
  readonly getOption: (fd: number, level: number, name: number, value: Uint8Array) => number
  /** sendto(2) of the first `length` octets of `bytes`; never waits. Returns the octets sent. */
  readonly sendTo: (fd: number, bytes: Uint8Array, length: number, address: Uint8Array) => number
  readonly close: (fd: number) => number
  /** fcntl(2) with F_DUPFD_CLOEXEC: another descriptor of the same socket. */
  readonly duplicate: (fd: number) => number
  /** Whether `receiveMany` and `sendMany` can be used on this machine. */
  readonly canBatch: boolean
  /** Memory for good: it is never given back. */
  readonly allocate: (octets: number) => FixedMemory
  /** recvmmsg(2) into up to `count` struct mmsghdr at `headers`; never waits. Returns the messages received. */
  readonly receiveMany: (fd: number, headers: bigint, count: number) => number
  /** sendmmsg(2) of `count` struct mmsghdr at `headers`; never waits. Returns the messages sent. */
  readonly sendMany: (fd: number, headers: bigint, count: number) => number
}

/** The native calls, or a clause that says why they cannot be had. */
export type NativeResult = Either<string, Native>

/** Numbers from Linux' headers (asm-generic, which every platform that koffi is built for uses). */
export const linux = {
  AF_INET: 2,
  AF_INET6: 10,
  AF_PACKET: 17,
  SOCK_DGRAM: 2,
  SOL_SOCKET: 1,
  SO_REUSEADDR: 2,
  SO_BROADCAST: 6,
  SO_RCVBUF: 8,
  SO_BINDTODEVICE: 25,
  SO_RCVBUFFORCE: 33,
  SO_MEMINFO: 55,
  IPPROTO_IPV6: 41,
  IPV6_ADD_MEMBERSHIP: 20,
  IPV6_V6ONLY: 26,
  ETH_P_IP: 0x0800,
} as const

/** Whether the machine keeps the low octet first, for the fields of C structures. */
export const littleEndian = endianness() === 'LE'

const SOCK_NONBLOCK = 0x800
const SOCK_CLOEXEC = 0x80000
const MSG_DONTWAIT = 0x40
const F_DUPFD_CLOEXEC = 1030
/** EBADF. */
const NO_SUCH_DESCRIPTOR = -9

let loaded: NativeResult | undefined

/** Loads the native calls once. They exist on Linux where the package koffi has a build for the machine. */
export const loadNative = (): NativeResult => {
  loaded ??= load()
  return loaded
}

type Koffi = typeof import('koffi')

const load = (): NativeResult => {
  if (process.platform !== 'linux') return E.left(`they are made for Linux and this is ${process.platform}`)
  try {
    // Loaded here and not by an import statement: where koffi has no build, the rest of the server still works.
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    return E.right(bindCalls(koffi))
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0]
    return E.left(`the package koffi does not load here (${reason})`)
  }
}

const bindCalls = (koffi: Koffi): Native => {
  const libc = koffi.load(null)
  const socket = libc.func('int socket(int, int, int)')
  const bind = libc.func('int bind(int, const void *, uint32_t)')
  const setsockopt = libc.func('int setsockopt(int, int, int, const void *, uint32_t)')
  const getsockopt = libc.func('int getsockopt(int, int, int, void *, void *)')
  const sendto = libc.func('intptr_t sendto(int, const void *, size_t, int, const void *, uint32_t)')
  const close = libc.func('int close(int)')
  const fcntl = libc.func('int fcntl(int, int, ...)')
  const recvmmsg = libc.func('int recvmmsg(int, void *, uint32_t, int, void *)')
  const sendmmsg = libc.func('int sendmmsg(int, void *, uint32_t, int)')
  const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : result)
  // A sandbox may know neither call, or forbid them: no descriptor is -1, and only who knows the call says so.
  const areCalls =
    orErrno(recvmmsg(-1, null, 0, 0, null)) === NO_SUCH_DESCRIPTOR &&
    orErrno(sendmmsg(-1, null, 0, 0)) === NO_SUCH_DESCRIPTOR
  const int = (value: number): Uint8Array => new Uint8Array(new Int32Array([value]).buffer)
  return {
    // Without close-on-exec, a child such as the embedded database would hold the DHCP port after our end.
    socket: (domain, type, protocol) => orErrno(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)),
    bind: (fd, address) => orErrno(bind(fd, address, address.length)),
    setOption: (fd, level, name, value) => {
      const bytes = typeof value === 'number' ? int(value) : value
      return orErrno(setsockopt(fd, level, name, bytes, bytes.length))
    },
    getOption: (fd, level, name, value) => {
      const length = int(value.length)
      const result = orErrno(getsockopt(fd, level, name, value, length))
      return result < 0 ? result : new DataView(length.buffer).getInt32(0, littleEndian)
    },
    sendTo: (fd, bytes, length, address) =>
      orErrno(Number(sendto(fd, bytes, length, MSG_DONTWAIT, address, address.length))),
    close: (fd) => orErrno(close(fd)),
    duplicate: (fd) => orErrno(fcntl(fd, F_DUPFD_CLOEXEC, 'int', 0)),
    // The structures of message-batch.ts are laid out for 64 bits, the low octet first.
    canBatch: littleEndian && koffi.sizeof('void *') === 8 && areCalls,
    allocate: (octets) => {
      const address = koffi.alloc('uint8_t', octets) as bigint
      return { address, octets: koffi.view(address, octets) }
    },
    receiveMany: (fd, headers, count) => orErrno(recvmmsg(fd, headers, count, MSG_DONTWAIT, null)),
    sendMany: (fd, headers, count) => orErrno(sendmmsg(fd, headers, count, MSG_DONTWAIT)),
  }
}
