/**
 * Proxmox VE's bulk migration, for comparison: all guests of a node to one target node, N workers at a time.
 *
 * - the number of workers has no default in the API (PVE/API2/Nodes.pm, `migrateall`); the dialog offers 1, and 4 is what its
 *   high-availability manager and the other bulk actions take: 4 here, and `proxmox:N` for another
 * - auto-converge on, no post-copy, one stream, no cap (src/PVE/QemuMigrate.pm, `phase2`)
 * - downtime limit 100 ms, doubled each time the remaining bytes have risen at 6 samples (same place); no timeout ends it
 * - a target that is full refuses there; here the VM goes to another, in its favour
 */
import type { VmId } from '../ids.ts'
import { hostsOfSite } from '../inventory/snapshot.ts'
import { plainStart } from '../migration/start-options.ts'
import { ms } from '../units.ts'
import { type Attempted, remember, sameAttempt } from './per-attempt.ts'
import type { Decided, Intent, Policy, PolicyView } from './policy.ts'
import { shareBandwidth } from './share-bandwidth.ts'
import { fillSlots, heldThroughout } from './slots.ts'

export const defaultWorkers = 4
/** @unit ms */
const firstDowntime = ms(100)
const downtimeMost = 2_000_000
const risesAtMost = 5

interface Watched extends Attempted {
  readonly remaining: number
  readonly sent: number
  readonly rises: number
}

export const proxmox = (name: string, workers: number): Policy => policyWith(name, workers, new Map())

function policyWith(name: string, workers: number, watched: ReadonlyMap<VmId, Watched>): Policy {
  const policy: Policy = { name, slots: workers, decide }
  return policy

  function decide(view: PolicyView): Decided {
    const intents: Intent[] = []
    const next = remember(watched, view, (m, before): Watched => {
      const { remaining, sent } = m.progress ?? { remaining: Number.POSITIVE_INFINITY, sent: 0 }
      if (!sameAttempt(before, m)) return { attempt: m.attempt, remaining, sent, rises: 0 }
      if (sent === before.sent || m.cancelling !== undefined) return before
      const rises = before.rises + (remaining > before.remaining || remaining === 0 ? 1 : 0)
      if (rises <= risesAtMost) return { ...before, remaining, sent, rises }
      const { tuning } = m
      const downtimeLimit = ms(Math.min(downtimeMost, tuning.downtimeLimit * 2))
      intents.push({ kind: 'adjust', vm: m.vm, tuning: { ...tuning, downtimeLimit }, why: 'does not converge' })
      return { ...before, remaining, sent, rises: 0 }
    })
    return {
      intents: shareBandwidth(view, [...intents, ...admissions(view, workers)]),
      next: next === watched ? policy : policyWith(name, workers, next),
    }
  }
}

function admissions(view: PolicyView, workers: number): Intent[] {
  const target = view.targets.flatMap(site => hostsOfSite(view.snapshot, site))[0]?.id
  return fillSlots(view, {
    total: workers,
    perSource: Number.POSITIVE_INFINITY,
    heldIn: heldThroughout,
    readyAhead: 0,
    optionsFor: () => ({ ...plainStart, autoConverge: true }),
    tuningFor: () => ({ rate: undefined, downtimeLimit: firstDowntime }),
    prefer: () => target,
  })
}
