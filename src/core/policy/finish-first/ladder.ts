/**
 * A guest that outruns its path, rung by rung: auto-converge (chosen at the start) slows it; its owner's whole downtime is used; then
 * what its owner allows beyond: post-copy, or standing still for as long as the rest takes. Called back at last, so that it does not
 * hold the path for others.
 */
import { bytesToMove, type Vm } from '../../inventory/vm.ts'
import type { PreCopy, Tuning } from '../../migration/migration.ts'
import { bytes, ms, showBytes, showRate, showTime } from '../../units.ts'
import { copiesDisksFirst } from '../../migration/progress.ts'
import type { Intent } from '../policy.ts'
import { mayGoPostCopy } from '../stall.ts'

/** A guest that writes this share of what is sent does not converge by itself. */
const outrun = 0.9
/** How many times all of it is sent before … its whole downtime is used, */
const timesForDowntime = 1.5
/** … it is taken for one that does not converge, */
const timesOver = 2
/** … the same where the hypervisor does not tell how fast it writes, */
const timesOverUntold = 4
/** … one that is throttled to a standstill is called back: when others wait for its path, and when nobody does. */
const timesOverThrottled = 10
const timesOverAlone = 30
/** The throttle that auto-converge stops at (QEMU, `max-cpu-throttle`), or nearly. */
const throttledOut = 0.95
/** What remains takes so much longer than it should, at most. */
const stopCopyMargin = 1.5
/** QEMU's own bound for its downtime limit (qapi/migration.json). @unit ms */
const longestStop = 2_000_000

/** @param awaited others wait for its path */
export function ladder(m: PreCopy, vm: Vm, awaited: boolean): readonly Intent[] {
  const { progress, tuning } = m
  if (progress === undefined || m.switching || m.mode === 'stop-copy') return []
  const times = progress.sent / Math.max(1, bytesToMove(vm))
  const { maxDowntime, allow } = vm.policy
  const losing =
    progress.dirtyRate === undefined ? times >= timesOverUntold : progress.dirtyRate >= progress.rate * outrun
  if (!losing || times < timesForDowntime) return []
  if (tuning.downtimeLimit < maxDowntime)
    return [
      adjusted(
        m,
        { ...tuning, downtimeLimit: maxDowntime },
        `${times.toFixed(1)} times sent: its whole downtime of ${showTime(maxDowntime)} is used`,
      ),
    ]
  if (times < timesOver) return []
  const writes = progress.dirtyRate === undefined ? 'an unknown rate' : showRate(progress.dirtyRate)
  const why = `does not converge: ${showBytes(progress.sent)} sent for ${showBytes(bytesToMove(vm))}, dirties ${writes} against ${showRate(progress.rate)}`
  if (mayGoPostCopy(vm, m)) return [{ kind: 'post-copy', vm: m.vm, why }]
  if (allow.includes('stop-copy') && progress.rate >= 1) {
    const rest = (Math.min(progress.remaining, bytes(vm.memory)) / progress.rate) * 1000
    const downtimeLimit = ms(Math.min(longestStop, Math.max(maxDowntime, Math.ceil(rest * stopCopyMargin))))
    const intent = adjusted(
      m,
      { ...tuning, downtimeLimit },
      `${why}; its owner allows it to stand still while the rest is sent, some ${showTime(rest)}`,
    )
    return [{ ...intent, mode: 'stop-copy' }]
  }
  // A hypervisor that does not tell how fast it writes does not tell how it is throttled either; disks are not throttled.
  const out = progress.dirtyRate === undefined || progress.throttle >= throttledOut || copiesDisksFirst(progress)
  const hopeless = out && times >= (awaited ? timesOverThrottled : timesOverAlone)
  return hopeless
    ? [{ kind: 'cancel', vm: m.vm, why: `${why}; allow post-copy or stop-copy for it`, again: false }]
    : []
}

const adjusted = (m: PreCopy, tuning: Tuning, why: string): Extract<Intent, { kind: 'adjust' }> => ({
  kind: 'adjust',
  vm: m.vm,
  tuning,
  why,
})
