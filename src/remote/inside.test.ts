import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { insideRemote } from './inside.ts'
import { CommandUnavailable, HostUnreachable } from './remote.ts'

const soon = () => AbortSignal.timeout(10_000)
const mayEnter =
  spawnSync('nsenter', ['--target', String(process.pid), '--mount', '--uts', '--net', '--', 'true']).status === 0

describe('inside the namespaces of a process', () => {
  let folder = ''
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'lifeboat-inside-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))
  const at = (text: string) => {
    const file = join(folder, 'pid')
    writeFileSync(file, text)
    return insideRemote(file)
  }

  test('a pid file that is not there, or has no number, is a host that is not there', async () => {
    await assert.rejects(insideRemote('/nowhere/pid').run(['true'], {}, soon()), HostUnreachable)
    for (const text of ['', 'x', '-1', '1 2', '0'])
      await assert.rejects(at(text).run(['true'], {}, soon()), /is no process id/, text)
  })

  describe('as root', { skip: mayEnter ? false : 'nsenter may not enter here' }, () => {
    test('runs what it is told, with what is said to it', async () => {
      const { code, stdout } = await at(`${process.pid}\n`).run(['sh', '-c', 'cat; exit 3'], { stdin: 'heard' }, soon())
      assert.deepEqual([code, stdout], [3, 'heard'])
    })
    test('a process that has ended is a host that is gone', async () => {
      const ended = spawnSync('true').pid
      await assert.rejects(at(String(ended)).run(['true'], {}, soon()), HostUnreachable)
    })
    test('no such program is no host that is gone', async () => {
      await assert.rejects(at(String(process.pid)).run(['no-such-program'], {}, soon()), CommandUnavailable)
    })
  })
})
