/** Why a database cannot be reached, in words that say what to do about it. */

/** What node says of a connection that did not come about, by its codes. */
const BY_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused; is it running, and does it listen there?',
  ENOENT: 'there is no such socket; is it running on this machine?',
  EACCES: 'permission denied; may this account enter the folder of the socket?',
  ENOTFOUND: 'the name is not known; check host',
  EAI_AGAIN: 'the name cannot be resolved now; check host and the resolver',
  EHOSTUNREACH: 'no route to the host; check host and the network',
  ENETUNREACH: 'no route to its network; check host and the network',
  ETIMEDOUT: 'no answer; check host, port and the firewalls between',
  HANDSHAKE_NO_SSL_SUPPORT: 'it does not offer TLS; set it up there, or set ssl-mode to disable',
}

/** What TLS says, by its messages: drivers put codes of their own over the errors. The first that fits. */
const BY_MESSAGE: ReadonlyArray<readonly [RegExp, (message: string) => string]> = [
  [/altnames/, () => 'its certificate is for another name; check host, or set ssl-mode to verify-ca'],
  [/alert certificate required/, () => 'it wants a certificate of ours; set cert-file and key-file'],
  [/alert (unknown ca|bad certificate)/, () => 'it does not trust our certificate; check cert-file'],
  [/certificate|signature/i, (message) => `its certificate is not trusted (${message}); check trust-anchor`],
  [
    /before secure TLS connection|wrong version number/,
    () => 'it does not offer TLS, or ended it; set TLS up there, or set ssl-mode to disable',
  ],
]

interface Thrown {
  readonly code?: string | undefined
  readonly message?: string
  /** Of an AggregateError: a name has several addresses, and each was tried. */
  readonly errors?: ReadonlyArray<Thrown>
}

/** The reason of an error that ended an attempt to connect; never empty. */
export const unreachableReason = (error: unknown): string => {
  const { code = '', message = '', errors } = error as Thrown
  const [first] = errors ?? []
  if (first !== undefined) return unreachableReason(first)
  const known = BY_CODE[code]
  if (known !== undefined) return known
  const spoken = BY_MESSAGE.find(([pattern]) => pattern.test(message))?.[1]
  return spoken?.(message) ?? (message || code || String(error))
}
