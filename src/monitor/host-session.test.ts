/** Real shells on this machine. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { afterEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Instant, instant } from '../core/instant.ts'
import { ms } from '../core/units.ts'
import { localRemote } from '../remote/local.ts'
import type { Remote, RemoteProcess } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { DeadlineExceeded } from '../time/with-deadline.ts'
import { HostSession, SessionLost } from './host-session.ts'

const soon = (): AbortSignal => AbortSignal.timeout(10_000)
/** Real time, and what a test adds to it. */
let ahead = 0
const clock: Clock = {
  now: (): Instant => instant(performance.now() + ahead),
  sleep: (span, signal) => sleep(span, undefined, { signal }),
}
const opened: HostSession[] = []
const started: RemoteProcess[] = []
const spied: Remote = {
  ...localRemote,
  start: async (argv, signal) => {
    const process = await localRemote.start(argv, signal)
    started.push(process)
    return process
  },
}
const session = (prelude = 'say() { echo "$1"; }\n', remote: Remote = spied): HostSession => {
  const made = new HostSession({ remote, clock, prelude })
  opened.push(made)
  return made
}
const within = ms(3_000)
afterEach(() => {
  for (const each of opened.splice(0)) each.close()
  started.length = 0
})

describe('a session', () => {
  test('is one shell for many questions, and remembers between them', async () => {
    const shell = session()
    const first = await shell.run('x=7; say $x #', within, soon())
    assert.equal(first.text, '7\n')
    assert.equal((await shell.run('say "x is $x" #', within, soon())).text, 'x is 7\n')
    assert.equal(shell.starts, 1)
  })

  test('gives each question a mark of its own', async () => {
    const shell = session()
    const marks = [await shell.run('say', within, soon()), await shell.run('say', within, soon())]
    assert.notEqual(marks[0]?.mark, marks[1]?.mark)
    for (const { mark, text } of marks) assert.equal(text, `${mark}\n`)
  })

  test('answers questions asked at the same time one after the other, and refuses a heap of them', async () => {
    const shell = session()
    const asked = Array.from({ length: 10 }, (_, n) => shell.run(`sleep 0.02; say ${n} #`, within, soon()))
    const answers = await Promise.allSettled(asked)
    assert.deepEqual(
      answers.map(each => (each.status === 'fulfilled' ? each.value.text : String(each.reason))),
      [
        ...Array.from({ length: 8 }, (_, n) => `${n}\n`),
        ...Array.from({ length: 2 }, () => 'SessionLost: this machine: 8 questions wait already'),
      ],
    )
  })

  test('what a host prints before it is asked, or as a forged end, changes nothing', async () => {
    const shell = session(
      'echo Welcome; echo "00000000-0000-0000-0000-000000000000:end"\nsay() { printf "a\\n$1:en"; printf "\\n:end\\n"; }\n',
    )
    const { mark, text } = await shell.run('say', within, soon())
    assert.equal(text, `a\n${mark}:en\n:end\n`)
  })

  test('that misses its deadline is ended, with what it had started, and another takes its place after a rest', async () => {
    const shell = session()
    await assert.rejects(shell.run('sleep 77; say', ms(200), soon()), DeadlineExceeded)
    await assert.rejects(shell.run('say 1 #', within, soon()), /SessionLost.*no answer within 200 ms.*tried again in/)
    const end = await started[0]?.ended
    assert.equal(end?.code, 137)
    ahead += 1_100
    assert.equal((await shell.run('say 1 #', within, soon())).text, '1\n')
    assert.equal(shell.starts, 2)
  })

  test('whose shell dies in the middle says so at once', async () => {
    const shell = session()
    const asked = shell.run('sleep 5; say', within, soon())
    await sleep(150)
    started[0]?.kill()
    await assert.rejects(asked, /SessionLost.*its shell ended with 137/)
    ahead += 1_100
    assert.equal((await shell.run('say again #', within, soon())).text, 'again\n')
  })

  test('that fails again and again rests longer and longer, to a minute', async () => {
    const rests: number[] = []
    const shell = session('exit 3\n')
    for (let n = 0; n < 9; n += 1) {
      await assert.rejects(shell.run('say', within, soon()), SessionLost)
      const said = await shell.run('say', within, soon()).then(
        () => '',
        (error: unknown) => String(error),
      )
      const found = /ended with 3; tried again in ([\d.]+) (ms|s|min)/.exec(said)
      assert.ok(found, said)
      rests.push(Number(found[1]) * (found[2] === 'min' ? 60 : found[2] === 'ms' ? 0.001 : 1))
      ahead += 61_000
    }
    assert.ok(
      (rests[0] ?? 9) <= 1 && (rests[3] ?? 0) > 5 && (rests.at(-1) ?? 0) >= 59 && Math.max(...rests) <= 60,
      String(rests),
    )
  })

  test('that prints without end is ended', async () => {
    const shell = session()
    await assert.rejects(shell.run('yes; say', ms(9_000), soon()), /more than 1\.00 MiB in one answer/)
    await started[0]?.ended
  })

  test('is left alone by an abort of somebody who waits, and ended by one of who asks', async () => {
    const shell = session()
    const stop = new AbortController()
    const first = shell.run('sleep 0.2; say 1 #', within, soon())
    const second = shell.run('say 2 #', within, stop.signal)
    stop.abort(new Error('enough'))
    await assert.rejects(second, /enough/)
    assert.equal((await first).text, '1\n')
    assert.equal(shell.starts, 1)
  })

  test('closed, ends its shell and answers no more', async () => {
    const shell = session()
    await shell.run('say', within, soon())
    const pid = (await shell.run('say $$ #', within, soon())).text.trim()
    shell.close()
    await started[0]?.ended
    assert.ok(!existsSync(`/proc/${pid}`))
    await assert.rejects(shell.run('say', within, soon()), /closed/)
  })

  test('on a host that cannot be reached says what the remote says', async () => {
    const refusing: Remote = { ...localRemote, start: () => Promise.reject(new Error('no route to host')) }
    const shell = session('', refusing)
    await assert.rejects(shell.run('say', within, soon()), /no route to host/)
    await assert.rejects(shell.run('say', within, soon()), /no route to host; tried again in/)
  })
})
