import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadConfig } from '../config/load-config.ts'
import { hostId, siteId } from '../core/ids.ts'
import { mebibytes } from '../core/units.ts'
import { parseLibvirtUri } from '../libvirt/public.ts'
import { labConfig } from './lab-config.ts'
import type { LabSpec } from './lab-spec.ts'

const folder = mkdtempSync(join(tmpdir(), 'lifeboat-lab-config-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** A root whose name has what a uri does not. */
const root = '/var/my labs & more'
const spec: LabSpec = {
  name: 'demo',
  driver: 'libvirt',
  sites: [
    { id: siteId('a'), safe: false },
    { id: siteId('b'), safe: true },
  ],
  hosts: ['a', 'b'].map(site => ({ id: hostId(`${site}-1`), site: siteId(site), memory: mebibytes(1024) })),
  links: [],
  guests: [],
}
/** The second site's host, as an operator's file names it. */
function hostIn(change: Partial<LabSpec>) {
  const file = join(folder, 'lifeboat.yaml')
  writeFileSync(file, labConfig(root, { ...spec, ...change }))
  const host = loadConfig(file, {}).config.sites[1]?.hosts[0]
  assert.ok(host?.uri.kind === 'libvirt')
  return { ...host, uri: parseLibvirtUri(host.uri.text) }
}

test('hosts are reached by their sockets, or as an operator reaches them, with keys of the lab', () => {
  assert.equal(hostIn({}).uri.socket, `${root}/demo/libvirt/b-1/run/libvirt-sock`)
  const { uri, tls } = hostIn({ ssh: true })
  assert.deepEqual([uri.transport, uri.user, uri.host], ['ssh', 'root', '10.77.2.1'])
  assert.equal(uri.keyfile, `${root}/demo/ssh/id`)
  assert.equal(uri.knownHosts, `${root}/demo/ssh/known_hosts`)
  assert.equal(uri.command, `${root}/demo/ssh/b-1/ssh`)
  assert.equal(uri.noVerify, false)
  assert.equal(tls, undefined)
})

test('with TLS they reach each other by it, and memory is encrypted', () => {
  const { uri, tls, peerUri, listenAddress } = hostIn({ tls: true })
  assert.equal(uri.transport, 'unix')
  assert.equal(tls, true)
  assert.equal(listenAddress, '10.77.2.1')
  const peer = parseLibvirtUri(peerUri ?? '')
  assert.deepEqual([peer.transport, peer.host, peer.pkipath], ['tls', '10.77.2.1', `${root}/demo/pki/b-1`])
})
