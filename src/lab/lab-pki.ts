/**
 * Certificates of a lab: one authority, one certificate for each host, which it shows as libvirtd, as QEMU and as a client. Two names for
 * each file, libvirt's (libvirt.org/kbase/tlscerts.html) and QEMU's (docs/system/tls.rst).
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { HostId } from '../core/ids.ts'
import { newAuthority, type Pki } from './certificates.ts'
import { labFolder, pkiFolder } from './lab-names.ts'

/** A lab that is a year old has other troubles. */
const validDays = 365

export const pkiNames = {
  ca: ['cacert.pem', 'ca-cert.pem'],
  cert: ['server-cert.pem', 'client-cert.pem', 'clientcert.pem'],
  key: ['server-key.pem', 'client-key.pem', 'clientkey.pem'],
} as const satisfies Record<keyof Pki, readonly string[]>

/** @param hosts with the addresses they are reached at; who comes through a tunnel reaches them at localhost */
export function writePki(
  root: string,
  lab: string,
  hosts: readonly { readonly id: HostId; readonly address: string }[],
) {
  const folder = join(labFolder(root, lab), 'pki')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const authority = newAuthority(folder, `lifeboat lab ${lab}`)
  for (const { id, address } of hosts) {
    const signed = authority.sign(id, [`IP:${address}`, `DNS:${id}`, 'DNS:localhost', 'IP:127.0.0.1'], validDays)
    writePkiFolder(pkiFolder(root, lab, id), signed)
  }
  return authority
}

/** Whatever was there is replaced. */
export function writePkiFolder(folder: string, { ca, cert, key }: Pki): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  for (const name of pkiNames.ca) copyFileSync(ca, join(folder, name))
  for (const name of pkiNames.cert) copyFileSync(cert, join(folder, name))
  for (const name of pkiNames.key) copyFileSync(key, join(folder, name))
}
