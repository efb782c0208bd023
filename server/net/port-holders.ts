import { readFileSync, readdirSync, readlinkSync } from 'node:fs'

/**
 * Names who holds a UDP port in this network namespace, as `dnsmasq (pid 812)`, from Linux' /proc. Empty where that
 * cannot be known: another platform, or processes of other users when we are not root. Slow: for an error message.
 */
export const findPortHolders = (port: number): readonly string[] => {
  const inodes = new Set([...inodesOfPort('/proc/net/udp', port), ...inodesOfPort('/proc/net/udp6', port)])
  if (inodes.size === 0) return []
  return listNumbers('/proc')
    .filter((pid) => holdsAny(pid, inodes))
    .map(describeProcess)
}

/** The tables have a line a socket: `sl local_address rem_address st queues timer retransmits uid timeout inode …`. */
const inodesOfPort = (table: string, port: number): readonly string[] => {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readText(table)
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(suffix))
    .flatMap((columns) => (columns[9] === undefined ? [] : [columns[9]]))
}

const holdsAny = (pid: string, inodes: ReadonlySet<string>): boolean =>
  listNumbers(`/proc/${pid}/fd`).some((fd) => {
    const match = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`))
    return match?.[1] !== undefined && inodes.has(match[1])
  })

const describeProcess = (pid: string): string => `${readText(`/proc/${pid}/comm`).trim() || 'a process'} (pid ${pid})`

// Processes come and go while /proc is read: what has vanished reads as empty.
const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

const readLink = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

const listNumbers = (path: string): readonly string[] => {
  try {
    return readdirSync(path).filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
}
