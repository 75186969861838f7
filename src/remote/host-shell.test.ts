import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseHostUri } from '../config/host-uri.ts'
import { parseShellUri } from '../config/shell-uri.ts'
import { shellOf } from './host-shell.ts'

describe('where commands run', () => {
  const where = (uri: string, shell?: string): string => {
    const found = shellOf({ uri: parseHostUri(uri), shell: shell === undefined ? undefined : parseShellUri(shell) })
    return found.remote === undefined ? `nowhere: ${found.why}` : found.remote.where
  }
  for (const [uri, shell, expected] of [
    ['qemu:///system', undefined, /^this machine$/],
    ['qemu+ssh://root@osaka-1:2222/system', undefined, /^root@osaka-1 over ssh$/],
    ['qemu+tls://osaka-1/system', undefined, /^nowhere: .*by tls/],
    ['qemu+tcp://osaka-1/system', undefined, /^nowhere: .*by tcp/],
    ['qemu+unix:///system?socket=/x', undefined, /^nowhere: .*socket of its own/],
    ['qemu+tls://osaka-1/system', 'ssh://admin@osaka-1', /^admin@osaka-1 over ssh$/],
    ['qemu+unix:///system?socket=/x', 'pid:///run/x.pid', /^inside the process of \/run\/x\.pid$/],
    ['qmp+netns://n1/srv', undefined, /^namespace n1$/],
    ['qmp+local:///srv', 'netns://n2', /^namespace n2$/],
  ] as const)
    test(`${uri} ${shell ?? ''}`, () => assert.match(where(uri, shell), expected))
})
