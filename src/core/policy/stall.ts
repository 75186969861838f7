/** When a pre-copy gets nowhere. Rounds are compared, not seconds: a slow link makes rounds long, it does not make them more. */
import type { Vm } from '../inventory/vm.ts'
import type { PreCopy } from '../migration/migration.ts'
import { showBytes, showRate } from '../units.ts'

/** QEMU itself throttles after rounds of this kind (migration/ram.c, `migration_trigger_throttle`); this is the end of patience after it. */
const roundsOfPatience = 30
/** A guest may have sent its memory this many times over before it is told to wait. */
const timesOver = 4

/** @returns why this migration will not end by itself, or undefined while it may */
export function stalled(vm: Vm, migration: PreCopy): string | undefined {
  const { progress } = migration
  if (progress === undefined || progress.round < roundsOfPatience) return undefined
  if (progress.sent < timesOver * vm.used) return undefined
  const dirty = progress.dirtyRate === undefined ? 'unknown' : showRate(progress.dirtyRate)
  return `does not converge: ${showBytes(progress.sent)} sent for ${showBytes(vm.used)} in ${progress.round} rounds, dirties ${dirty} against ${showRate(progress.rate)}`
}
