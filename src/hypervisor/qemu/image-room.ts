/**
 * Room for arriving disks on a plain QEMU host: image files, made by qemu-img. What is made is on record in the VM's folder before it is
 * made (vm-folder.ts), so that a failed arrival takes it away, and nothing else.
 */
import { basename, dirname, isAbsolute, resolve } from 'node:path'
import { z } from 'zod'
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { bytes } from '../../core/units.ts'
import { type Remote, runOk } from '../../remote/remote.ts'
import { OneAtATime } from '../../time/one-at-a-time.ts'
import { type Place, planStorage, type VolumeFacts, type VolumeToMake, type Words } from '../storage-plan.ts'
import type { ArrivingDisk, Medium } from './arrival.ts'
import type { VmFolder } from './vm-folder.ts'

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number(),
  'actual-size': z.number().default(0),
})

/** Length of the file, then qemu-img's word on it; nothing for a file that is not there. The folder need not be there yet. */
const lookScript = `f=$1; d=$f
while [ ! -d "$d" ]; do d=$(dirname "$d"); done
df -PB1 "$d" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4
[ -e "$f" ] || exit 0
stat -Lc %s "$f" && qemu-img info -U --output=json "$f"`

interface Looked {
  readonly free: number
  readonly there: VolumeFacts | undefined
}

export interface CopyOrder {
  readonly targets: readonly string[]
  readonly incremental: boolean
}

export class ImageRoom {
  readonly #host: string
  readonly #remote: Remote
  readonly #folder: VmFolder
  /** One at a time, or two would be promised the same room. */
  readonly #turns = new OneAtATime()
  /** Room that images will take, and have not yet. */
  readonly #promised = new Map<VmId, readonly VolumeToMake[]>()

  constructor(host: string, remote: Remote, folder: VmFolder) {
    this.#host = host
    this.#remote = remote
    this.#folder = folder
  }

