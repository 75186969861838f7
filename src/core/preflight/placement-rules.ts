/** Room: memory for all together, as the plan finds it, and large pages for each. */
import { type Bytes, bytes, showBytes } from '../units.ts'
import { type Table, type TargetRule, when } from './reason.ts'

export interface PlacementReasons {
  readonly memory: { readonly need: Bytes; readonly free: Bytes }
  readonly 'no-path': { readonly from: string; readonly to: string }
  readonly hugepages: { readonly size: Bytes; readonly need: number; readonly free: number }
  readonly stays: { readonly detail: string }
}

export const placementTable: Table<PlacementReasons> = {
  memory: {
    severity: 'blocks',
    says: ({ need, free }) =>
      `needs ${showBytes(need)} of memory, and beside the VMs placed before it ${showBytes(free)} are left (short by ${showBytes(need - free)})`,
    next: () =>
      'free memory there, add a target (--to), raise `memory` of the host if it is set too low; or leave others behind',
  },
  'no-path': {
    severity: 'blocks',
    says: ({ from, to }) => `lifeboat.yaml has paths, and none from ${from} to ${to}`,
    next: ({ from, to }) => `add it: paths: [{ from: ${from}, to: ${to} }]; or choose another target`,
  },
  hugepages: {
    severity: 'blocks',
    says: ({ size, need, free }) =>
      `its memory takes ${need} pages of ${showBytes(size)}, and the target has ${free} free`,
    next: ({ size }) => `reserve more there: virsh allocpages ${size / 1024}KiB COUNT, or hugepages= at boot`,
  },
  stays: {
    severity: 'note',
    says: ({ detail }) => `stays as asked: ${detail}`,
    next: () => 'nothing; lifeboat.yaml, vms, action says so',
  },
}

const hugepages: TargetRule<PlacementReasons> = (vm, { target }) => {
  const size = vm.hugepages
  if (size === undefined || target.hugepages === undefined || size === bytes(0)) return []
  const free = target.hugepages.find(pool => pool.size === size)?.free ?? 0
  const need = Math.ceil(vm.memory / size)
  return when(need > free, { rule: 'hugepages', size, need, free })
}

export const placementTargetRules: readonly TargetRule<PlacementReasons>[] = [hugepages]
