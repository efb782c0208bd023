import { getSystemErrorMap } from 'node:util'
import { findPortHolders } from './port-holders.ts'

/** Why a socket could not be opened. `message` is one sentence for the operator, without a final full stop. */
export type SocketError =
  /** Another socket has the address and port. */
  | { readonly _tag: 'AddressInUse'; readonly message: string; readonly holders: readonly string[] }
  /** The process lacks a privilege, which the message names. */
  | { readonly _tag: 'PermissionDenied'; readonly message: string }
  /** The machine has no interface of that name. */
  | { readonly _tag: 'NoSuchInterface'; readonly message: string }
  /** The interface exists and is switched off. */
  | { readonly _tag: 'InterfaceDown'; readonly message: string }
  /** The interface has no address of the family, or none that may be used yet. */
  | { readonly _tag: 'NoAddress'; readonly message: string }
  /** The address to listen on belongs to no interface. */
  | { readonly _tag: 'NoSuchAddress'; readonly message: string }
  /** This machine, or this kind of interface, cannot do what was asked. */
  | { readonly _tag: 'Unsupported'; readonly message: string }
  /** Anything else; `code` is the system's name of it, such as ENOBUFS. */
  | { readonly _tag: 'SocketFailed'; readonly message: string; readonly code: string }

/** What was being opened, for the message. */
export interface Attempt {
  readonly family: 4 | 6
  readonly address: string
  readonly port: number
  readonly interfaceName?: string | undefined
}

/** Turns the system's error `code` (`EADDRINUSE` …) for an attempt into the error to report. */
export const socketError = (code: string, attempt: Attempt): SocketError => {
  const { family, port, interfaceName } = attempt
  const place = interfaceName === undefined ? hostPort(attempt) : `port ${port} on ${interfaceName}`
  switch (code) {
    case 'EADDRINUSE': {
      const holders = findPortHolders(port)
      const by = holders.length === 0 ? 'another process' : holders.join(' and ')
      const message = `UDP ${place} is taken by ${by}; stop it or choose another port with -p`
      return { _tag: 'AddressInUse', message, holders }
    }
    case 'EACCES':
    case 'EPERM':
      return { _tag: 'PermissionDenied', message: permissionMessage(place, port) }
    case 'EADDRNOTAVAIL':
      return {
        _tag: 'NoSuchAddress',
        message: `cannot listen on ${place}: no interface has the address ${attempt.address}`,
      }
    case 'ENODEV':
      return { _tag: 'NoSuchInterface', message: `there is no interface ${interfaceName ?? attempt.address}` }
    case 'EAFNOSUPPORT':
      return {
        _tag: 'Unsupported',
        message: `cannot listen on UDP ${place}: IPv${family} is switched off on this machine`,
      }
    default:
      return { _tag: 'SocketFailed', code, message: `cannot listen on UDP ${place}: ${describeCode(code)}` }
  }
}

/** The system's name (`EPERM`) of an error number, given as the kernel's negative result. */
export const errorName = (negativeErrno: number): string =>
  getSystemErrorMap().get(negativeErrno)?.[0] ?? `errno ${-negativeErrno}`

/** The system's code of an error that was thrown, such as EMFILE. */
export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? (error as Error).message

/** "operation not permitted (EPERM)" for `EPERM`; a code the system does not know is returned as it is. */
export const describeCode = (code: string): string => {
  for (const [name, text] of getSystemErrorMap().values()) if (name === code) return `${text} (${code})`
  return code
}

const hostPort = ({ family, address, port }: Attempt): string =>
  family === 6 ? `[${address}]:${port}` : `${address}:${port}`

const permissionMessage = (place: string, port: number): string =>
  port < 1024
    ? `listening on UDP ${place} needs root or the capability CAP_NET_BIND_SERVICE; ` +
      'run as root, grant the capability, or choose a port above 1023 with -p'
    : `listening on UDP ${place} is not permitted; run as root or grant the capability CAP_NET_RAW`