  /** Nobody writes to them, so they are not copied. @throws MigrationError `target-refused` for one that is not there */
  async insistOnMedia(vm: VmId, media: readonly Medium[], signal: AbortSignal): Promise<void> {
    for (const { target, path } of media) {
      // The VM's folder may not be there yet, and a path may lead through it.
      const place = resolve(path.replaceAll('{dir}', this.#folder.dirOf(vm)))
      if ((await this.#remote.run(['test', '-e', place], {}, signal)).code === 0) continue
      const detail = `${this.#host} has no ${place}, which is in drive ${target} and is only read, so not copied; copy it there, or take it out of the VM`
      throw new MigrationError(vm, { code: 'target-refused', detail })
    }
  }

  /**
   * @param wasHere whether the VM was on this host before, so that what lies in the place of its disks are its own old copies
   * @throws MigrationError `target-refused`; nothing is made then
   */
  make(vm: VmId, disks: readonly ArrivingDisk[], wasHere: boolean, signal: AbortSignal): Promise<CopyOrder> {
    return this.#turns.run(() => this.#make(vm, disks, wasHere, signal), signal)
  }

  /** Its images are whole, or gone. */
  forget(vm: VmId): void {
    this.#promised.delete(vm)
  }

  async #make(vm: VmId, disks: readonly ArrivingDisk[], wasHere: boolean, signal: AbortSignal): Promise<CopyOrder> {
    if (disks.length === 0) return { targets: [], incremental: false }
    this.forget(vm)
    const dir = this.#folder.dirOf(vm)
    const places: Place[] = []
    const promised = await this.#stillPromised(signal)
    for (const disk of disks) places.push(await this.#placeOf(vm, disk, dir, wasHere, promised, signal))
    const plan = planStorage(wordsOf(this.#host), places)
    if (plan.kind === 'refused') throw new MigrationError(vm, { code: 'target-refused', detail: plan.why })
    await this.#folder.recordMade(
      vm,
      plan.make.map(({ pool, volume }) => `${pool}/${volume}`),
      signal,
    )
    for (const image of plan.make) {
      const path = `${image.pool}/${image.volume}`
      const place = places.find(({ disk }) => disk.chain[0]?.path === path)
      await this.#create(
        image,
        disks.find(({ target }) => target === place?.disk.target),
        dir,
        signal,
      )
    }
    this.#promised.set(vm, plan.make)
    return { targets: disks.map(({ target }) => target), incremental: plan.incremental }
  }

  async #placeOf(
    vm: VmId,
    disk: ArrivingDisk,
    dir: string,
    wasHere: boolean,
    promised: number,
    signal: AbortSignal,
  ): Promise<Place> {
    const chain = disk.chain.map(image => ({ ...image, path: image.path.replaceAll('{dir}', dir) }))
    const path = chain[0]?.path ?? dir
    const { free, there } = await this.#look(path, signal)
    const below: (VolumeFacts | undefined)[] = []
    for (const image of chain.slice(1)) below.push((await this.#look(image.path, signal)).there)
    return {
      disk: { target: disk.target, chain },
      pool: { name: dirname(path), type: 'dir', free: bytes(Math.max(0, free - promised)) },
      volume: basename(path),
      there,
      // Of those that live here QEMU's own lock keeps it; one that is on its way has no lock yet, and takes the image away if it does not come.
      usedBy: there && (await this.#folder.madeFor(vm, path, signal)),
      ownOldCopy: wasHere,
      // What it left here may be below by now; that costs a copy of the base where it is none of its old disks.
      writtenBelow: wasHere,
      below,
    }
  }

  /** Over all folders, which may be one file system: at worst a VM goes to another host. @unit bytes */
  async #stillPromised(signal: AbortSignal): Promise<number> {
    const images = [...this.#promised.values()].flat()
    if (images.length === 0) return 0
    const paths = images.map(({ pool, volume }) => `${pool}/${volume}`)
    // One that is gone is told on standard error.
    const { stdout } = await this.#remote.run(['stat', '-Lc', '%b %B %n', ...paths], {}, signal)
    const taken = new Map(
      stdout.split('\n').map(line => {
        const [blocks, size, ...name] = line.split(' ')
        return [name.join(' '), Number(blocks) * Number(size)]
      }),
    )
    return images.reduce((sum, { need }, n) => sum + Math.max(0, need - (taken.get(paths[n] ?? '') ?? 0)), 0)
  }

  async #look(path: string, signal: AbortSignal): Promise<Looked> {
    const said = await runOk(this.#remote, ['sh', '-c', lookScript, 'sh', path], {}, signal)
    const [free = '0', length, ...json] = said.split('\n')
    if (length === undefined || length === '') return { free: Number(free), there: undefined }
    const info = infoSchema.parse(JSON.parse(json.join('\n')))
    const there = {
      format: info.format,
      capacity: bytes(info['virtual-size']),
      allocation: bytes(info['actual-size']),
      length: bytes(Number(length)),
    }
    return { free: Number(free), there }
  }

  async #create(
    { pool, volume, format, capacity, over }: VolumeToMake,
    disk: ArrivingDisk | undefined,
    dir: string,
    signal: AbortSignal,
  ): Promise<void> {
    const base = disk?.chain[1]
    const named =
      base?.name !== undefined &&
      !isAbsolute(base.name) &&
      resolve(pool, base.name) === resolve(base.path.replaceAll('{dir}', dir))
    const backing = over === undefined ? [] : ['-b', named ? (base.name ?? over.path) : over.path, '-F', over.format]
    const argv = ['qemu-img', 'create', '-q', '-f', format, ...backing, `${pool}/${volume}`, String(capacity)]
    await runOk(this.#remote, ['sh', '-c', 'mkdir -p "$1" && shift && exec "$@"', 'sh', pool, ...argv], {}, signal)
  }
}

const wordsOf = (host: string): Words => ({
  host,
  pool: name => `folder ${name}`,
  remove: (pool, volume) => `rm ${pool}/${volume} there`,
  share: 'mark the disk as shared in its vm.json',
})
