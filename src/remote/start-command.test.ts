/** Real child processes, on this machine. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandUnavailable } from './remote.ts'
import { startCommand } from './start-command.ts'

/** One that ended and was not waited for yet has no command line any more. */
const lives = (pid: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length > 0
  } catch {
    return false
  }
}
const soon = (): AbortSignal => AbortSignal.timeout(5_000)

describe('a process that is talked to', () => {
  test('is written to and read from while it lives', async () => {
    const cat = await startCommand(['cat'], soon())
    cat.stdin.write('ähem\n')
    const [line] = (await cat.stdout.setEncoding('utf8').take(1).toArray()) as string[]
    assert.equal(line, 'ähem\n')
    cat.kill()
    assert.equal((await cat.ended).code, 137)
  })

  test('that ends by itself says how, with its last words', async () => {
    const { ended } = await startCommand(['sh', '-c', 'seq 99999 >&2; echo alas >&2; exit 4'], soon())
    const { code, complaint } = await ended
    assert.equal(code, 4)
    assert.match(complaint, /99999\nalas$/)
    assert.ok(complaint.length <= 2_000)
  })

  test('is ended with everything it started', async () => {
    const shell = await startCommand(['sh', '-c', 'sleep 77 & echo $!; wait'], soon())
    const [line = ''] = (await shell.stdout.setEncoding('utf8').take(1).toArray()) as string[]
    const pid = line.trim()
    assert.ok(lives(pid))
    shell.kill()
    shell.kill()
    await shell.ended
    for (let n = 0; n < 50 && lives(pid); n += 1) await sleep(20)
    assert.ok(!lives(pid))
  })

  test('can be written to after its end without harm', async () => {
    const gone = await startCommand(['true'], soon())
    await gone.ended
    gone.stdin.write('x')
    await sleep(50)
  })

  test('that does not exist is a program that is not there', async () => {
    await assert.rejects(startCommand(['no-such-program-77'], soon()), CommandUnavailable)
    await assert.rejects(startCommand([], soon()), RangeError)
    await assert.rejects(startCommand(['true'], AbortSignal.abort(new Error('no'))), /no/)
  })
})
