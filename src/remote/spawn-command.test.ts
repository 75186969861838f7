/** Real child processes, on this machine. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { localRemote } from './local.ts'
import { CommandFailed, CommandUnavailable, runOk } from './remote.ts'
import { spawnCommand } from './spawn-command.ts'

const soon = (): AbortSignal => AbortSignal.timeout(5_000)
const sh = (script: string): readonly string[] => ['sh', '-c', script]
const lives = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
/** Whatever a promise was rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'was not rejected' })
}

describe('a command', () => {
  test('its output, its complaints and its exit code are the result', async () => {
    const result = await spawnCommand(sh('echo out; echo "ähem 🔑" >&2; exit 7'), {}, soon())
    assert.deepEqual(result, { code: 7, stdout: 'out\n', stderr: 'ähem 🔑\n' })
  })

  for (const [name, number] of [
    ['TERM', constants.signals.SIGTERM],
    ['KILL', constants.signals.SIGKILL],
  ] as const) {
    test(`ended by SIG${name} it has the code ${128 + number}, as in a shell`, async () => {
      assert.equal((await spawnCommand(sh(`kill -${name} $$`), {}, soon())).code, 128 + number)
    })
  }

  test('reads what it is given on standard input, text or bytes, to the end', async () => {
    const bytes = new Uint8Array([0, 10, 255, 13])
    assert.equal((await spawnCommand(['cat'], { stdin: 'a\nb' }, soon())).stdout, 'a\nb')
    assert.equal((await spawnCommand(['od', '-An', '-tx1'], { stdin: bytes }, soon())).stdout.trim(), '00 0a ff 0d')
  })

  test('that is given nothing finds its standard input at the end', async () => {
    assert.deepEqual(await spawnCommand(['cat'], {}, soon()), { code: 0, stdout: '', stderr: '' })
  })

  test('that ends without reading all it was given still tells its own exit code', async () => {
    const stdin = 'x'.repeat(1_048_576)
    assert.equal((await spawnCommand(sh('exit 3'), { stdin }, soon())).code, 3)
  })

  test('gets its words as they are: no shell is in between', async () => {
    const words = ['$HOME', '`id`', "it's", '"', 'a  b', '', 'line\nbreak', '*', '\\', '-n']
    const { stdout } = await spawnCommand(['printf', '%s\\0', ...words], {}, soon())
    assert.deepEqual(stdout.split('\0').slice(0, -1), words)
  })

  test('may write as much as was allowed', async () => {
    const { stdout } = await spawnCommand(['head', '-c', '4096', '/dev/zero'], { maxOutput: 4_096 }, soon())
    assert.equal(stdout.length, 4_096)
  })

  test('that writes more than was allowed is ended, and the error tells the limit', async () => {
    const error = await rejection(spawnCommand(['cat', '/dev/zero'], { maxOutput: 10_000 }, soon()))
    assert.ok(error instanceof Error)
    assert.equal(error.name, 'OutputTooLarge')
    assert.equal(error.message, 'cat: more than 10000 bytes of output')
  })

  test('output and complaints count together towards the limit', async () => {
    const both = sh('head -c 600 /dev/zero; head -c 600 /dev/zero >&2')
    assert.equal((await spawnCommand(both, { maxOutput: 1_200 }, soon())).code, 0)
    assert.match(String(await rejection(spawnCommand(both, { maxOutput: 1_199 }, soon()))), /more than 1199 bytes/)
  })

  test('whose program does not exist is CommandUnavailable, with its name', async () => {
    const error = await rejection(spawnCommand(['lifeboat-no-such-program', 'x'], {}, soon()))
    assert.ok(error instanceof CommandUnavailable)
    assert.equal(error.message, 'lifeboat-no-such-program: no such program on this machine')
  })

  test('whose program may not be run is an error too', async () => {
    const error = await rejection(spawnCommand(['/etc/passwd'], {}, soon()))
    assert.ok(error instanceof Error)
    assert.match(error.message, /EACCES/)
  })

  test('without a word is refused', async () => {
    assert.ok((await rejection(spawnCommand([], {}, soon()))) instanceof RangeError)
  })
})

describe('an abort', () => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-spawn-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  /** The process ids that a script wrote into this file, as soon as they are all there. */
  async function pids(file: string, count: number): Promise<readonly number[]> {
    for (const limit = soon(); ; limit.throwIfAborted()) {
      const words = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
      if (words.length === count) return words.map(Number)
      await sleep(5)
    }
  }

  test('before it starts: nothing runs', async () => {
    const reason = new Error('not any more')
    const file = join(dir, 'never')
    assert.equal(await rejection(spawnCommand(['touch', file], {}, AbortSignal.abort(reason))), reason)
    await sleep(20)
    assert.equal(existsSync(file), false)
  })

  test('kills the child, whatever it thinks of SIGTERM, and rejects with the reason', async () => {
    const enough = new AbortController()
    const reason = new Error('enough')
    const file = join(dir, 'stubborn')
    const stubborn = sh(`trap "" TERM INT HUP; echo $$ > ${file}; while :; do :; done`)
    const failed = rejection(spawnCommand(stubborn, {}, enough.signal))
    const [child = 0] = await pids(file, 1)
    assert.ok(lives(child))
    enough.abort(reason)
    assert.equal(await failed, reason)
    assert.equal(lives(child), false)
  })

  test('rejects at once, although a grandchild keeps the output open', async () => {
    const enough = new AbortController()
    const reason = new Error('enough')
    const file = join(dir, 'grandchild')
    const failed = rejection(spawnCommand(sh(`sleep 3 & echo $! > ${file}; wait`), {}, enough.signal))
    const [grandchild = 0] = await pids(file, 1)
    const began = performance.now()
    enough.abort(reason)
    const first = await Promise.race([failed, sleep(1_000, 'still waits')])
    if (lives(grandchild)) process.kill(grandchild, 'SIGKILL')
    await failed
    assert.equal(first, reason, `after ${(performance.now() - began).toFixed(0)} ms`)
  })

  test('after the end changes nothing, and no listener is left', async () => {
    const enough = new AbortController()
    const { code } = await spawnCommand(['true'], {}, enough.signal)
    enough.abort()
    assert.equal(code, 0)
    assert.equal(getEventListeners(enough.signal, 'abort').length, 0)
  })
})

describe('insisting on success', () => {
  test('gives the output of a command that ended with 0', async () => {
    assert.equal(await runOk(localRemote, ['echo', 'hello'], {}, soon()), 'hello\n')
  })

  test('another code is a CommandFailed that tells the place, the command, the code and the last lines it said', async () => {
    const argv = ['sh', '-c', 'echo one >&2; echo two >&2; echo three >&2; echo four >&2; exit 9', 'and', 'more']
    const error = await rejection(runOk(localRemote, argv, {}, soon()))
    assert.ok(error instanceof CommandFailed)
    assert.equal(error.result.code, 9)
    assert.match(error.message, /^sh -c .* on this machine ended with 9: two \/ three \/ four$/)
  })

  test('one that complained of nothing is told by its output, one that said nothing by its code', async () => {
    const says = await rejection(runOk(localRemote, sh('echo sorry; exit 1'), {}, soon()))
    assert.match(String(says), /ended with 1: sorry$/)
    const silent = await rejection(runOk(localRemote, ['false'], {}, soon()))
    assert.match(String(silent), /false on this machine ended with 1$/)
  })
})
