/** Which disks of a running VM have to be copied, and the images behind them, as its QEMU has them open. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { bytes } from '../../core/units.ts'
import { type Remote, runOk } from '../../remote/remote.ts'
import type { BlockDrive, BlockImage } from '../../qmp/public.ts'
import type { ArrivingDisk, ArrivingImage, Medium } from './arrival.ts'
import type { QemuDefinition } from './definition.ts'

/** By the id of its `-drive`, or the name of its node. */
export const driveNamed = (drives: readonly BlockDrive[], name: string): BlockDrive | undefined =>
  drives.find(({ device, inserted }) => device === name || inserted?.node === name)

/**
 * What is shared, only read, or empty is not copied; a disk that the definition does not name is not either: its owner sees to it.
 * @param dir the VM's folder on this host
 * @throws MigrationError `source-refused` when a disk to copy is none of QEMU's
 */
export function disksToCopy(
  vm: VmId,
  host: string,
  definition: QemuDefinition,
  drives: readonly BlockDrive[],
  dir: string,
): readonly ArrivingDisk[] {
  return definition.disks.flatMap(({ name, shared }): ArrivingDisk[] => {
    if (shared) return []
    const drive = driveNamed(drives, name)
    if (drive === undefined) {
      const known = drives.map(({ device, inserted }) => device || inserted?.node || '?').join(', ')
      const detail = `its definition at ${host} has a disk ${name} that is to be copied, its QEMU has only ${known || 'none'}; name the disk as its -drive id= or -blockdev node-name= does, or mark it as shared`
      throw new MigrationError(vm, { code: 'source-refused', detail })
    }
    const { inserted } = drive
    if (inserted === undefined || inserted.readOnly) return []
    const { path } = inserted.image
    // Of what is no file here, qemu-img at the target would make, and so empty, the very thing that both sides reach.
    if (!path.startsWith('/') || /[\n\r]/.test(path)) {
      const detail = `disk ${name} is ${JSON.stringify(path)} at ${host}, which is no absolute path of a file, so it is not copied; where the target reaches it too, mark it as shared in its vm.json, else give its -drive an absolute path`
      throw new MigrationError(vm, { code: 'source-refused', detail })
    }
    return [{ target: name, chain: chainOf(inserted.image, dir) }]
  })
}

/** What is only read, whether the definition names it or not. */
export const mediaOf = (drives: readonly BlockDrive[], dir: string): readonly Medium[] =>
  drives.flatMap(({ device, inserted }) =>
    inserted?.readOnly === true
      ? [{ target: device === '' ? inserted.node : device, path: placeOf(inserted.image.path, dir) }]
      : [],
  )

const placeOf = (path: string, dir: string): string =>
  path.startsWith(`${dir}/`) ? `{dir}${path.slice(dir.length)}` : path

function chainOf(top: BlockImage, dir: string): ArrivingImage[] {
  const first = imageOf(top, undefined, dir)
  const below: ArrivingImage[] = []
  for (let above = top, at = top.backing; at !== undefined; above = at, at = at.backing)
    below.push(imageOf(at, above.backingName, dir))
  return [first, ...below]
}

function imageOf({ path, format, size, taken }: BlockImage, name: string | undefined, dir: string): ArrivingImage {
  return {
    path: placeOf(path, dir),
    format,
    capacity: size,
    allocation: taken ?? size,
    length: bytes(0),
    ...(name === undefined || name.startsWith('/') ? {} : { name }),
  }
}

/** The lengths of the files below the top, by which a target tells whether it has the same. */
export async function withLengths(
  remote: Remote,
  disk: ArrivingDisk,
  dir: string,
  signal: AbortSignal,
): Promise<ArrivingDisk> {
  const [top, ...below] = disk.chain
  if (top === undefined || below.length === 0) return disk
  const paths = below.map(({ path }) => path.replaceAll('{dir}', dir))
  const said = await runOk(remote, ['stat', '-Lc', '%s', ...paths], {}, signal)
  const lengths = said.split('\n').map(Number)
  return { ...disk, chain: [top, ...below.map((image, n) => ({ ...image, length: bytes(lengths[n] ?? 0) }))] }
}
