import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { type HostUri, parseHostUri, UriError } from './host-uri.ts'

const ssh = { kind: 'qmp-ssh', user: undefined, port: undefined, folder: '/srv/vms' } as const

const forms: readonly (readonly [text: string, uri: HostUri])[] = [
  ['qmp+local:///srv/vms', { kind: 'qmp-local', folder: '/srv/vms' }],
  ['QMP+Local:///srv/my vms', { kind: 'qmp-local', folder: '/srv/my vms' }],
  ['qmp+netns://lb-a-1/srv/vms', { kind: 'qmp-netns', namespace: 'lb-a-1', folder: '/srv/vms' }],
  ['qmp+ssh://a-1/srv/vms', { ...ssh, host: 'a-1' }],
  ['qmp+ssh://root@a-1.example.org:2222/srv/vms', { ...ssh, host: 'a-1.example.org', user: 'root', port: 2222 }],
  ['qmp+ssh://ops@10.9.0.11/srv/vms', { ...ssh, host: '10.9.0.11', user: 'ops' }],
  ['qmp+ssh://[2001:db8::1]:22/srv/vms', { ...ssh, host: '2001:db8::1', port: 22 }],
  ['qmp+ssh://root@[::1]/srv/vms', { ...ssh, host: '::1', user: 'root' }],
  ['qemu:///system', { kind: 'libvirt', text: 'qemu:///system', host: undefined, path: '/system' }],
  [
    'qemu+unix:///system?socket=/run/x/libvirt-sock',
    { kind: 'libvirt', text: 'qemu+unix:///system?socket=/run/x/libvirt-sock', host: undefined, path: '/system' },
  ],
  [
    'qemu+ssh://root@a-1:2222/system?keyfile=/root/id',
    { kind: 'libvirt', text: 'qemu+ssh://root@a-1:2222/system?keyfile=/root/id', host: 'a-1', path: '/system' },
  ],
]

const refusals: readonly (readonly [text: string, why: RegExp])[] = [
  ['', /^"" is no uri; expected one of qmp\+local/],
  ['/srv/vms', /is no uri/],
  ['qmp+local:/srv/vms', /is no uri/],
  ['a-1', /is no uri/],
  ['https://a-1/srv/vms', /unknown scheme "https"; expected one of/],
  ['qmp://a-1/srv/vms', /unknown scheme "qmp"/],
  ['qemu+ssh:///system', /ssh needs a host/],
  ['qemu+telnet://a-1/system', /unknown transport "telnet"/],
  ['qemu:///system?colour=blue', /unknown parameter "colour"/],
  ['qemu+ssh://-oProxyCommand=x/system', /is no \[user@\]host\[:port\]/],
  ['qemu+ssh://-l@a-1/system', /is no \[user@\]host\[:port\]/],
  ['xen:///system', /unknown scheme "xen"/],
  ['qmp+local://srv/vms', /a local uri has three slashes/],
  ['qmp+local://', /names no folder/],
  ['qmp+local:///', /names no folder/],
  ['qmp+local:////srv', /names no folder/],
  ['qmp+netns://lb-a-1', /names no folder/],
  ['qmp+netns:///srv/vms', /"" is no name of a network namespace/],
  ['qmp+netns://a b/srv/vms', /"a b" is no name of a network namespace/],
  ['qmp+netns://../srv/vms', /"\.\." is no name of a network namespace/],
  ['qmp+netns://-force/srv/vms', /"-force" is no name of a network namespace/],
  ['qmp+ssh://a-1', /names no folder/],
  ['qmp+ssh:///srv/vms', /"" is not USER@HOST:PORT/],
  ['qmp+ssh://root@/srv/vms', /"root@" is not USER@HOST:PORT/],
  ['qmp+ssh://a@b@c/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://a-1:ssh/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://a-1:/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://2001:db8::1/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://-oProxyCommand=x/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://-l@a-1/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://a-1:0/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://a-1:65536/srv/vms', /is not USER@HOST:PORT/],
  ['qmp+ssh://a-1/srv/vms?keyfile=x', /"\?keyfile=x" is not understood here/],
  ['qmp+ssh://a-1/srv/vms#top', /"#top" is not understood here/],
]

describe('the uri of a host', () => {
  for (const [text, uri] of forms) test(`${text} is read`, () => assert.deepEqual(parseHostUri(text), uri))

  for (const [text, why] of refusals) {
    test(`${JSON.stringify(text)} is refused, with the reason`, () => {
      assert.throws(
        () => parseHostUri(text),
        (error: unknown) => {
          assert.ok(error instanceof UriError, String(error))
          assert.match(error.message, why)
          assert.ok(error.message.startsWith(JSON.stringify(text)), 'the message quotes the uri')
          return true
        },
      )
    })
  }

  test('whatever the text, nothing that is read could be taken for an option or for two words by ssh and ip', () => {
    const arbPart = fc.string({
      unit: fc.constantFrom('a', '1', '-', '.', '@', ':', '[', ']', ' ', '/', '?', '\n', '$'),
    })
    fc.assert(
      fc.property(
        fc.constantFrom('local', 'netns', 'ssh'),
        arbPart,
        fc.constantFrom('/srv', ''),
        (kind, part, folder) => {
          let uri: HostUri
          try {
            uri = parseHostUri(`qmp+${kind}://${part}${folder}`)
          } catch (error) {
            assert.ok(error instanceof UriError)
            return
          }
          assert.ok(uri.kind !== 'libvirt')
          assert.match(uri.folder, /^\/[^/]/)
          const words =
            uri.kind === 'qmp-ssh' ? [uri.host, uri.user ?? 'x'] : uri.kind === 'qmp-netns' ? [uri.namespace] : []
          for (const word of words) assert.match(word, /^[^-\s][^\s]*$/)
        },
      ),
      runs(1_000),
    )
  })
})
