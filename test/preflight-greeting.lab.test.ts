/** What a source's own ssh and TLS say to a target's daemon, by a real sshd and a real TLS server: keys, host keys, certificates. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createServer } from 'node:tls'
import { sampleHost, sampleSystem } from '../src/core/preflight/sample-profiles.ts'
import { probeLinks } from '../src/hypervisor/probe-links.ts'
import type { Remote } from '../src/remote/remote.ts'
import { spawnCommand } from '../src/remote/spawn-command.ts'
import { type Authority, newAuthority, type Pki } from '../src/lab/certificates.ts'
import { newKey, type PrivateSshd, startSshd } from './libvirt-private-sshd.ts'

const soon = () => AbortSignal.timeout(30_000)
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const whyNot = (...programs: readonly string[]): string | false => {
  const missing = ['unshare', ...programs].filter(program => !has(program))
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`
  return spawnSync('unshare', ['-m', 'true']).status === 0 ? false : 'no mount namespace can be made here'
}

/** A host with its own /etc and /root, and nothing else of its own. */
function hostWith(folder: string): Remote {
  for (const place of ['etc', 'root/.ssh']) mkdirSync(join(folder, place), { recursive: true, mode: 0o700 })
  for (const file of ['passwd', 'group', 'hosts', 'nsswitch.conf', 'ssl'])
    if (existsSync(`/etc/${file}`))
      cpSync(`/etc/${file}`, join(folder, 'etc', file), { recursive: true, dereference: true })
  const enter = 'mount --bind "$0/etc" /etc && mount --bind "$0/root" /root && exec "$@"'
  return {
    where: 'a host of the test',
    run: (argv, options, signal) =>
      spawnCommand(['unshare', '-m', '--propagation', 'private', 'sh', '-c', enter, folder, ...argv], options, signal),
    start: () => Promise.reject(new Error('not here')),
    connectUnix: () => Promise.reject(new Error('not here')),
    close: () => Promise.resolve(),
  }
}

async function greeting(remote: Remote, uri: string): Promise<string> {
  const source = sampleHost('a-1', { system: sampleSystem })
  const target = sampleHost('b-1', { connectUri: uri, address: '127.0.0.1' })
  const [link] = await probeLinks(remote, source, [target], new Set(), soon())
  assert.equal(link?.daemon?.reached, 'open')
  const said = link.greeting
  assert.ok(said.by !== 'none')
  return said.answer === 'welcome' ? 'welcome' : `${said.answer}: ${said.answer === 'refused' ? said.said : said.why}`
}

describe('ssh from the source host', { skip: whyNot('sshd', 'ssh', 'ssh-keygen') }, () => {
  let folder = ''
  let sshd: PrivateSshd
  let remote: Remote
  const own = (name: string): string => join(folder, 'root/.ssh', name)
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lifeboat-greeting-'))
    remote = hostWith(folder)
    sshd = await startSshd({ folder, process: { pid: process.pid } }, undefined, soon())
  })
  after(async () => {
    await sshd?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })
  const ask = () => greeting(remote, `qemu+ssh://root@127.0.0.1:${sshd.port}/system`)

  test('a host key that nobody has checked', async () =>
    assert.match(await ask(), /^refused: .*Host key verification failed/))
  test('no key, or another one', async () => {
    copyFileSync(sshd.knownHosts, own('known_hosts'))
    assert.match(await ask(), /^refused: .*Permission denied/)
    newKey(own('id_ed25519'))
    assert.match(await ask(), /^refused: .*Permission denied/)
  })
  test('the right one', async () => {
    copyFileSync(sshd.keyfile, own('id_ed25519'))
    copyFileSync(`${sshd.keyfile}.pub`, own('id_ed25519.pub'))
    assert.equal(await ask(), 'welcome')
  })
})

describe('TLS from the source host', { skip: whyNot('openssl') }, () => {
  let folder = ''
  let authority: Authority
  let remote: Remote
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'lifeboat-greeting-'))
    remote = hostWith(folder)
    authority = newAuthority(folder, 'the authority')
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  async function ask(server: Pki): Promise<string> {
    const [cert, key, ca] = [server.cert, server.key, authority.cert].map(file => readFileSync(file))
    assert.ok(cert !== undefined && key !== undefined && ca !== undefined)
    const listener = createServer({ cert, key, ca, requestCert: true }, socket => socket.end())
    listener.on('tlsClientError', () => undefined)
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    try {
      const address = listener.address()
      assert.ok(address !== null && typeof address === 'object')
      return await greeting(remote, `qemu+tls://localhost:${address.port}/system`)
    } finally {
      listener.close()
    }
  }
  const good = () => authority.sign('localhost', ['DNS:localhost'], 30)

  test('no certificate on the source host', async () => {
    assert.match(await ask(good()), /^refused: \/etc\/pki\/CA\/cacert\.pem: No such file/)
  })
  test('one that the target’s authority signed', async () => {
    const client = authority.sign('a-1', [], 30)
    for (const place of ['CA', 'libvirt/private']) mkdirSync(join(folder, 'etc/pki', place), { recursive: true })
    copyFileSync(authority.cert, join(folder, 'etc/pki/CA/cacert.pem'))
    copyFileSync(client.cert, join(folder, 'etc/pki/libvirt/clientcert.pem'))
    copyFileSync(client.key, join(folder, 'etc/pki/libvirt/private/clientkey.pem'))
    assert.equal(await ask(good()), 'welcome')
  })
  test('a target with another name', async () => {
    assert.match(await ask(authority.sign('b-9', ['DNS:b-9'], 30)), /^refused: .*mismatch/i)
  })
  test('a target whose certificate is over', async () => {
    assert.match(await ask(authority.sign('localhost', ['DNS:localhost'], -1)), /^refused: .*expired/)
  })
  test('a target of another authority', async () => {
    const other = newAuthority(folder, 'somebody else')
    assert.match(await ask(other.sign('localhost', ['DNS:localhost'], 30)), /^refused: .*verify/i)
  })
})
