/**
 * OpenStack Nova's defaults (libvirt driver), for comparison: `nova host-evacuate-live` on every host of the site.
 *
 * - 1 at a time out of each host (nova/conf/compute.py, `max_concurrent_live_migrations`), no bound in all; plain stream, no cap,
 *   no auto-converge, no post-copy (nova/conf/libvirt.py)
 * - the downtime limit rises from a tenth of 500 ms to 500 ms in 10 steps, one each 75 s per GiB
 *   (virt/libvirt/migration.py, `downtime_steps`)
 * - aborted after 800 s per GiB, at least 2 GiB counted for memory and for each disk (virt/libvirt/driver.py, `_live_migration_monitor`,
 *   `_live_migration_data_gb`); nobody tries again (`_rollback_live_migration`)
 */
import { between } from '../instant.ts'
import type { Vm } from '../inventory/vm.ts'
import type { PreCopy } from '../migration/migration.ts'
import { plainStart } from '../migration/start-options.ts'
import { ms, showTime } from '../units.ts'
import type { Intent, Policy, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'
import { fillSlots, heldThroughout } from './slots.ts'

const perHost = 1
/** @unit ms */
const downtimeMost = 500
const steps = 10
/** @unit ms per GiB */
const stepEvery = 75_000
const completionTimeout = 800_000
const leastGib = 2
const gib = 2 ** 30

export const nova = (): Policy => {
  const policy: Policy = {
    name: 'nova',
    slots: Number.POSITIVE_INFINITY,
    decide: view => ({
      intents: shareBandwidth(view, [...tend(view), ...admissions(view)]),
      next: policy,
    }),
  }
  return policy
}

/** Memory counts as its flavour has it, not as it is used. */
const gibsOf = ({ memory, disks }: Vm): number =>
  [memory, ...disks.filter(disk => !disk.shared).map(disk => disk.used)].reduce(
    (sum, size) => sum + Math.max(leastGib, size / gib),
    0,
  )

/** The last step whose time has come. @unit ms */
function downtimeAt(vm: Vm, elapsed: number): number {
  const base = downtimeMost / steps
  const step = Math.min(steps, Math.floor(elapsed / Math.floor(stepEvery * gibsOf(vm))))
  return Math.floor(base + ((downtimeMost - base) / steps) * step)
}

const admissions = (view: PolicyView): Intent[] =>
  fillSlots(view, {
    total: Number.POSITIVE_INFINITY,
    perSource: perHost,
    heldIn: heldThroughout,
    readyAhead: 0,
    optionsFor: () => plainStart,
    tuningFor: vm => ({ rate: undefined, downtimeLimit: ms(downtimeAt(vm, 0)) }),
  })

function tend(view: PolicyView): Intent[] {
  return [...view.migrations.in('pre-copy')].flatMap((m): Intent[] => {
    if (m.cancelling !== undefined) return []
    const vm = view.vmOf(m.vm)
    const elapsed = between(m.startedAt, view.now)
    if (elapsed > completionTimeout * gibsOf(vm))
      return [{ kind: 'cancel', vm: m.vm, why: `not complete after ${showTime(elapsed)}`, again: false }]
    return raised(m, downtimeAt(vm, elapsed))
  })
}

function raised({ vm, tuning }: PreCopy, limit: number): Intent[] {
  if (limit <= tuning.downtimeLimit) return []
  return [{ kind: 'adjust', vm, tuning: { ...tuning, downtimeLimit: ms(limit) }, why: 'the next downtime step' }]
}
