/**
 * Copies a VM's disks from its QEMU to the target's, over NBD, and lets memory follow. Its state is in QEMU itself, as jobs whose names tell
 * where memory goes, so that a controller that is started anew goes on where another was killed:
 *
 *     mirrors copy ─> all are ready ─> memory flows ─> the guest stops (pre-switchover) ─> mirrors end, memory's last part goes
 *
 * {@link Mirrors.advance} does what is next, whenever the source is looked at. A mirror that ends while it is ready leaves a copy as of
 * that moment (qapi/block-core.json, block-job-cancel); the guest stands still then, so that is the disk as it was left.
 */
import type { VmId } from '../../core/ids.ts'
import type { MigrationFailure } from '../../core/migration/failure.ts'
import type { DiskProgress } from '../../core/migration/progress.ts'
import { bytes, type BytesPerSecond, bytesPerSecond, ms, seconds } from '../../core/units.ts'
import {
  ignoreReply,
  parseQueryBlock,
  parseQueryJobs,
  type QmpClient,
  QmpCommandError,
  type QmpJob,
  parseQueryMigrate,
  type QueryMigrate,
} from '../../qmp/public.ts'
import type { Clock } from '../../time/clock.ts'
import { DeadlineExceeded, poll, withDeadline } from '../../time/with-deadline.ts'
import { diskFailure } from '../disk-failure.ts'
import { OneAtATime } from '../../time/one-at-a-time.ts'
import { WriteMeter } from '../write-meter.ts'
import type { QemuLanding } from './arrival.ts'
import { parametersOf } from './migration-settings.ts'
import { driveNamed } from './source-images.ts'

type Disks = NonNullable<QemuLanding['disks']>

/**
 * A job or node of ours: job `lifeboat-0-<where memory goes>-<how many disks there are>`, node `lifeboat-0`. The number is there for whoever
 * adopts the jobs: a controller may be killed between two of them.
 */
const prefix = 'lifeboat-'
/** A ready mirror has little left to write. */
const endsWithin = seconds(10)
const askEvery = ms(20)
/** A speed that is so near is not set again. */
const nearEnough = 0.05

interface Copying {
  /** What an operator calls the target. */
  readonly target: string
  /** Of disks and memory together; `as it is` where somebody else began and nobody said since. */
  rate: BytesPerSecond | undefined | 'as it is'
  readonly writes: WriteMeter
  /** As last seen; jobs are gone once the guest has stopped. */
  last: DiskProgress
  memoryStarted: boolean
  /** As last told, for a job of the disks and for memory. */
  told: { readonly disk: number; readonly memory: number } | undefined
  ended: 'cancelled' | { readonly error: string } | undefined
}

/** What a look at a source with mirrors comes to. */
export interface CopyState {
  /** Before memory flows, or where the copy failed, QEMU's own word says nothing of the migration. */
  readonly stage: 'disks' | 'memory' | 'cancelled' | 'failed'
  readonly error: string | undefined
  readonly failure: MigrationFailure | undefined
  readonly disk: DiskProgress
  /** By the guest, to blocks that were copied before. */
  readonly writes: BytesPerSecond
}

export interface Looked {
  readonly migration: QueryMigrate
  /** Undefined where no disks are copied. */
  readonly copy: CopyState | undefined
}

