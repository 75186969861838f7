import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { LibvirtUriError } from './errors.ts'
import { type LibvirtUri, parseLibvirtUri } from './uri.ts'

/** What a URI says beyond the defaults. */
const said = (text: string): Partial<LibvirtUri> => {
  const { text: same, ...rest } = parseLibvirtUri(text)
  assert.equal(same, text)
  return Object.fromEntries(
    Object.entries(rest).filter(([, value]) => value !== undefined && value !== 'auto' && value !== false),
  )
}
const system = { driver: 'qemu', path: '/system', driverUri: 'qemu:///system' }

describe('URIs as libvirt reads them', () => {
  const forms: readonly (readonly [text: string, means: Partial<LibvirtUri>])[] = [
    ['qemu:///system', { ...system, transport: 'unix' }],
    ['qemu:///session', { driver: 'qemu', path: '/session', driverUri: 'qemu:///session', transport: 'unix' }],
    ['qemu+unix:///system', { ...system, transport: 'unix' }],
    ['QEMU+UNIX:///system', { ...system, transport: 'unix' }],
    ['qemu+unix:///system?socket=/run/other-sock', { ...system, transport: 'unix', socket: '/run/other-sock' }],
    ['qemu+unix:///system?mode=direct', { ...system, transport: 'unix', mode: 'direct' }],
    ['qemu:///system?mode=legacy', { ...system, transport: 'unix', mode: 'legacy' }],
    ['qemu+tcp://host/system', { ...system, transport: 'tcp', host: 'host' }],
    ['qemu+tcp://host:16510/system', { ...system, transport: 'tcp', host: 'host', port: 16_510 }],
    ['qemu+tcp://[::1]:16510/system', { ...system, transport: 'tcp', host: '::1', port: 16_510 }],
    ['qemu+tcp://[fe80::1%25eth0]/system', { ...system, transport: 'tcp', host: 'fe80::1%eth0' }],
    ['qemu+tcp://10.0.0.7/system', { ...system, transport: 'tcp', host: '10.0.0.7' }],
    ['qemu+tls://host.example/system', { ...system, transport: 'tls', host: 'host.example' }],
    ['qemu://host.example/system', { ...system, transport: 'tls', host: 'host.example' }],
    [
      'qemu+tls://host/system?pkipath=/etc/pki/mine&no_verify=1',
      { ...system, transport: 'tls', host: 'host', pkipath: '/etc/pki/mine', noVerify: true },
    ],
    ['qemu+tls://host/system?no_verify=0', { ...system, transport: 'tls', host: 'host' }],
    ['qemu+ssh://host/system', { ...system, transport: 'ssh', host: 'host' }],
    ['qemu+ssh://root@host/system', { ...system, transport: 'ssh', user: 'root', host: 'host' }],
    [
      'qemu+ssh://root@host:2222/system?keyfile=/root/.ssh/id&no_verify=1',
      {
        ...system,
        transport: 'ssh',
        user: 'root',
        host: 'host',
        port: 2222,
        keyfile: '/root/.ssh/id',
        noVerify: true,
      },
    ],
    [
      'qemu+ssh://d%C3%A9j%C3%A0%40vu@host/system?socket=/run/a%20b;command=/opt/c++/ssh;netcat=ncat',
      {
        ...system,
        transport: 'ssh',
        user: 'déjà@vu',
        host: 'host',
        socket: '/run/a b',
        command: '/opt/c++/ssh',
        netcat: 'ncat',
      },
    ],
    [
      'qemu+ssh://host/system?proxy=netcat&known_hosts=/k&sshauth=agent&no_tty=1&no_sanity=1',
      { ...system, transport: 'ssh', host: 'host', proxy: 'netcat', knownHosts: '/k' },
    ],
    ['qemu+ssh://host/system?proxy=native&', { ...system, transport: 'ssh', host: 'host', proxy: 'native' }],
    ['test:///default', { driver: 'test', path: '/default', driverUri: 'test:///default', transport: 'unix' }],
    [
      'test+tcp://host/srv/nodes%20a.xml',
      {
        driver: 'test',
        path: '/srv/nodes%20a.xml',
        driverUri: 'test:///srv/nodes%20a.xml',
        transport: 'tcp',
        host: 'host',
      },
    ],
    ['lxc://', { driver: 'lxc', path: '/', driverUri: 'lxc:///', transport: 'unix' }],
    [
      'qemu+tcp://host/system?name=qemu:///embed',
      { ...system, driverUri: 'qemu:///embed', transport: 'tcp', host: 'host' },
    ],
  ]
  for (const [text, means] of forms) test(text, () => assert.deepEqual(said(text), means))
})

