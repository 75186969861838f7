/**
 * oVirt's defaults, for comparison: hosts set to maintenance, cluster policy "Minimal downtime".
 *
 * - 2 at a time out of each host; auto-converge on; post-copy off (ovirt-engine, packaging/dbscripts/upgrade/pre_upgrade/0000_config.sql,
 *   `MigrationPolicies`)
 * - each may use the host's link speed divided by those 2 (cluster default AUTO; `MigrateVmCommand`)
 * - downtime limit 100 ms, then 150, 200, 300, 400, 500 ms as QEMU's rounds pass, then abort; looked at every 10 s, one action at a time
 *   (vdsm, lib/vdsm/virt/migration.py, `monitor_migration`)
 * - a host in maintenance tries what is left again and again (`HostPreparingForMaintenanceIdleTime`, 300 s); here after our own, shorter
 *   pauses, in its favour
 */
import type { VmId } from '../ids.ts'
import { findHost } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import type { PreCopy, Tuning } from '../migration/migration.ts'
import { plainStart } from '../migration/start-options.ts'
import { bytesPerSecond, ms, slowest } from '../units.ts'
import { type Attempted, remember, sameAttempt } from './per-attempt.ts'
import type { Decided, Intent, Policy, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'
import { fillSlots, heldThroughout } from './slots.ts'

const perHost = 2
/** @unit ms */
const looksEvery = 10_000
const firstDowntime = ms(100)
/** From this round on: this downtime limit. */
const schedule = [
  { round: 2, downtime: ms(150) },
  { round: 3, downtime: ms(200) },
  { round: 4, downtime: ms(300) },
  { round: 5, downtime: ms(400) },
  { round: 7, downtime: ms(500) },
] as const

interface Watched extends Attempted {
  /** Steps of the schedule done. */
  readonly done: number
  readonly lookedAt: number
  readonly round: number
}

export const ovirt = (): Policy => policyWith(new Map())

function policyWith(watched: ReadonlyMap<VmId, Watched>): Policy {
  const policy: Policy = { name: 'ovirt', slots: Number.POSITIVE_INFINITY, decide }
  return policy

  function decide(view: PolicyView): Decided {
    const intents: Intent[] = []
    const next = remember(watched, view, (m, before): Watched => {
      const known = sameAttempt(before, m) ? before : { attempt: m.attempt, done: 0, lookedAt: view.now, round: 0 }
      const round = m.progress?.round ?? 0
      if (m.cancelling !== undefined || view.now - known.lookedAt < looksEvery) return known
      const looked = { ...known, lookedAt: view.now, round }
      if (round <= known.round) return looked
      const step = schedule[known.done]
      if (step === undefined) {
        intents.push({ kind: 'cancel', vm: m.vm, why: `does not converge: round ${round}`, again: true })
        return looked
      }
      if (round < step.round) return looked
      intents.push(lengthened(m, step.downtime))
      return { ...looked, done: known.done + 1 }
    })
    return {
      intents: shareBandwidth(view, [...intents, ...admissions(view)], vm => rateFor(view, vm)),
      next: next === watched ? policy : policyWith(next),
    }
  }
}

const lengthened = ({ vm, tuning }: PreCopy, downtimeLimit: Tuning['downtimeLimit']): Intent => ({
  kind: 'adjust',
  vm,
  tuning: { ...tuning, downtimeLimit },
  why: 'the next downtime step',
})

function rateFor({ snapshot }: PolicyView, vm: Vm): Tuning['rate'] {
  const link = slowest(findHost(snapshot, vm.host)?.nic) / perHost
  return Number.isFinite(link) ? bytesPerSecond(link) : undefined
}

const admissions = (view: PolicyView): Intent[] =>
  fillSlots(view, {
    total: Number.POSITIVE_INFINITY,
    perSource: perHost,
    heldIn: heldThroughout,
    readyAhead: 0,
    optionsFor: () => ({ ...plainStart, autoConverge: true }),
    tuningFor: vm => ({ rate: rateFor(view, vm), downtimeLimit: firstDowntime }),
  })
