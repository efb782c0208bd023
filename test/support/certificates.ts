/** Certificates of the tests' own, made with openssl: an authority, what it signed, and a stranger of the same name. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { must, which } from './process.ts'

/** A file in PEM, and its text. */
export interface Pem {
  readonly path: string
  readonly text: string
}

export interface Certificates {
  readonly ca: Pem
  /** Another authority that bears the same name. */
  readonly otherCa: Pem
  /** For the address 127.0.0.1 alone. */
  readonly serverCert: Pem
  readonly serverKey: Pem
  readonly clientCert: Pem
  readonly clientKey: Pem
}

/** Why no certificates can be made here, or undefined when they can. */
export const certificatesMissing = (): string | undefined =>
  which('openssl') === undefined ? 'openssl is not installed' : undefined

/** Makes them as files of `folder`, good for two days. */
export const makeCertificates = async (folder: string): Promise<Certificates> => {
  const openssl = (...words: readonly string[]) => must(['openssl', ...words], { cwd: folder })
  const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  for (const name of ['ca', 'other']) {
    await openssl(...request, '-x509', '-subj', '/CN=ledger test', '-keyout', `${name}.key`, '-out', `${name}.crt`)
  }
  const signed = async (name: string, ...more: readonly string[]): Promise<void> => {
    const signing = ['-x509', '-CA', 'ca.crt', '-CAkey', 'ca.key', ...more]
    await openssl(...request, ...signing, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.crt`)
  }
  await signed('server', '-addext', 'subjectAltName=IP:127.0.0.1')
  await signed('client')
  const read = async (name: string): Promise<Pem> => {
    const path = join(folder, name)
    return { path, text: await readFile(path, 'utf8') }
  }
  return {
    ca: await read('ca.crt'),
    otherCa: await read('other.crt'),
    serverCert: await read('server.crt'),
    serverKey: await read('server.key'),
    clientCert: await read('client.crt'),
    clientKey: await read('client.key'),
  }
}
