/**
 * KubeVirt's defaults, for comparison.
 *
 * - 5 at a time in the cluster, 2 out of each node; the target's pod counts from its start (kubevirt, pkg/virt-config/virt-config.go,
 *   `ParallelMigrationsPerClusterDefault`, `ParallelOutboundMigrationsPerNodeDefault`; watch/migration/migration.go, `findRunningMigrations`)
 * - 8 multifd channels (virt-handler/controller.go, `parallelMultifdMigrationThreads`), no cap, no auto-converge, no post-copy
 * - abort when the remaining bytes fell at no sample for 150 s, or after 150 s for each started GB
 *   (virt-launcher/virtwrap/live-migration-source.go, `processInflightMigration`; virt-config, `MigrationProgressTimeout`,
 *   `MigrationCompletionTimeoutPerGiB`)
 * - the evacuation controller makes a new migration of one that failed, without an end (watch/drain/evacuation/evacuation.go). It waits
 *   20 s, then twice as long each time; here it is tried again after our own, shorter pauses, in its favour, and 8 times in all
 */
import { between } from '../instant.ts'
import type { VmId } from '../ids.ts'
import { localDiskBytes, type Vm } from '../inventory/vm.ts'
import { plainStart } from '../migration/start-options.ts'
import { showTime } from '../units.ts'
import { type Attempted, remember, sameAttempt } from './per-attempt.ts'
import type { Decided, Intent, Policy, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'
import { fillSlots, heldThroughout } from './slots.ts'

const perCluster = 5
const perNode = 2
const channels = 8
/** @unit ms */
const progressTimeout = 150_000
/** @unit ms for each started GB (10⁹ bytes, as its quantity is scaled) */
const completionTimeoutPerGb = 150_000
const gigabyte = 1e9

interface Watched extends Attempted {
  readonly remaining: number
  /** When the remaining bytes were last less than at the sample before. */
  readonly fellAt: number
}

export const kubevirt = (): Policy => policyWith(new Map())

function policyWith(watched: ReadonlyMap<VmId, Watched>): Policy {
  const policy: Policy = { name: 'kubevirt', slots: perCluster, decide }
  return policy

  function decide(view: PolicyView): Decided {
    const next = remember(watched, view, (m, before): Watched => {
      const remaining = m.progress?.remaining ?? Number.POSITIVE_INFINITY
      const known = sameAttempt(before, m) ? before : undefined
      const fell = known === undefined || remaining < known.remaining
      if (known !== undefined && remaining === known.remaining) return known
      return { attempt: m.attempt, remaining, fellAt: fell ? view.now : known.fellAt }
    })
    return {
      intents: shareBandwidth(view, [...giveUps(view, next), ...admissions(view)]),
      next: next === watched ? policy : policyWith(next),
    }
  }
}

const admissions = (view: PolicyView): Intent[] =>
  fillSlots(view, {
    total: perCluster,
    perSource: perNode,
    heldIn: heldThroughout,
    readyAhead: 0,
    optionsFor: () => ({ ...plainStart, channels }),
    // It leaves QEMU's own downtime limit, which is ours too, unless the owner allows more.
    tuningFor: vm => ({ rate: undefined, downtimeLimit: vm.policy.maxDowntime }),
  })

/** The guest's memory, not what it uses of it, and the disks that are copied (virtwrap/manager.go, `getVMIMigrationDataSize`). */
const sizeOf = (vm: Vm): number => vm.memory + localDiskBytes(vm)

function giveUps(view: PolicyView, watched: ReadonlyMap<VmId, Watched>): Intent[] {
  const intents: Intent[] = []
  for (const m of view.migrations.in('pre-copy')) {
    if (m.cancelling !== undefined) continue
    const allowed = completionTimeoutPerGb * Math.ceil(sizeOf(view.vmOf(m.vm)) / gigabyte)
    const runs = between(m.startedAt, view.now)
    const fellAt = watched.get(m.vm)?.fellAt ?? view.now
    if (view.now - fellAt > progressTimeout)
      intents.push({ kind: 'cancel', vm: m.vm, why: `no progress for ${showTime(view.now - fellAt)}`, again: true })
    else if (runs > allowed)
      intents.push({ kind: 'cancel', vm: m.vm, why: `not complete after ${showTime(runs)}`, again: true })
  }
  return intents
}