describe('URIs that are refused, with what was expected', () => {
  const refusals: readonly (readonly [text: string, message: RegExp])[] = [
    ['', /is no libvirt URI; expected one like qemu:\/\/\/system/],
    ['qemu', /is no libvirt URI/],
    ['qemu:/system', /is no libvirt URI/],
    ['/run/libvirt/libvirt-sock', /is no libvirt URI/],
    ['http+://host/', /is no libvirt URI/],
    ['qemu:///system#there', /is no libvirt URI/],
    ['qemu:///sys tem', /is no libvirt URI/],
    ['qemu:///system\n', /is no libvirt URI/],
    ['qemu+ssh://ho\0st/system', /is no libvirt URI/],
    ['qemu+libssh2://host/system', /unknown transport "libssh2"; there are: unix, tcp, tls, ssh/],
    ['qemu+ext:///system', /unknown transport "ext"/],
    ['qemu+ssh:///system', /ssh needs a host, like qemu\+ssh:\/\/host\/system/],
    ['qemu+tcp:///system', /tcp needs a host/],
    ['xen+tls:///', /tls needs a host, like xen\+tls:\/\/host\//],
    ['qemu+unix://host/system', /a unix socket has no host; for another machine use qemu\+ssh:\/\/host\/system/],
    ['qemu+tcp://host:0/system', /0 is no port; expected 1 to 65535/],
    ['qemu+tcp://host:65536/system', /65536 is no port/],
    ['qemu+tcp://host:x/system', /"host:x" is no \[user@\]host\[:port\]/],
    ['qemu+tcp://host:/system', /"host:" is no \[user@\]host/],
    ['qemu+tcp://a@b@c/system', /is no \[user@\]host/],
    ['qemu+tcp://::1/system', /is no \[user@\]host/],
    ['qemu+tcp://[::1/system', /is no \[user@\]host/],
    ['qemu+ssh://-oProxyCommand=x/system', /is no \[user@\]host/],
    ['qemu+ssh://-x@host/system', /is no \[user@\]host/],
    ['qemu+ssh://%zz@host/system', /"%zz" has a "%" without two digits/],
    ['qemu+ssh://a%00b@host/system', /has a zero byte/],
    ['qemu:///system?sokcet=/x', /unknown parameter "sokcet"; there are: socket, keyfile/],
    ['qemu:///system?socket', /"socket" has no value/],
    ['qemu:///system?socket=', /"socket" has no value/],
    ['qemu:///system?socket=/a&socket=/b', /"socket" is given twice/],
    ['qemu:///system?socket=%', /"%" has a "%" without two digits/],
    ['qemu:///system?mode=sometimes', /mode=sometimes; expected auto or legacy or direct/],
    ['qemu+ssh://host/system?proxy=socks', /proxy=socks; expected auto or native or netcat/],
    ['qemu+tls://host/system?no_verify=yes', /no_verify=yes; expected 0 or 1/],
  ]
  for (const [text, message] of refusals)
    test(JSON.stringify(text), () => {
      assert.throws(
        () => parseLibvirtUri(text),
        (error: unknown) => {
          assert.ok(error instanceof LibvirtUriError)
          assert.match(error.message, message)
          assert.ok(error.message.includes(text), 'it names the URI')
          return true
        },
      )
    })

  test('any text at all is a URI or a LibvirtUriError', () => {
    const part = fc.constantFrom(
      'qemu',
      '+',
      'ssh',
      '://',
      '/',
      '@',
      ':',
      '[',
      ']',
      '%',
      '?',
      '&',
      '=',
      'no_verify',
      '1',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(part).map(parts => `qemu+ssh://${parts.join('')}`),
        ),
        text => {
          try {
            parseLibvirtUri(text)
          } catch (error) {
            if (!(error instanceof LibvirtUriError)) throw error
          }
        },
      ),
      runs(1_000),
    )
  })
})
