/** Disks: which the target reaches, where the others would go, and whether there is room. */
import { type Bytes, bytes, showBytes } from '../units.ts'
import type { PoolProfile } from './host-profile.ts'
import { few, type Table, type TargetRule, type VmRule, when } from './reason.ts'
import type { VmDisk, VmProfile } from './vm-profile.ts'

export interface DiskReasons {
  readonly 'disk-cache': { readonly disk: string; readonly source: string }
  readonly 'disk-transient': { readonly disk: string }
  readonly 'pool-missing': { readonly disk: string; readonly folder: string; readonly pools: readonly string[] }
  readonly 'pool-inactive': { readonly disk: string; readonly pool: string }
  readonly 'pool-full': {
    readonly disks: readonly string[]
    readonly pool: string
    readonly need: Bytes
    readonly available: Bytes
  }
  readonly 'pool-autostart': { readonly pool: string }
  readonly 'pools-unknown': { readonly disk: string }
  readonly 'disk-backing': { readonly disk: string; readonly files: readonly string[] }
  readonly 'secret-missing': { readonly secret: string }
}

export const diskTable: Table<DiskReasons> = {
  'disk-cache': {
    severity: 'blocks',
    says: ({ disk, source }) =>
      `its shared disk ${disk} (${source}) goes through the host's cache, and libvirt calls that unsafe`,
    next: () => "say cache='none' or 'directsync' in its <driver>, and restart it",
  },
  'disk-transient': {
    severity: 'blocks',
    says: ({ disk }) => `its disk ${disk} is transient, and libvirt moves no VM with one`,
    next: () => 'take <transient/> out of its definition, and restart it',
  },
  'pool-missing': {
    severity: 'blocks',
    says: ({ disk, folder, pools }) =>
      `its disk ${disk} lies in ${folder}, and the target has no storage pool there${pools.length === 0 ? '' : `; it has ${few(pools)}`}`,
    next: ({ folder }) =>
      `define and start a pool with this target path there: virsh pool-define-as NAME dir --target ${folder}`,
  },
  'pool-inactive': {
    severity: 'blocks',
    says: ({ disk, pool }) => `its disk ${disk} would go to pool ${pool}, which is not active at the target`,
    next: ({ pool }) => `start it there: virsh pool-start ${pool}`,
  },
  'pool-full': {
    severity: 'blocks',
    says: ({ disks, pool, need, available }) =>
      `its disks ${few(disks)} need ${showBytes(need)} in pool ${pool} at the target, ${showBytes(available)} are available (short by ${showBytes(need - available)})`,
    next: ({ pool }) =>
      `make room in pool ${pool} or enlarge it, then virsh pool-refresh ${pool}; or use another target`,
  },
  'pool-autostart': {
    severity: 'note',
    says: ({ pool }) => `pool ${pool} does not start with the target host; after a restart of it the VM has no disk`,
    next: ({ pool }) => `virsh pool-autostart ${pool}`,
  },
  'pools-unknown': {
    severity: 'warns',
    says: ({ disk }) => `its disk ${disk} would be copied, and the target does not tell its storage pools`,
    next: () => 'is the storage driver of libvirt (virtstoraged) running there?',
  },
  'disk-backing': {
    severity: 'warns',
    says: ({ disk, files }) =>
      `its disk ${disk} stands on ${few(files)}; a copy would be flat, or needs these there too`,
    next: () =>
      'commit the chain (virsh blockcommit), or make sure that these files are at the same paths at the target',
  },
  'secret-missing': {
    severity: 'blocks',
    says: ({ secret }) => `it opens a disk with the secret ${secret}, which the target does not have`,
    next: ({ secret }) => `define it there: virsh secret-define, secret-set-value (${secret})`,
  },
}

const needsItsContent = ({ device, readonly, source }: VmDisk): boolean =>
  (device === 'disk' || device === 'lun') && !readonly && source !== undefined

export const disksToCopy = (vm: VmProfile): readonly VmDisk[] =>
  vm.disks.filter(disk => needsItsContent(disk) && !disk.shared)

const folderOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')))

/** By its pool's name where the disk is said to be a volume of one, else by the folder it lies in. */
const poolFor = (disk: VmDisk, pools: readonly PoolProfile[]): PoolProfile | undefined =>
  disk.pool === undefined
    ? pools.find(({ path }) => path !== undefined && disk.source !== undefined && path === folderOf(disk.source))
    : pools.find(({ name }) => name === disk.pool)

/** Shared by word only, and written through the host's cache: what another host reads may be old. */
export const cachedDisks = (vm: VmProfile): readonly VmDisk[] =>
  vm.disks.filter(
    disk =>
      needsItsContent(disk) &&
      disk.shared &&
      disk.type !== 'network' &&
      !['none', 'directsync'].includes(disk.cache ?? ''),
  )
/** src/qemu/qemu_migration.c, qemuMigrationSrcIsSafe: it knows the file systems and what QEMU can drop. */
export const unsafeDisk = /shared storage is unsafe|cache other than none/i

const cache: VmRule<DiskReasons> = vm =>
  vm.rehearsal?.allowed === false && unsafeDisk.test(vm.rehearsal.said)
    ? cachedDisks(vm).map(({ name, source = '' }) => ({ rule: 'disk-cache', disk: name, source }))
    : []

const transient: VmRule<DiskReasons> = vm =>
  vm.disks.filter(disk => disk.transient).map(({ name }) => ({ rule: 'disk-transient', disk: name }))

const place: TargetRule<DiskReasons> = (vm, { source, target: { pools } }) => {
  if (source.driver !== 'libvirt') return []
  return disksToCopy(vm).flatMap((disk): ReturnType<typeof place> => {
    if (pools === undefined) return [{ rule: 'pools-unknown', disk: disk.name }]
    const pool = poolFor(disk, pools)
    if (pool === undefined)
      return [
        {
          rule: 'pool-missing',
          disk: disk.name,
          folder: disk.pool ?? folderOf(disk.source ?? '/'),
          pools: pools.map(({ name, path }) => (path === undefined ? name : `${name} (${path})`)),
        },
      ]
    if (!pool.active) return [{ rule: 'pool-inactive', disk: disk.name, pool: pool.name }]
    return when(!pool.autostart, { rule: 'pool-autostart', pool: pool.name })
  })
}

/** All disks of a VM that would go to one pool, together. */
const room: TargetRule<DiskReasons> = (vm, { target: { pools = [] } }) =>
  pools
    .filter(({ active }) => active)
    .flatMap(pool => {
      const disks = disksToCopy(vm).filter(disk => poolFor(disk, pools) === pool)
      const need = bytes(disks.reduce((sum, { size }) => sum + (size ?? 0), 0))
      const { name, available } = pool
      return when(need > available, {
        rule: 'pool-full' as const,
        disks: disks.map(disk => disk.name),
        pool: name,
        need,
        available,
      })
    })

const backing: VmRule<DiskReasons> = vm =>
  disksToCopy(vm)
    .filter(disk => disk.backing.length > 0)
    .map(({ name, backing: files }) => ({ rule: 'disk-backing', disk: name, files }))

const secrets: TargetRule<DiskReasons> = (vm, { target }) => {
  const known = target.secrets
  return known === undefined
    ? []
    : vm.secrets.filter(secret => !known.includes(secret)).map(secret => ({ rule: 'secret-missing', secret }))
}

export const diskVmRules: readonly VmRule<DiskReasons>[] = [cache, transient, backing]
export const diskTargetRules: readonly TargetRule<DiskReasons>[] = [place, room, secrets]
