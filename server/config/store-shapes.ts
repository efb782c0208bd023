/** Keys of `lease-database`: Kea's, and those that a ledger needs beside them. */
import { flag, integer, oneOf, port, text, timeoutMs, word } from './values.ts'

export const storeFields = {
  required: { type: oneOf('memfile', 'embedded', 'memory', 'postgresql', 'mysql', 'eventstore') },
  optional: {
    name: word(4096),
    host: text,
    port,
    user: text,
    password: text,
    'password-file': word(4096),
    'password-env': word(),
    'connect-timeout': timeoutMs,
    'statement-timeout': timeoutMs,
    'prefer-again-time': timeoutMs,
    'max-reconnect-tries': integer(0, 0xffffffff),
    'reconnect-wait-time': integer(0, 0xffffffff),
    'on-fail': oneOf('stop-retry-exit', 'serve-retry-exit', 'serve-retry-continue'),
    'retry-on-startup': flag,
    'trust-anchor': word(4096),
    'cert-file': word(4096),
    'key-file': word(4096),
    'cipher-list': word(4096),
    'ssl-mode': oneOf('disable', 'prefer', 'require', 'verify-ca', 'verify-full'),
    'table-engine': oneOf('InnoDB', 'NDBCLUSTER'),
    'connection-string': word(4096),
  },
}
