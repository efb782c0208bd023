import * as E from 'fp-ts/lib/Either.js'
import { HEADER_BYTES, writeDatagram4 } from './datagram4.ts'
import type { Flow4 } from './datagram4.ts'
import { findInterface } from './interfaces.ts'
import type { NetworkInterface } from './interfaces.ts'
import { linux, littleEndian, loadNative } from './native.ts'
import type { Native, NativeResult } from './native.ts'
import { makeCounters } from './socket.ts'
import type { Opening, SocketCounters } from './socket.ts'
import { describeCode, errorName } from './socket-error.ts'
import type { SocketError } from './socket-error.ts'

/**
 * Sends UDP over IPv4 to a hardware address, without asking ARP: the way to reach a client that was offered an
 * address and does not answer for it yet (RFC 2131 §4.1, reply to `yiaddr` at `chaddr`).
 *
 * It only sends. Receiving stays with the UDP socket bound to the same interface ({@link openUdp4} with
 * `interfaceName`): that gets broadcasts of clients without an address as well as the unicasts of renewing ones,
 * whereas a packet socket cannot be handed to Node's event loop, and waiting for it would take a thread for each
 * interface. The price: the host's packet filter must let UDP port 67 in, and strict reverse path filtering (rp_filter
 * 1) hides clients that rebind with an address which the host routes elsewhere.
 */
export interface RawSender4 {
  readonly interfaceName: string
  readonly counters: SocketCounters
  /** Largest payload that fits the interface, octets. */
  readonly payloadBytesMax: number
  /** Sends `bytes` along `flow` at once to the station `hardwareAddress`, 6 octets. Never throws; errors are counted. */
  sendTo(bytes: Uint8Array, flow: Flow4, hardwareAddress: Uint8Array): void
  close(): void
}

/** Hardware address of all stations of an Ethernet. */
export const BROADCAST_HARDWARE_ADDRESS: Uint8Array = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)

/**
 * Opens the sender for one interface. Errors: `NoSuchInterface`, `InterfaceDown`, `PermissionDenied` (it needs
 * CAP_NET_RAW), `Unsupported` (no native calls on this machine, or not an Ethernet), `SocketFailed`.
 */
export const openRaw4 =
  (options: { readonly interfaceName: string }, native: NativeResult = loadNative()): Opening<RawSender4> =>
  async () => {
    const { interfaceName } = options
    if (E.isLeft(native)) return E.left(unsupported(interfaceName, `native socket calls are missing: ${native.left}`))
    const found = findInterface(interfaceName)
    if (E.isLeft(found)) return found
    if (found.right.hardwareAddress.length !== ETHERNET_ADDRESS_BYTES) {
      return E.left(unsupported(interfaceName, 'it has no Ethernet hardware address'))
    }
    // "Cooked" (SOCK_DGRAM): the kernel writes the link header with the interface's address of the moment, so VLANs
    // work and a bond may change its address. Protocol 0: nothing is queued for receiving.
    const fd = native.right.socket(linux.AF_PACKET, linux.SOCK_DGRAM, 0)
    if (fd < 0) return E.left(rawError(interfaceName, errorName(fd)))
    return E.right(makeSender(native.right, fd, found.right))
  }

const makeSender = (native: Native, fd: number, on: NetworkInterface): RawSender4 => {
  const counters = makeCounters()
  // One buffer serves all datagrams: sendto(2) has copied it when it returns.
  const packet = new Uint8Array(on.mtu)
  const target = linkAddress(on)
  let open = true
  const failed = (reason: string): void => {
    counters.sendErrors++
    counters.lastError = reason
  }
  const sendTo: RawSender4['sendTo'] = (bytes, flow, hardwareAddress) => {
    if (hardwareAddress.length !== ETHERNET_ADDRESS_BYTES) return failed('not an Ethernet hardware address')
    if (!open) return failed('the socket is closed')
    const length = writeDatagram4(packet, flow, bytes)
    if (length === 0) return failed(`${bytes.length} octets do not fit the MTU of ${on.name}, ${on.mtu}`)
    target.set(hardwareAddress, LINK_ADDRESS_AT)
    const sent = native.sendTo(fd, packet, length, target)
    if (sent < 0) return failed(describeCode(errorName(sent)))
    counters.sent++
  }
  const close = (): void => {
    if (open) native.close(fd)
    open = false
  }
  return { interfaceName: on.name, counters, payloadBytesMax: on.mtu - HEADER_BYTES, sendTo, close }
}

const ETHERNET_ADDRESS_BYTES = 6
const LINK_ADDRESS_AT = 12

/**
 * struct sockaddr_ll: family, protocol (network order), interface index, two fields that sending does not use, length
 * of the address, and the address in 8 octets, which is filled in for each datagram.
 */
const linkAddress = (on: NetworkInterface): Uint8Array => {
  const bytes = new Uint8Array(20)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, linux.AF_PACKET, littleEndian)
  view.setUint16(2, linux.ETH_P_IP)
  view.setInt32(4, on.index, littleEndian)
  view.setUint8(11, ETHERNET_ADDRESS_BYTES)
  return bytes
}

const unsupported = (interfaceName: string, reason: string): SocketError => ({
  _tag: 'Unsupported',
  message: `dhcp-socket-type raw does not work on ${interfaceName}: ${reason}; set dhcp-socket-type to udp`,
})

const rawError = (interfaceName: string, code: string): SocketError =>
  code === 'EPERM' || code === 'EACCES'
    ? {
        _tag: 'PermissionDenied',
        message:
          `dhcp-socket-type raw on ${interfaceName} needs root or the capability CAP_NET_RAW; ` +
          'grant it or set dhcp-socket-type to udp',
      }
    : { _tag: 'SocketFailed', code, message: `no packet socket on ${interfaceName}: ${describeCode(code)}` }
