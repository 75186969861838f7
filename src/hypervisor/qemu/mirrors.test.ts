/** The order in which disks and memory follow each other, against a monitor that behaves like a QEMU with two drives. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { vmId } from '../../core/ids.ts'
import { bytesPerSecond } from '../../core/units.ts'
import { realClock } from '../../engine/real-clock.ts'
import { QmpClient } from '../../qmp/public.ts'
import { type Asked, type Caller, startMonitor } from '../../qmp/scripted-monitor.ts'
import { Mirrors } from './mirrors.ts'

const vm = vmId('web')
const soon = (): AbortSignal => AbortSignal.timeout(10_000)
const disks = { name: 'b-1', host: '10.0.0.2', port: 49_153, targets: ['vda', 'vdb'], incremental: false }
const uri = 'tcp:10.0.0.2:49152'

interface Job {
  readonly id: string
  status: string
  done: number
  total: number
  speed: number
  error: string | undefined
}

/** What QEMU would do, as far as disks and a migration go. */
class FakeQemu {
  readonly jobs = new Map<string, Job>()
  readonly nodes = new Set<string>()
  migration = 'none'
  memory = 0
  /** Commands that change something, in order. */
  readonly log: string[] = []
  refuses: string | undefined
  /** What a mirror that is told to end says. */
  failsToEnd: string | undefined

  async serve(caller: Caller): Promise<void> {
    await caller.welcome()
    for (;;) {
      const asked = await caller.next()
      const refusal = asked.command === this.refuses ? 'it is refused' : undefined
      const answer = refusal ?? this.#answer(asked)
      if (typeof answer === 'string') caller.say({ error: { class: 'GenericError', desc: answer }, id: asked.id })
      else caller.answer(asked, answer)
    }
  }

  /** @returns a text for a refusal */
  #answer({ command, args }: Asked): object | string {
    const text = (name: string): string => String(argument(args, name))
    const number = (name: string): number => Number(argument(args, name))
    if (command === 'query-migrate') return { status: this.migration }
    if (command === 'query-block') return ['vda', 'vdb'].map(device => ({ device, inserted: inserted(device) }))
    if (command === 'query-jobs')
      return [...this.jobs.values()].map(({ id, status, done, total, error }) => ({
        id,
        status,
        type: 'mirror',
        'current-progress': done,
        'total-progress': total,
        ...(error === undefined ? {} : { error }),
      }))
    this.log.push(command)
    switch (command) {
      case 'blockdev-add':
        if (this.nodes.has(text('node-name'))) return 'duplicate node'
        this.nodes.add(text('node-name'))
        return {}
      case 'blockdev-del':
        return this.nodes.delete(text('node-name')) ? {} : 'no such node'
      case 'blockdev-mirror': {
        const id = text('job-id')
        this.jobs.set(id, { id, status: 'running', done: 0, total: 1_000, speed: number('speed'), error: undefined })
        return {}
      }
      case 'block-job-set-speed':
        this.#job(text('device')).speed = number('speed')
        return {}
      case 'block-job-cancel':
        Object.assign(this.#job(text('device')), { status: 'concluded', error: this.failsToEnd })
        return {}
      case 'job-dismiss':
        return this.jobs.delete(text('id')) ? {} : 'no such job'
      case 'migrate':
        this.migration = 'setup'
        return {}
      case 'migrate-continue':
        assert.equal(this.jobs.size, 0, 'a disk is still written to when memory goes on')
        this.migration = 'completed'
        return {}
      case 'migrate_cancel':
        if (this.migration !== 'none') this.migration = 'cancelled'
        return {}
      case 'migrate-set-parameters':
        this.memory = number('max-bandwidth')
        return {}
      default:
        return `no command ${command}`
    }
  }

  #job(id: string): Job {
    const job = this.jobs.get(id)
    assert.ok(job !== undefined, `no job ${id}`)
    return job
  }
}

const argument = (args: unknown, name: string): unknown => Object.entries(args ?? {}).find(([key]) => key === name)?.[1]

function inserted(device: string): object {
  const image = { filename: `/${device}.img`, format: 'raw', 'virtual-size': 1_000, 'actual-size': 1_000 }
  return { 'node-name': `#${device}`, ro: false, image }
}

