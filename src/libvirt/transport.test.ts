import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { LibvirtConnectError } from './errors.ts'
import { pkiPlaces } from './tls-transport.ts'
import { openTransport, socketPaths } from './transport.ts'
import { parseLibvirtUri } from './uri.ts'

const soon = (): AbortSignal => AbortSignal.timeout(3_000)
const pathsOf = (text: string): readonly string[] => socketPaths(parseLibvirtUri(text))
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'was not rejected' })
}

describe('which sockets are tried', () => {
  const forms: readonly (readonly [text: string, paths: readonly string[]])[] = [
    ['qemu:///system', ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock']],
    ['lxc:///system', ['/run/libvirt/virtlxcd-sock', '/run/libvirt/libvirt-sock']],
    ['qemu:///system?mode=legacy', ['/run/libvirt/libvirt-sock']],
    ['qemu:///system?mode=direct', ['/run/libvirt/virtqemud-sock']],
    ['qemu:///system?socket=/x', ['/x']],
  ]
  for (const [text, paths] of forms) test(text, () => assert.deepEqual(pathsOf(text), paths))

  test('a session’s are the user’s own', t => {
    const before = process.env['XDG_RUNTIME_DIR']
    t.after(() => {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
      else process.env['XDG_RUNTIME_DIR'] = before
    })
    process.env['XDG_RUNTIME_DIR'] = '/run/user/7'
    assert.deepEqual(pathsOf('qemu:///session'), [
      '/run/user/7/libvirt/virtqemud-sock',
      '/run/user/7/libvirt/libvirt-sock',
    ])
    delete process.env['XDG_RUNTIME_DIR']
    if (process.env['XDG_CACHE_HOME'] === undefined)
      assert.equal(pathsOf('qemu:///session')[1], join(homedir(), '.cache/libvirt/libvirt-sock'))
  })
})

describe('a daemon that is not reached, by whatever way, is a LibvirtConnectError with place and next step', () => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-transport-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  const failure = async (text: string): Promise<string> => {
    const error = await rejection(openTransport(parseLibvirtUri(text), soon()))
    assert.ok(error instanceof LibvirtConnectError, String(error))
    assert.ok(error.message.startsWith(`${text}: `), error.message)
    return error.message
  }

  test('no socket', async () => {
    assert.match(
      await failure(`qemu:///system?socket=${dir}/none`),
      /ENOENT.*none\nis libvirtd \(or virtqemud\) running/,
    )
  })

  test('a socket of nobody', async () => {
    writeFileSync(join(dir, 'file'), '')
    assert.match(await failure(`qemu:///system?socket=${dir}/file`), /ECONNREFUSED/)
  })

  test('a port of nobody', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    await once(server, 'close')
    assert.match(
      await failure(`qemu+tcp://127.0.0.1:${port}/system`),
      /ECONNREFUSED.*\nis libvirtd running there and listening/,
    )
  })

  test('a name that is none', async () => {
    assert.match(await failure('qemu+tcp://no-such-host.invalid/system'), /\nis the name right/)
  })

  test('TLS without certificates', async () => {
    assert.match(
      await failure(`qemu+tls://host/system?pkipath=${dir}`),
      new RegExp(`no certificate of an authority to trust, at ${dir}/cacert.pem\n.*pkipath`),
    )
  })

  test('TLS with files that are no certificates, or none that can be read', async () => {
    for (const name of ['cacert', 'clientcert', 'clientkey']) writeFileSync(join(dir, `${name}.pem`), 'nothing\n')
    assert.match(await failure(`qemu+tls://127.0.0.1/system?pkipath=${dir}`), /TLS: /)
    const folder = mkdtempSync(join(dir, 'pki-'))
    mkdirSync(join(folder, 'cacert.pem'))
    assert.match(await failure(`qemu+tls://127.0.0.1/system?pkipath=${folder}`), /EISDIR/)
  })

  test('a signal that was aborted opens nothing, by any way', async () => {
    const reason = new Error('not any more')
    for (const way of [
      'qemu:///system',
      'qemu+tcp://127.0.0.1/system',
      'qemu+tls://127.0.0.1/system',
      'qemu+ssh://127.0.0.1/system',
    ])
      assert.equal(await rejection(openTransport(parseLibvirtUri(way), AbortSignal.abort(reason))), reason)
  })

  test('a daemon that does not answer is given up with the signal', async () => {
    // TLS waits for the other side's greeting, which never comes.
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const signal = AbortSignal.timeout(50)
    const uri = parseLibvirtUri(`qemu+tls://127.0.0.1:${port}/system?no_verify=1&pkipath=/nowhere`)
    assert.equal(await rejection(openTransport(uri, signal)), signal.reason)
    server.close()
  })
})

describe('where certificates are looked for', () => {
  test('in the folder that was named, and nowhere else', () => {
    assert.deepEqual(pkiPlaces('/p'), {
      ca: ['/p/cacert.pem'],
      revoked: ['/p/cacrl.pem'],
      own: [['/p/clientcert.pem', '/p/clientkey.pem']],
    })
  })

  test('else in libvirt’s places, for users their own first', t => {
    const getuid = process.getuid
    t.after(() => {
      process.getuid = getuid as () => number
    })
    process.getuid = () => 0
    assert.deepEqual(pkiPlaces(undefined), {
      ca: ['/etc/pki/CA/cacert.pem'],
      revoked: ['/etc/pki/CA/cacrl.pem'],
      own: [['/etc/pki/libvirt/clientcert.pem', '/etc/pki/libvirt/private/clientkey.pem']],
    })
    process.getuid = () => 1000
    const own = join(homedir(), '.pki/libvirt')
    assert.deepEqual(pkiPlaces(undefined).ca, [`${own}/cacert.pem`, '/etc/pki/CA/cacert.pem'])
    assert.deepEqual(pkiPlaces(undefined).own[0], [`${own}/clientcert.pem`, `${own}/clientkey.pem`])
  })
})
