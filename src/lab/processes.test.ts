import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ms } from '../core/units.ts'
import { realClock } from '../engine/real-clock.ts'
import { neverAborts } from '../time/with-deadline.ts'
import { commandLineOf, endProcesses, lives, processesNaming, startTimeOf } from './processes.ts'

const onLinux = { skip: process.platform === 'linux' ? false : 'reads /proc' } as const
const folder = mkdtempSync(join(tmpdir(), 'lifeboat-processes-'))
const children: ChildProcess[] = []
after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** A process that does nothing, with these words on its command line. */
async function idle(argv0: string, words: readonly string[]): Promise<{ child: ChildProcess; pid: number }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 60_000)', '--', ...words], {
    argv0,
    stdio: 'ignore',
  })
  children.push(child)
  await once(child, 'spawn')
  assert.ok(child.pid !== undefined)
  return { child, pid: child.pid }
}
async function ended(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

test('a process has one start time as long as it lives, and none afterwards', onLinux, async () => {
  const { child, pid } = await idle('idle', [])
  const started = startTimeOf(pid)
  assert.match(started ?? '', /^\d+$/)
  assert.equal(startTimeOf(pid), started)
  assert.ok(Number(started) >= Number(startTimeOf(process.pid)), 'it did not start before us')
  await ended(child)
  assert.equal(startTimeOf(pid), undefined)
})

test('a process that has the number, but not the start time, is another one', onLinux, async () => {
  const { child, pid } = await idle('idle', [])
  const startTime = startTimeOf(pid) ?? ''
  const known = { pid, startTime, what: 'idle' }
  assert.equal(lives(known), true)
  assert.equal(lives({ ...known, startTime: String(Number(startTime) - 1) }), false)
  await ended(child)
  assert.equal(lives(known), false)
})

test('a program’s name with spaces and parentheses does not shift the start time', onLinux, async () => {
  const link = join(folder, 'a ) b (c 1')
  symlinkSync('/bin/sleep', link)
  const child = spawn(link, ['60'], { stdio: 'ignore' })
  children.push(child)
  await once(child, 'spawn')
  const mine = Number(startTimeOf(process.pid))
  const its = Number(startTimeOf(child.pid ?? 0))
  assert.ok(its >= mine && its < mine + 100 * 3_600, `${its}, ours ${mine}`)
})

test('a process that has ended and waits to be collected does not live', onLinux, async () => {
  // The shell becomes a sleep, which never collects the child the shell had.
  const child = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
  children.push(child)
  let text = ''
  child.stdout.setEncoding('utf8')
  for await (const chunk of child.stdout) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  const zombie = Number(text.trim())
  const clock = realClock()
  const until = clock.now() + 10_000
  while (startTimeOf(zombie) !== undefined && clock.now() < until) await new Promise(resolve => setTimeout(resolve, 5))
  assert.equal(startTimeOf(zombie), undefined)
  assert.ok(existsSync(`/proc/${zombie}`), 'its number is not free yet')
})

test('a number that nobody has, has no start time and no command line', onLinux, () => {
  assert.equal(startTimeOf(2 ** 30), undefined)
  assert.deepEqual(commandLineOf(2 ** 30), [])
})

test('a command line is told in words', onLinux, async () => {
  const { pid } = await idle('/usr/bin/qemu-system-x86_64', ['-name', 'vm 1', ''])
  assert.deepEqual(commandLineOf(pid).slice(0, 1), ['/usr/bin/qemu-system-x86_64'])
  assert.deepEqual(commandLineOf(pid).slice(-5), ['--', '-name', 'vm 1', '', ''])
})

test(
  'a QEMU, a relay or an sshd that names something in the folder is found, with its number and start time',
  onLinux,
  async () => {
    const lab = join(folder, 'found')
    const qemu = await idle('qemu-system-x86_64', ['-serial', `file:${lab}/hosts/a-1/vm-1/serial.log`])
    const relay = await idle('node', ['/opt/lifeboat/src/lab/relay-main.ts', `{"socket":"${lab}/relay.sock"}`])
    // As it writes it over its own command line.
    const sshd = await idle(
      `sshd: /usr/sbin/sshd -D -e -f ${lab}/ssh/a-1/sshd_config [listener] 0 of 100-100 startups`,
      [],
    )
    const found = processesNaming(lab)
    assert.deepEqual(new Set(found.map(({ pid }) => pid)), new Set([qemu.pid, relay.pid, sshd.pid]))
    for (const { pid, startTime } of found) assert.equal(startTime, startTimeOf(pid))
  },
)

test('somebody who looks at a log in the folder is not ours', onLinux, async () => {
  const lab = join(folder, 'looked-at')
  await idle('less', [`${lab}/hosts/a-1/vm-1/serial.log`])
  await idle('vim', [join(lab, 'relay-main.ts.log')])
  assert.deepEqual(processesNaming(lab), [])
})

test('a QEMU of another lab is not ours, also where its folder’s name begins like ours', onLinux, async () => {
  const lab = join(folder, 'demo')
  await idle('qemu-system-x86_64', ['-serial', `file:${lab}-2/hosts/a-1/vm-1/serial.log`])
  await idle('qemu-system-x86_64', ['-serial', `file:${lab}2/hosts/a-1/vm-1/serial.log`])
  await idle('qemu-system-x86_64', ['-serial', `file:${lab}`])
  assert.deepEqual(processesNaming(lab), [])
})

test('a QEMU of a lab elsewhere, whose path ends like ours, is not ours', onLinux, async () => {
  const lab = join(folder, 'same')
  await idle('qemu-system-x86_64', ['-serial', `file:/backup${lab}/hosts/a-1/vm-1/serial.log`])
  assert.deepEqual(processesNaming(lab), [])
})

test('those we know are ended and gone when we are told so', onLinux, async () => {
  const one = await idle('one', [])
  const two = await idle('two', [])
  const known = [one, two].map(({ pid }) => ({ pid, startTime: startTimeOf(pid) ?? '', what: 'idle' }))
  assert.deepEqual(await endProcesses(known, realClock(), neverAborts), [])
  assert.deepEqual(known.map(lives), [false, false])
})

test('a process that got the number of one we knew is left alone', onLinux, async () => {
  const { child, pid } = await idle('stranger', [])
  const known = [{ pid, startTime: '1', what: 'idle' }]
  assert.deepEqual(await endProcesses(known, realClock(), neverAborts), [])
  // A kill takes a moment to be seen.
  await realClock().sleep(ms(200), neverAborts)
  assert.equal(child.signalCode, null)
  assert.notEqual(startTimeOf(pid), undefined)
})