async function withQemu(tell: (qemu: FakeQemu, client: QmpClient, mirrors: Mirrors) => Promise<void>): Promise<void> {
  const qemu = new FakeQemu()
  await using monitor = await startMonitor('unix', caller => qemu.serve(caller), soon())
  await using client = await QmpClient.connect(monitor.address, {}, soon())
  await tell(qemu, client, new Mirrors(realClock()))
}
const look = async (mirrors: Mirrors, client: QmpClient) => (await mirrors.advance(vm, client, soon())).copy
const set = (qemu: FakeQemu, status: string): void => {
  for (const job of qemu.jobs.values()) Object.assign(job, { status, done: job.total })
}

test('disks first; memory when all are ready; disks end when the guest stands still, and only then it goes on', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, undefined, soon())
    assert.equal((await look(mirrors, client))?.stage, 'disks')
    const [first] = qemu.jobs.values()
    assert.ok(first !== undefined)
    first.status = 'ready'
    assert.equal((await look(mirrors, client))?.stage, 'disks')
    assert.ok(!qemu.log.includes('migrate'), 'the other disk is not through')
    set(qemu, 'ready')
    // What was said of the migration before it began is not taken for its end.
    assert.equal((await look(mirrors, client))?.stage, 'disks')
    assert.ok(qemu.log.includes('migrate'))
    const looked = await look(mirrors, client)
    assert.deepEqual([looked?.stage, looked?.disk.copied, looked?.disk.remaining], ['memory', 2_000, 0])
    qemu.migration = 'pre-switchover'
    await look(mirrors, client)
    assert.equal(qemu.migration, 'completed')
    assert.deepEqual([qemu.jobs.size, qemu.nodes.size], [0, 0])
    assert.equal((await look(mirrors, client))?.disk.total, 2_000, 'it is remembered to the end')
  }))

test('a controller that is started anew goes on where another was killed', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, bytesPerSecond(1_000), soon())
    const speeds = [...qemu.jobs.values()].map(({ speed }) => speed)
    const second = new Mirrors(realClock())
    assert.equal((await look(second, client))?.stage, 'disks')
    assert.deepEqual(
      [...qemu.jobs.values()].map(({ speed }) => speed),
      speeds,
      'rates stay as they are',
    )
    set(qemu, 'ready')
    await look(second, client)
    assert.equal(qemu.migration, 'setup')
    qemu.migration = 'pre-switchover'
    await look(new Mirrors(realClock()), client)
    assert.equal(qemu.migration, 'completed')
  }))

test('a controller that was killed between two disks leaves no half: memory does not follow', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, undefined, soon())
    const [, second] = qemu.jobs.keys()
    qemu.jobs.delete(second ?? '')
    set(qemu, 'ready')
    const looked = await look(new Mirrors(realClock()), client)
    assert.equal(looked?.stage, 'failed')
    assert.match(looked?.error ?? '', /1 of 2 disks are not copied/)
    assert.ok(!qemu.log.includes('migrate'))
    assert.equal(qemu.jobs.size, 0)
  }))

for (const anew of [false, true])
  test(`a disk that fails in the switchover is on record until all is called off${anew ? ', for another controller too' : ''}`, () =>
    withQemu(async (qemu, client, mirrors) => {
      await mirrors.start(vm, client, disks, uri, undefined, soon())
      set(qemu, 'ready')
      await look(mirrors, client)
      qemu.migration = 'pre-switchover'
      qemu.failsToEnd = 'Input/output error'
      // What is asked of it next is refused, as if it were cut off there.
      qemu.refuses = 'migrate_cancel'
      await assert.rejects(look(mirrors, client), /it is refused/)
      assert.equal(qemu.jobs.size, 2)
      qemu.refuses = undefined
      const looked = await look(anew ? new Mirrors(realClock()) : mirrors, client)
      assert.equal(looked?.stage, 'failed')
      assert.match(looked?.error ?? '', /Input\/output error/)
      assert.ok(!qemu.log.includes('migrate-continue'))
      assert.deepEqual([qemu.migration, qemu.jobs.size], ['cancelled', 0])
    }))