export class Mirrors {
  readonly #clock: Clock
  readonly #known = new Map<VmId, Copying>()
  /** One hand a VM. */
  readonly #turns = new Map<VmId, OneAtATime>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Begins to copy. @throws QmpCommandError; nothing of it is left then */
  async start(
    vm: VmId,
    client: QmpClient,
    disks: Disks,
    migrate: string,
    rate: BytesPerSecond | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#clear(client, disks.targets.length, signal)
    const none = { copied: bytes(0), remaining: bytes(0), total: bytes(0) }
    const writes = new WriteMeter()
    this.#known.set(vm, {
      target: disks.name,
      rate,
      writes,
      last: none,
      memoryStarted: false,
      told: undefined,
      ended: undefined,
    })
    const drives = await client.execute('query-block', {}, parseQueryBlock, signal)
    const speed = speedFor(rate, disks.targets.length)
    try {
      for (const [n, target] of disks.targets.entries()) {
        const drive = driveNamed(drives, target)
        const device = drive === undefined || drive.device === '' ? (drive?.inserted?.node ?? target) : drive.device
        const node = `${prefix}${n}`
        const server = { type: 'inet', host: disks.host, port: String(disks.port) }
        await client.execute(
          'blockdev-add',
          { driver: 'nbd', 'node-name': node, server, export: target },
          ignoreReply,
          signal,
        )
        const job = {
          'job-id': `${node}-${Buffer.from(migrate).toString('hex')}-${disks.targets.length}`,
          device,
          target: node,
          sync: disks.incremental ? 'top' : 'full',
          speed,
          'auto-dismiss': false,
        }
        await client.execute('blockdev-mirror', job, ignoreReply, signal)
      }
    } catch (error) {
      await this.#clear(client, disks.targets.length, signal)
      this.#known.delete(vm)
      throw error
    }
  }

  /** Jobs of an earlier attempt, and nodes whose job never began. */
  async #clear(client: QmpClient, disks: number, signal: AbortSignal): Promise<void> {
    await this.#end(client, 'at once', signal)
    for (let n = 0; n < disks; n += 1)
      await ignoreRefusal(client.execute('blockdev-del', { 'node-name': `${prefix}${n}` }, ignoreReply, signal))
  }

  /** Does what is next. The migration is asked for in the same turn, or what it was before memory flowed would be taken for its end. */
  advance(vm: VmId, client: QmpClient, signal: AbortSignal): Promise<Looked> {
    return this.#alone(
      vm,
      async () => {
        const [migration, jobs] = await Promise.all([
          client.execute('query-migrate', {}, parseQueryMigrate, signal),
          this.jobs(client, signal),
        ])
        return { migration, copy: await this.#advance(vm, client, migration.status, jobs, signal) }
      },
      signal,
    )
  }

  async #advance(
    vm: VmId,
    client: QmpClient,
    migration: string,
    jobs: readonly QmpJob[],
    signal: AbortSignal,
  ): Promise<CopyState | undefined> {
    let copying = this.#known.get(vm)
    if (copying === undefined) {
      // Only a migration with disks pauses there: its mirrors have ended, and nobody is left who saw how.
      const orphaned = jobs.length === 0 && migration === 'pre-switchover'
      if (jobs.length === 0 && !orphaned) return undefined
      // Begun by somebody who is gone.
      const last = sumOf(jobs)
      copying = {
        target: 'the target',
        rate: 'as it is',
        writes: new WriteMeter(),
        last,
        memoryStarted: false,
        told: undefined,
        ended: orphaned ? { error: 'its controller ended in the middle of the switchover' } : undefined,
      }
      this.#known.set(vm, copying)
    }
    if (jobs.length > 0) copying.last = sumOf(jobs)
    // What was said of the migration is of before memory flowed.
    const before = copying.memoryStarted || isFlowing(migration) ? 'memory' : 'disks'
    const broken = jobs.find(({ error }) => error !== undefined)
    const missing = copying.memoryStarted || isFlowing(migration) ? 0 : disksOf(jobs) - jobs.length
    if (copying.ended !== undefined) {
      // It was to be called off, and may not have been heard.
      if (jobs.length > 0 || migration === 'pre-switchover') await this.#callOff(client, signal)
    } else if (broken !== undefined) {
      copying.ended = { error: `a disk could not be copied: ${broken.error ?? 'no reason was given'}` }
      await this.#callOff(client, signal)
    } else if (missing > 0) {
      const error = `${missing} of ${disksOf(jobs)} disks are not copied: it was interrupted while it was begun`
      copying.ended = { error }
      await this.#callOff(client, signal)
    } else if (jobs.length > 0) {
      copying.writes.read(copying.last.total, this.#clock.now())
      if (isFlowing(migration)) copying.memoryStarted = true
      if (migration === 'pre-switchover') await this.#switchOver(client, copying, signal)
      else if (hasEnded(migration) && copying.memoryStarted) await this.#end(client, 'at once', signal)
      else if (!copying.memoryStarted && jobs.every(isReady)) await this.#startMemory(client, copying, jobs, signal)
      else await this.#hold(client, copying, jobs, signal)
    } else if (migration === 'pre-switchover') {
      await this.#continue(client, signal)
    }
    return stateOf(copying, before)
  }

  async #startMemory(client: QmpClient, copying: Copying, jobs: readonly QmpJob[], signal: AbortSignal): Promise<void> {
    const uri = memoryUri(jobs)
    await this.#hold(client, copying, jobs, signal)
    try {
      await client.execute('migrate', { uri }, ignoreReply, signal)
      copying.memoryStarted = true
    } catch (error) {
      if (!(error instanceof QmpCommandError)) throw error
      copying.ended = { error: error.message }
      await this.#end(client, 'at once', signal)
    }
  }

  /** The guest stands still, so all is done in one go. */
  async #switchOver(client: QmpClient, copying: Copying, signal: AbortSignal): Promise<void> {
    let error: string | undefined
    try {
      error = await this.#end(client, 'in order', signal, () => this.#continue(client, signal))
    } catch (slow) {
      if (slow instanceof DeadlineExceeded) return // the next look goes on
      throw slow
    }
    if (error === undefined) return
    copying.ended = { error: `a disk could not be copied to its end: ${error}` }
    await this.#callOff(client, signal)
  }

  async #continue(client: QmpClient, signal: AbortSignal): Promise<void> {
    await ignoreRefusal(client.execute('migrate-continue', { state: 'pre-switchover' }, ignoreReply, signal))
  }

  async #callOff(client: QmpClient, signal: AbortSignal): Promise<void> {
    await client.execute('migrate_cancel', {}, ignoreReply, signal)
    await this.#end(client, 'at once', signal)
  }

  /**
   * Ends all jobs of ours, and removes what they wrote to. Commands that need no answer of each other go out together: QEMU carries them
   * out in order, and a guest may stand still meanwhile.
   * @param next goes out with the last of them, where no job failed. Where one did, all stay, as QEMU's only record of it: whoever looks
   * next must see it, until the migration is called off
   * @returns the first error of a job. @throws DeadlineExceeded
   */
  async #end(
    client: QmpClient,
    how: 'in order' | 'at once',
    signal: AbortSignal,
    next?: () => Promise<void>,
  ): Promise<string | undefined> {
    const first = await this.jobs(client, signal)
    const running = first.filter(({ status }) => status !== 'concluded')
    const tell = (command: string, args: object): Promise<void> =>
      ignoreRefusal(client.execute(command, args, ignoreReply, signal))
    await Promise.all(running.map(({ id }) => tell('block-job-cancel', { device: id, force: how === 'at once' })))
    const concluded = await withDeadline(this.#clock, endsWithin, 'the end of copying disks', signal, inner =>
      poll(this.#clock, askEvery, inner, async s => {
        const jobs = await this.jobs(client, s)
        return jobs.every(({ status }) => status === 'concluded') ? jobs : undefined
      }),
    )
    const error = concluded.find(job => job.error !== undefined)?.error
    if (error !== undefined && how === 'in order') return error
    await Promise.all([
      ...concluded.flatMap(({ id }) => [
        tell('job-dismiss', { id }),
        tell('blockdev-del', { 'node-name': nodeOf(id) }),
      ]),
      ...(error === undefined && next !== undefined ? [next()] : []),
    ])
    return error
  }

  async jobs(client: QmpClient, signal: AbortSignal): Promise<readonly QmpJob[]> {
    const all = await client.execute('query-jobs', {}, parseQueryJobs, signal)
    return all.filter(({ id, type, status }) => id.startsWith(prefix) && type === 'mirror' && status !== 'null')
  }

  /** Disks that are not through share the rate; memory gets what the guest's writes leave. */
  async #hold(client: QmpClient, copying: Copying, jobs: readonly QmpJob[], signal: AbortSignal): Promise<void> {
    const { rate, writes, told } = copying
    if (rate === 'as it is') return
    const left = jobs.filter(job => !isReady(job))
    const disk = speedFor(rate, left.length)
    const memory = rate === undefined ? 0 : Math.max(1, Math.floor(rate - writes.rate))
    if (told !== undefined && near(told.disk, disk) && near(told.memory, memory)) return
    copying.told = { disk, memory }
    for (const { id } of left)
      await ignoreRefusal(client.execute('block-job-set-speed', { device: id, speed: disk }, ignoreReply, signal))
    const to = { rate: memory === 0 ? undefined : bytesPerSecond(memory) }
    await client.execute('migrate-set-parameters', parametersOf(to), ignoreReply, signal)
  }

  /** @returns whether disks are copied there: then the rate of both is set. */
  async setRate(vm: VmId, client: QmpClient, rate: BytesPerSecond | undefined, signal: AbortSignal): Promise<boolean> {
    return this.#alone(
      vm,
      async () => {
        const jobs = await this.jobs(client, signal)
        const copying = this.#known.get(vm)
        if (jobs.length === 0 || copying === undefined) return false
        copying.rate = rate
        await this.#hold(client, copying, jobs, signal)
        return true
      },
      signal,
    )
  }

  /** @returns whether disks are still copied for the first time, so that memory does not flow */
  isBeforeMemory(vm: VmId): boolean {
    const copying = this.#known.get(vm)
    return copying !== undefined && !copying.memoryStarted && copying.ended === undefined
  }

  /** What is left of a copy is called off; the guest goes on at home. */
  async cancel(vm: VmId, client: QmpClient, signal: AbortSignal): Promise<void> {
    await this.#alone(
      vm,
      async () => {
        const jobs = await this.jobs(client, signal)
        const copying = this.#known.get(vm)
        if (copying !== undefined && copying.ended === undefined && jobs.length > 0) copying.ended = 'cancelled'
        await client.execute('migrate_cancel', {}, ignoreReply, signal)
        await this.#end(client, 'at once', signal)
      },
      signal,
    )
  }

  forget(vm: VmId): void {
    this.#known.delete(vm)
  }

  #alone<T>(vm: VmId, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turns = this.#turns.get(vm) ?? new OneAtATime()
    this.#turns.set(vm, turns)
    return turns.run(work, signal)
  }
}

