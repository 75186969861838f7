import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { UriError } from './host-uri.ts'
import { parseShellUri } from './shell-uri.ts'

describe('where commands run', () => {
  for (const [text, expected] of [
    ['local:///', { kind: 'local' }],
    ['local://', { kind: 'local' }],
    ['netns://lb.demo.host.a-1', { kind: 'netns', namespace: 'lb.demo.host.a-1' }],
    ['pid:///run/libvirtd.pid', { kind: 'pid', file: '/run/libvirtd.pid' }],
    ['ssh://root@osaka-1:2222', { kind: 'ssh', host: 'osaka-1', user: 'root', port: 2222 }],
    ['SSH://osaka-1/', { kind: 'ssh', host: 'osaka-1', user: undefined, port: undefined }],
    ['ssh://[fd00::1]', { kind: 'ssh', host: 'fd00::1', user: undefined, port: undefined }],
  ] as const)
    test(text, () => assert.deepEqual(parseShellUri(text), expected))

  for (const text of [
    '',
    'osaka-1',
    'ssh://',
    'ssh://-oProxyCommand=x',
    'ssh://-l@host',
    'ssh://host:0',
    'ssh://host:65536',
    'ssh://host/folder',
    'ssh://a b',
    'netns://',
    'netns://../x',
    'pid://',
    'pid:///',
    'pid://host/file',
    'local://host/',
    'telnet://host',
  ])
    test(`not ${JSON.stringify(text)}`, () => assert.throws(() => parseShellUri(text), UriError))
})