test('a guest that stands still for a controller that is gone goes on at home', () =>
  withQemu(async (qemu, client, mirrors) => {
    qemu.migration = 'pre-switchover'
    assert.equal((await look(mirrors, client))?.stage, 'failed')
    assert.equal(qemu.migration, 'cancelled')
  }))

test('an earlier attempt’s end is not this one’s', () =>
  withQemu(async (qemu, client, mirrors) => {
    for (const before of ['failed', 'cancelled', 'completed']) {
      qemu.migration = before
      await mirrors.start(vm, client, disks, uri, undefined, soon())
      set(qemu, 'ready')
      assert.equal((await look(mirrors, client))?.stage, 'disks', before)
      assert.equal((await look(mirrors, client))?.stage, 'memory', before)
      assert.equal(qemu.jobs.size, 2, before)
      await mirrors.cancel(vm, client, soon())
      assert.equal((await look(mirrors, client))?.stage, 'cancelled', before)
      assert.deepEqual([qemu.jobs.size, qemu.nodes.size], [0, 0])
    }
  }))

test('a disk that cannot be copied ends it all, and a full target is named', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, undefined, soon())
    const [, broken] = qemu.jobs.values()
    Object.assign(broken ?? {}, { status: 'concluded', error: 'No space left on device' })
    const looked = await look(mirrors, client)
    assert.equal(looked?.stage, 'failed')
    assert.equal(looked?.failure?.code, 'target-refused')
    assert.match(looked?.error ?? '', /No space left/)
    assert.deepEqual([qemu.jobs.size, qemu.nodes.size], [0, 0])
    assert.ok(!qemu.log.includes('migrate'))
  }))

test('memory that fails takes the mirrors with it', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, undefined, soon())
    set(qemu, 'ready')
    await look(mirrors, client)
    qemu.migration = 'failed'
    await look(mirrors, client)
    assert.deepEqual([qemu.jobs.size, qemu.nodes.size], [0, 0])
  }))

test('what could not be begun leaves nothing', () =>
  withQemu(async (qemu, client, mirrors) => {
    qemu.refuses = 'blockdev-mirror'
    await assert.rejects(mirrors.start(vm, client, disks, uri, undefined, soon()), /it is refused/)
    assert.deepEqual([qemu.jobs.size, qemu.nodes.size], [0, 0])
    qemu.refuses = undefined
    await mirrors.start(vm, client, disks, uri, undefined, soon())
    assert.equal(qemu.jobs.size, 2)
  }))

test('disks share the rate, one that is through leaves its share, and memory gets the whole', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, bytesPerSecond(1_000), soon())
    const speeds = (): readonly number[] => [...qemu.jobs.values()].map(({ speed }) => speed)
    assert.deepEqual(speeds(), [500, 500])
    const [first] = qemu.jobs.values()
    assert.ok(first !== undefined)
    first.status = 'ready'
    await look(mirrors, client)
    assert.deepEqual(speeds(), [500, 1_000])
    assert.equal(qemu.memory, 1_000)
    assert.ok(await mirrors.setRate(vm, client, bytesPerSecond(4_000), soon()))
    assert.deepEqual(speeds(), [500, 4_000])
    assert.ok(await mirrors.setRate(vm, client, undefined, soon()))
    assert.deepEqual(speeds(), [500, 0])
  }))

test('two who look at once do not get in each other’s way', () =>
  withQemu(async (qemu, client, mirrors) => {
    await mirrors.start(vm, client, disks, uri, undefined, soon())
    set(qemu, 'ready')
    const stages = await Promise.all([1, 2, 3].map(async () => (await look(mirrors, client))?.stage))
    assert.deepEqual(stages, ['disks', 'memory', 'memory'])
    assert.equal(qemu.log.filter(command => command === 'migrate').length, 1)
    assert.equal(qemu.jobs.size, 2)
  }))

test('of a VM without disks to copy there is nothing to say', () =>
  withQemu(async (qemu, client, mirrors) => {
    qemu.migration = 'active'
    assert.equal(await look(mirrors, client), undefined)
    assert.ok(!(await mirrors.setRate(vm, client, bytesPerSecond(1), soon())))
    assert.deepEqual(qemu.log, [])
  }))