function stateOf({ target, ended, last, writes }: Copying, stage: 'memory' | 'disks'): CopyState {
  const whole = { error: undefined, failure: undefined, disk: last, writes: writes.rate }
  if (ended === 'cancelled') return { ...whole, stage: 'cancelled' }
  if (ended === undefined) return { ...whole, stage }
  return { ...whole, stage: 'failed', error: ended.error, failure: diskFailure(ended.error, target) }
}

function sumOf(jobs: readonly QmpJob[]): DiskProgress {
  const total = jobs.reduce((sum, job) => sum + job.total, 0)
  const copied = jobs.reduce((sum, job) => sum + job.done, 0)
  return { copied: bytes(copied), remaining: bytes(Math.max(0, total - copied)), total: bytes(total) }
}

const isReady = ({ status }: QmpJob): boolean => status === 'ready' || status === 'standby'
const isFlowing = (status: string): boolean => !hasEnded(status)
/** Or never began. */
const hasEnded = (status: string): boolean =>
  status === 'none' || status === 'failed' || status === 'cancelled' || status === 'completed'

/** @unit bytes per second; QEMU: 0 is no limit */
const speedFor = (rate: BytesPerSecond | undefined, jobs: number): number =>
  rate === undefined ? 0 : Math.max(1, Math.floor(rate / Math.max(1, jobs)))
const near = (a: number, b: number): boolean => a === b || (a > 0 && b > 0 && Math.abs(a - b) <= b * nearEnough)

const nodeOf = (id: string): string => id.split('-').slice(0, 2).join('-')
/** How many there must be. */
const disksOf = (jobs: readonly QmpJob[]): number => Number(jobs[0]?.id.split('-')[3] ?? jobs.length)
function memoryUri(jobs: readonly QmpJob[]): string {
  const hex = jobs[0]?.id.split('-')[2] ?? ''
  return Buffer.from(hex, 'hex').toString()
}

/** What ended by itself meanwhile need not be ended. */
async function ignoreRefusal(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    if (!(error instanceof QmpCommandError)) throw error
  })
}
