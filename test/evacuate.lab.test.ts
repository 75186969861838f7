/** Whole evacuations of real guests, through the command line, with what goes wrong on such a day. The guests' own ticks are the judge. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { hostId, siteId, vmId } from '../src/core/ids.ts'
import { megabitsPerSecond, ms } from '../src/core/units.ts'
import { changeLink, killVm, linkOf } from '../src/lab/lab-harm.ts'
import { vmsFolder } from '../src/lab/lab-names.ts'
import { endProcesses, processesNaming } from '../src/lab/processes.ts'
import { clock, smallSpec, testLab, testRoot, type TestLab, whyNoLab } from './lab-fixture.ts'
import { reportFrom, runLifeboat, startLifeboat } from './run-lifeboat.ts'

const never = new AbortController().signal
const guests = 6

describe('evacuation of real guests', { skip: whyNoLab() ?? false }, () => {
  let lab: TestLab
  /** Where the guests are: they go to and fro from test to test. */
  let from = 'a'
  let to = 'b'
  const swap = (): void => {
    ;[from, to] = [to, from]
  }
  const lifeboat = (...args: string[]) => runLifeboat(['--config', lab.config, ...args])
  const start = (...args: string[]) => startLifeboat(['--config', lab.config, ...args])

  before(async () => {
    lab = await testLab(smallSpec('evacuate', guests, { hosts: 2 }))
  })
  after(async () => {
    await lab?.down()
  })

  /** Every guest ticks on a host of `site`, has lost no tick, and has repeated none. */
  const assertAllLive = async (site: string, count = guests): Promise<void> => {
    await clock.sleep(ms(2_000), never)
    const alive = lab.life.report(Number.POSITIVE_INFINITY).filter(({ verdict }) => verdict !== 'dead')
    assert.equal(alive.length, count)
    for (const guest of alive) {
      assert.equal(guest.repeated, 0, `${guest.vm} ran twice`)
      assert.equal(guest.missing, 0, `${guest.vm} lost ticks`)
      assert.ok(guest.host?.startsWith(`${site}-`), `${guest.vm} ticks on ${guest.host}, not in ${site}`)
    }
  }

  for (const policy of ['finish-first', 'sequential', 'fixed:3', 'all-at-once', 'kubevirt']) {
    test(`policy ${policy} brings all out, and every guest goes on`, async () => {
      const { code, stdout, stderr } = await lifeboat(
        'evacuate',
        from,
        '--to',
        to,
        '--policy',
        policy,
        '--yes',
        '-o',
        'json',
      )
      assert.equal(code, 0, stderr)
      const report = reportFrom(stdout)
      assert.equal(report.summary.safe, guests)
      assert.equal(report.summary.vms, guests)
      assert.ok(report.vms.every(({ downtimeMs }) => downtimeMs !== null && downtimeMs > 0))
      assert.ok(report.summary.bytesSent >= report.summary.bytesNeeded * 0.98)
      const plain = report.vms.every(({ compression }) => compression === 'none')
      const { j } = report.summary
      assert.ok(j !== null && (j > 0.95 || !plain), `J ${j} is better than physics`)
      assert.equal(plain, policy !== 'finish-first', 'only ours squeezes')
      swap()
      await assertAllLive(from)
    })
  }

  test('a plan that was edited by hand is what runs: its order, its targets; a worker policy with a target of its own yields', async () => {
    const planned = await lifeboat('plan', from, '--to', to, '-o', 'json')
    assert.equal(planned.code, 0, planned.stderr)
    const { moves } = JSON.parse(planned.stdout) as { moves: { vm: string; target: string; end?: number }[] }
    const edited = [...moves].reverse().map(({ vm }, at) => ({ vm, target: `${to}-${(at % 2) + 1}` }))
    const file = join(dirname(lab.config), 'edited-plan.json')
    const write = (plan: object): void => writeFileSync(file, JSON.stringify(plan, undefined, 2))
    write({ moves: edited.slice(1), owner: 'me' })
    const gap = await lifeboat('evacuate', from, '--to', to, '--plan', file, '--yes')
    assert.equal(gap.code, 3, gap.stdout)
    assert.match(gap.stderr, /unknown key, passed over/)
    assert.match(
      gap.stderr,
      new RegExp(`${edited[0]?.vm}: runs in a site that is being left, and the plan says nothing`),
    )
    write({
      moves: edited.map(({ vm }, at) => ({ vm, target: at === 0 ? `${from}-1` : at === 1 ? 'b-9' : `${to}-1` })),
    })
    const wrong = await lifeboat('plan', from, '--to', to, '--check', file)
    assert.equal(wrong.code, 3, wrong.stdout)
    assert.match(wrong.stderr, /edited-plan.json:\d+: .*is itself in an endangered site; choose another host/)
    assert.match(wrong.stderr, /no such host: b-9/)
    assert.match(wrong.stderr, /Nothing was moved/)
    write({ policy: 'proxmox:1', moves: edited })
    const dry = await lifeboat('evacuate', from, '--to', to, '--plan', file, '--dry-run')
    assert.equal(dry.code, 0, dry.stderr)
    assert.match(dry.stdout, new RegExp(`1  ${edited[0]?.vm} `))
    const { code, stdout, stderr } = await lifeboat('evacuate', from, '--to', to, '--plan', file, '--yes', '-o', 'json')
    assert.equal(code, 0, stderr)
    const { vms, policy } = reportFrom(stdout)
    assert.equal(policy, 'proxmox:1')
    const inOrder = [...vms].sort((a, b) => (a.startedMs ?? 0) - (b.startedMs ?? 0))
    assert.deepEqual(
      inOrder.map(({ vm, target }) => ({ vm, target })),
      edited,
    )
    swap()
    await assertAllLive(from)
  })

  test('a plan and a dry run move nothing', async () => {
    const plan = await lifeboat('plan', from, '--to', to)
    assert.equal(plan.code, 0, plan.stderr)
    assert.match(plan.stdout, /6 VMs to move, 0 stay/)
    const dry = await lifeboat('evacuate', from, '--to', to, '--dry-run')
    assert.equal(dry.code, 0, dry.stderr)
    await assertAllLive(from)
  })

  test('where lifeboat.yaml names no path, as init writes it, what was measured in peace is what a plan goes by', async () => {
    const { paths: _left, ...rest } = z.record(z.string(), z.unknown()).parse(parse(readFileSync(lab.config, 'utf8')))
    const pathless = join(dirname(lab.config), 'pathless.yaml')
    writeFileSync(pathless, stringify({ ...rest, stateDir: join(dirname(lab.config), 'pathless') }))
    const knowing = (...args: string[]) => runLifeboat(['--config', pathless, ...args])
    const link = linkOf(lab.record, 'a', 'b')
    const unknown = await knowing('plan', from, '--to', to)
    assert.match(unknown.stdout, /^No capacity is stated for the paths/m)
    await changeLink(testRoot, lab.record, link, { capacity: megabitsPerSecond(40) }, never)
    try {
      const { code, stderr } = await knowing('links', '--probe', '--probe-bytes', '4MiB')
      assert.equal(code, 0, stderr)
      assert.match(stderr, /a → b: [34]\d\.\d Mbit\/s .*ended by queueing/)
    } finally {
      await changeLink(testRoot, lab.record, link, { capacity: megabitsPerSecond(400) }, never)
    }
    const { code, stdout, stderr } = await knowing('plan', from, '--to', to)
    assert.equal(code, 0, stderr)
    assert.match(stdout, new RegExp(`measured before .*: ${from} → ${to} [34]\\d\\.\\d Mbit/s$`, 'm'))
    assert.match(stdout, /^All home after \d/m)
    assert.match(stdout, /^Physical limits: makespan \d/m)
  })

  test('without a terminal it asks for --yes', async () => {
    const { code, stderr } = await lifeboat('evacuate', from, '--to', to)
    assert.equal(code, 3)
    assert.match(stderr, /--yes/)
  })

  test('kill -9 in the middle, then --resume: nothing lost, nothing twice', async () => {
    const first = start('evacuate', from, '--to', to, '--policy', 'fixed:2', '--yes')
    await first.saw(/runs at its target/)
    first.child.kill('SIGKILL')
    assert.equal((await first.done).signal, 'SIGKILL')
    const { code, stdout, stderr } = await lifeboat('evacuate', from, '--resume', '-o', 'json')
    assert.equal(code, 0, stderr)
    assert.equal(reportFrom(stdout).summary.safe, guests)
    swap()
    await assertAllLive(from)
  })

  test('kill -9 at the switchover itself, again and again', async () => {
    let resumed = 0
    let args = ['evacuate', from, '--to', to, '--policy', 'fixed:2', '--yes']
    for (const moment of [/sent whole/, /stopped at the source/, /sent whole/]) {
      const run = start(...args)
      await run.saw(moment)
      run.child.kill('SIGKILL')
      await run.done
      resumed += 1
      args = ['evacuate', from, '--resume']
    }
    assert.equal(resumed, 3)
    const { code, stdout, stderr } = await lifeboat('evacuate', from, '--resume', '-o', 'json')
    assert.equal(code, 0, stderr)
    assert.equal(reportFrom(stdout).summary.safe, guests)
    swap()
    await assertAllLive(from)
  })

  test('a second run is refused, and told who holds the site', async () => {
    const first = start('evacuate', from, '--to', to, '--yes')
    await first.saw(/memory flows/)
    const second = await lifeboat('evacuate', from, '--to', to, '--yes')
    assert.equal(second.code, 3)
    assert.match(second.stderr, new RegExp(`process ${first.child.pid}`))
    assert.equal((await first.done).code, 0)
    swap()
    await assertAllLive(from)
  })

  test('pause starts nothing new, resume goes on', async () => {
    const run = start('evacuate', from, '--to', to, '--yes')
    await run.saw(/memory flows/)
    const paused = await lifeboat('pause')
    assert.equal(paused.code, 0, paused.stderr)
    await clock.sleep(ms(4_000), never)
    const status = await lifeboat('status', '-o', 'json')
    assert.equal((JSON.parse(status.stdout) as { intent: string }).intent, 'paused')
    assert.ok(reportFrom(status.stdout).summary.safe < guests)
    assert.equal((await lifeboat('resume')).code, 0)
    assert.equal((await run.done).code, 0)
    swap()
    await assertAllLive(from)
  })

  test('Ctrl-C lets what runs finish and starts nothing new; --resume does the rest', async () => {
    const run = start('evacuate', from, '--to', to, '--yes')
    await run.saw(/memory flows/)
    run.child.kill('SIGINT')
    const first = await run.done
    assert.equal(first.code, 130)
    assert.match(first.stderr, /--resume/)
    const { code, stdout, stderr } = await lifeboat('evacuate', from, '--resume', '-o', 'json')
    assert.equal(code, 0, stderr)
    assert.equal(reportFrom(stdout).summary.safe, guests)
    swap()
    await assertAllLive(from)
  })

  test('a target can be said to be endangered, and abort calls back what can be called back; every guest lives on', async () => {
    const run = start('evacuate', from, '--to', to, '--policy', 'fixed:2', '--yes', '--bandwidth', '80Mbit/s')
    await run.saw(/memory flows/)
    await clock.sleep(ms(1_000), never)
    const nowhere = await lifeboat('endanger', 'nowhere')
    assert.equal(nowhere.code, 2)
    assert.match(nowhere.stderr, /no site is named "nowhere".*there are: a, b/)
    const last = await lifeboat('endanger', to)
    assert.equal(last.code, 3, 'it is the only target')
    assert.match(last.stderr, /no safe site would be left.*--yes/)
    const told = await lifeboat('endanger', to, '--yes')
    assert.equal(told.code, 0, told.stderr)
    assert.match(told.stdout, /0 VMs have landed there/)
    assert.equal((await lifeboat('abort', from)).code, 0)
    const { code, stdout } = await run.done
    assert.equal(code, 1)
    assert.match(stdout, new RegExp(`says that ${to} is endangered`))
    await assertAllLive(from)
    const [, flowing = ''] = /(vm-\d): memory flows/.exec(run.soFar()) ?? []
    const explained = await lifeboat('explain', flowing)
    assert.match(explained.stdout, /the operator aborted/)
    // Nothing of the attempt is left at the target.
    const inventory = await lifeboat('inventory')
    assert.doesNotMatch(inventory.stdout, new RegExp(`vm-\\d +${to}-`))
  })

  test('processors that have no time left are seen, and said; all get out', async () => {
    const burns = Array.from({ length: 3 * availableParallelism() }, () =>
      // What else runs here goes before them, and they wait all the same.
      spawn('nice', ['-n', '19', process.execPath, '-e', 'for (;;);'], { stdio: 'ignore' }),
    )
    try {
      // Pressure is an average over ten seconds.
      await clock.sleep(ms(12_000), never)
      const { code, stdout, stderr } = await lifeboat('evacuate', from, '--to', to, '--yes', '-o', 'ndjson')
      assert.equal(code, 0, stderr)
      const loads = stdout.split('\n').filter(line => line.includes('"kind":"host-load"'))
      const overloaded = new RegExp(`"host":"${from}-[12]","busy":(1|0\\.9)`)
      assert.ok(
        loads.some(line => overloaded.test(line)),
        `nobody said that hosts are overloaded: ${loads.join('; ')}`,
      )
      assert.match(stdout, new RegExp(`"kind":"network","paths":\\[{"from":"${from}","to":"${to}","queueing":`))
      swap()
    } finally {
      for (const burn of burns) burn.kill('SIGKILL')
    }
    await assertAllLive(from)
  })

  test('the WAN is cut for ten seconds and heals', async () => {
    const run = start('evacuate', from, '--to', to, '--policy', 'fixed:2', '--yes')
    await run.saw(/memory flows/)
    await clock.sleep(ms(500), never)
    const link = linkOf(lab.record, 'a', 'b')
    await changeLink(testRoot, lab.record, link, { cut: true }, never)
    await clock.sleep(ms(10_000), never)
    await changeLink(testRoot, lab.record, link, { cut: false }, never)
    const { code, stderr } = await run.done
    assert.equal(code, 0, stderr)
    swap()
    await assertAllLive(from)
  })

  test('a target that dies in the middle costs an attempt, not the guest', async () => {
    const run = start('evacuate', from, '--to', to, '--yes', '-o', 'json')
    await run.saw(/memory flows/)
    const victims = lab.record.spec.hosts
      .filter(({ site }) => site === siteId(to))
      .flatMap(({ id }) => processesNaming(vmsFolder(testRoot, 'evacuate', id)))
    assert.ok(victims.length > 0, 'no target was there to kill')
    await endProcesses(victims.slice(0, 1), clock, never)
    const { code, stdout, stderr } = await run.done
    assert.equal(code, 0, stderr)
    const report = reportFrom(stdout)
    assert.equal(report.summary.safe, guests)
    swap()
    await assertAllLive(from)
  })

  test('a guest that dies on the way is lost and said so; the others get out', async () => {
    const run = start('evacuate', from, '--to', to, '--yes', '-o', 'ndjson', '--bandwidth', '160Mbit/s')
    await run.saw(/"kind":"progress"/)
    const moving = [...run.soFar().matchAll(/"kind":"memory-flowing","vm":"(vm-\d)"/g)].at(-1)?.[1]
    assert.ok(moving !== undefined, run.soFar())
    const home = lab.life.report(0).find(({ vm }) => vm === moving)?.host ?? hostId('a-1')
    await endProcesses(processesNaming(`${vmsFolder(testRoot, 'evacuate', home)}/${moving}`), clock, never)
    const { code } = await run.done
    assert.equal(code, 1)
    const report = reportFrom((await lifeboat('report', '-o', 'json')).stdout)
    assert.equal(report.summary.lost, 1)
    assert.equal(report.summary.safe, guests - 1)
    assert.match(report.vms.find(({ vm }) => vm === moving)?.reason ?? '', /vm-died/)
    swap()
    await assertAllLive(from, guests - 1).catch(async () => {
      // The dead one counts as dead only after some silence.
      await clock.sleep(ms(15_000), never)
      await assertAllLive(from, guests - 1)
    })
  })

  test('what lives nowhere any more is not found by the next evacuation', async () => {
    await killVm(testRoot, lab.record, vmId('vm-1'), clock, never).catch(() => 0)
    const inventory = await lifeboat('inventory', '-o', 'json')
    assert.equal(inventory.code, 0, inventory.stderr)
    const { vms } = JSON.parse(inventory.stdout) as { vms: unknown[] }
    assert.ok(vms.length < guests)
  })
})
