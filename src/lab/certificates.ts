/** Certificates for labs and tests, made with openssl: an authority, and what it signs. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Pki {
  /** Of the authority that signed it. */
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface Authority {
  readonly cert: string
  /**
   * @param names `DNS:localhost`, `IP:127.0.0.1`; none for a client
   * @param days how long it is valid; -1 is over since yesterday
   */
  sign(name: string, names: readonly string[], days: number): Pki
}

const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export function newAuthority(folder: string, name: string): Authority {
  const own = mkdtempSync(join(folder, 'ca-'))
  const [cert, key] = [join(own, 'ca.pem'), join(own, 'ca-key.pem')]
  openssl('req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-days', '30', '-keyout', key, '-out', cert)
  return {
    cert,
    sign(subject, names, days) {
      const place = mkdtempSync(join(own, 'signed-'))
      const files = { ca: cert, cert: join(place, 'cert.pem'), key: join(place, 'key.pem') }
      const [request, extensions] = [join(place, 'request.pem'), join(place, 'extensions')]
      openssl('req', ...newKey, '-subj', `/CN=${subject}`, '-keyout', files.key, '-out', request)
      const server = names.length > 0
      const lines = [
        'basicConstraints = CA:FALSE',
        'keyUsage = digitalSignature, keyEncipherment',
        // A host is a client too: of the host it sends memory to.
        `extendedKeyUsage = ${server ? 'serverAuth, clientAuth' : 'clientAuth'}`,
        ...(server ? [`subjectAltName = ${names.join(', ')}`] : []),
      ]
      writeFileSync(extensions, `${lines.join('\n')}\n`)
      const by = ['-CA', cert, '-CAkey', key, '-CAcreateserial', '-days', String(days), '-extfile', extensions]
      openssl('x509', '-req', '-in', request, ...by, '-out', files.cert)
      return files
    },
  }
}

/** A folder for `?pkipath=`. @param own of the client; none where it shows no certificate */
export function pkiFolder(folder: string, name: string, ca: string, own: Pki | undefined): string {
  const place = join(folder, name)
  mkdirSync(place)
  copyFileSync(ca, join(place, 'cacert.pem'))
  if (own !== undefined) {
    copyFileSync(own.cert, join(place, 'clientcert.pem'))
    copyFileSync(own.key, join(place, 'clientkey.pem'))
  }
  return place
}
