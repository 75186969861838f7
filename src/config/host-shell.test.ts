import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type HostShell, parseHostShell, shellOf } from './host-shell.ts'
import { parseHostUri, UriError } from './host-uri.ts'

const ssh = (host: string, user?: string, port?: number): HostShell => ({ kind: 'ssh', host, user, port })

describe('a way to a shell', () => {
  for (const [text, shell] of [
    ['local:', { kind: 'local' }],
    ['netns://lb.lab.host.a-1', { kind: 'namespace', namespace: 'lb.lab.host.a-1' }],
    ['ssh://a-1', ssh('a-1')],
    ['ssh://root@a-1:2222', ssh('a-1', 'root', 2222)],
    ['ssh://root@[fd00::1]', ssh('fd00::1', 'root')],
  ] as const) {
    test(text, () => assert.deepEqual(parseHostShell(text), shell))
  }

  for (const text of [
    '',
    'a-1',
    'ssh://',
    'ssh://-oProxyCommand=x',
    'ssh://-l@a',
    'ssh://a:0',
    'ssh://a:99999',
    'netns://',
    'netns://a b',
    'http://x',
  ])
    test(`"${text}" is none`, () => assert.throws(() => parseHostShell(text), UriError))

  for (const [uri, shell] of [
    ['qmp+local:///vms', { kind: 'local' }],
    ['qmp+netns://x/vms', { kind: 'namespace', namespace: 'x' }],
    ['qmp+ssh://root@a-1:22/vms', ssh('a-1', 'root', 22)],
    ['qemu:///system', { kind: 'local' }],
    ['qemu+ssh://root@a-1/system', ssh('a-1', 'root')],
    ['qemu+tls://a-1/system', undefined],
    ['qemu+unix:///system?socket=/elsewhere', undefined],
  ] as const) {
    test(`${uri} ${shell === undefined ? 'leads to none' : 'has one'}`, () => {
      assert.deepEqual(shellOf(parseHostUri(uri), undefined), shell)
      assert.deepEqual(shellOf(parseHostUri(uri), { kind: 'local' }), { kind: 'local' }, 'what is given counts')
    })
  }
})
