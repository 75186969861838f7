/** When a pre-copy gets nowhere. Rounds are compared, not seconds: a slow link makes rounds long, it does not make them more. */
import { bytesToMove, type Vm } from '../inventory/vm.ts'
import type { PreCopy } from '../migration/migration.ts'
import { copiesDisksFirst } from '../migration/progress.ts'
import { showBytes, showRate } from '../units.ts'
import type { Intent, PolicyView } from './policy.ts'

/** QEMU itself throttles after rounds of this kind (migration/ram.c, `migration_trigger_throttle`); this is the end of patience after it. */
const roundsOfPatience = 30
/** A guest may have sent its memory this many times over before it is told to wait. */
const timesOver = 4
/** By then, one that writes this share of what is sent will not end, however many rounds it gets. */
const hopeless = 0.9

/** @returns why this migration will not end by itself, or undefined while it may */
export function stalled(vm: Vm, migration: PreCopy): string | undefined {
  const { progress } = migration
  if (progress === undefined || progress.sent < timesOver * bytesToMove(vm)) return undefined
  const outrun = progress.dirtyRate !== undefined && progress.dirtyRate >= progress.rate * hopeless
  if (!outrun && progress.round < roundsOfPatience) return undefined
  const dirty = progress.dirtyRate === undefined ? 'unknown' : showRate(progress.dirtyRate)
  return `does not converge: ${showBytes(progress.sent)} sent for ${showBytes(bytesToMove(vm))} in ${progress.round} rounds, dirties ${dirty} against ${showRate(progress.rate)}`
}

/** Its owner allows it, and it would help: not before memory flows. */
export const mayGoPostCopy = (vm: Vm, { progress }: PreCopy): boolean =>
  vm.policy.allow.includes('post-copy') && (progress === undefined || !copiesDisksFirst(progress))

/** Does not wait for ever: into post-copy where its owner allows it, else it is called back and stays. */
export function giveUpStalled(view: PolicyView): Intent[] {
  const intents: Intent[] = []
  for (const migration of view.migrations.in('pre-copy')) {
    if (migration.cancelling !== undefined || migration.switching) continue
    const vm = view.vmOf(migration.vm)
    const why = stalled(vm, migration)
    if (why === undefined) continue
    intents.push(
      mayGoPostCopy(vm, migration)
        ? { kind: 'post-copy', vm: vm.id, why }
        : { kind: 'cancel', vm: vm.id, why, again: false },
    )
  }
  return intents
}
