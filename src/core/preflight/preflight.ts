/**
 * The preflight: every rule for every VM and every target it may go to, and then room for all together. A VM can go when one target at
 * least takes it and the plan finds it a place. Pure; hypervisor/ gathers the profiles.
 */
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { mayNotMove } from '../inventory/vm.ts'
import { planEvacuation } from '../plan/plan-evacuation.ts'
import type { Refusal } from '../plan/refusal.ts'
import type { HostProfile, SilentHost } from './host-profile.ts'
import type { LinkProfile } from './link-profile.ts'
import type { SourceFacts } from './reason.ts'
import {
  type Finding,
  hostRules,
  linkRules,
  type Reason,
  severityOf,
  sourceRules,
  targetRules,
  vmRules,
} from './rule-table.ts'
import type { TargetAnswer, VmProfile } from './vm-profile.ts'
import { waysOut } from './ways-out.ts'

export interface PreflightFacts {
  /** Hosts, sites, paths and VMs with their rules, as for a plan. */
  readonly snapshot: Snapshot
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly hosts: readonly HostProfile[]
  readonly silent: readonly SilentHost[]
  readonly vms: readonly VmProfile[]
  readonly links: readonly LinkProfile[]
  readonly answers: readonly TargetAnswer[]
}

export interface TargetVerdict {
  readonly target: HostId
  readonly takesIt: boolean
  /** What speaks against this target, or ought to be known of it. */
  readonly findings: readonly Finding[]
}

export interface VmVerdict {
  readonly vm: VmId
  readonly host: HostId
  /** `stays`: its policy says so, which nothing here questions. */
  readonly verdict: 'can-go' | 'cannot' | 'stays'
  /** Where the plan puts it. */
  readonly place: HostId | undefined
  /** Whatever its target. */
  readonly findings: readonly Finding[]
  readonly targets: readonly TargetVerdict[]
}

export interface Preflight {
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
  readonly vms: readonly VmVerdict[]
  /** Of hosts, and of all that goes from one to another. */
  readonly findings: readonly Finding[]
}

export function preflight(facts: PreflightFacts): Preflight {
  const { hosts, silent, vms, endangered, targets } = facts
  const byId = new Map(hosts.map(host => [host.id, host]))
  const from = hosts.filter(({ site }) => endangered.includes(site))
  const to = hosts.filter(({ site }) => targets.includes(site))
  const about = (reason: Reason, host: HostId, target?: HostId, vm?: VmId): Finding => ({
    reason,
    severity: severityOf(reason),
    host,
    vm,
    target,
  })
  const ofHosts = [
    ...silent.map(({ id, why }) => about({ rule: 'silent', why }, id)),
    ...from.flatMap(host => hostRules.flatMap(rule => rule(host, 'source')).map(reason => about(reason, host.id))),
    ...from.flatMap(host => {
      const leaving = sourceFacts(facts.snapshot, host.id, to)
      return sourceRules.flatMap(rule => rule(host, leaving)).map(reason => about(reason, host.id))
    }),
    ...to.flatMap(host => hostRules.flatMap(rule => rule(host, 'target')).map(reason => about(reason, host.id))),
  ]
  const tried = new Map(facts.links.map(link => [`${link.from} ${link.to}`, link]))
  const ofLinks = from.flatMap(source =>
    to.flatMap(target =>
      linkRules
        .flatMap(rule => rule({ source, target, tried: tried.get(`${source.id} ${target.id}`) }))
        .map(reason => about(reason, source.id, target.id)),
    ),
  )
  const blocks = ({ severity }: Finding): boolean => severity === 'blocks'
  const badHosts = new Set(ofHosts.filter(blocks).map(({ host }) => host))
  const badLinks = new Set(ofLinks.filter(blocks).map(({ host, target }) => `${host} ${target}`))
  const answers = new Map(facts.answers.map(answer => [`${answer.vm} ${answer.target}`, answer]))

  const sharesName = twice(facts.snapshot)
  const judged = vms.flatMap(vm => {
    const source = byId.get(vm.host)
    if (source === undefined) return []
    const findings = [...sharesName(vm), ...vmRules.flatMap(rule => rule(vm, source))].map(reason =>
      about(reason, vm.host, undefined, vm.id),
    )
    const stuck = findings.some(blocks) || badHosts.has(source.id)
    const there = to.map((target): TargetVerdict => {
      const answer = answers.get(`${vm.id} ${target.id}`)
      const against = targetRules
        .flatMap(rule => rule(vm, { source, target, answer }))
        .map(reason => about(reason, vm.host, target.id, vm.id))
      const closed = badHosts.has(target.id) || badLinks.has(`${source.id} ${target.id}`)
      return { target: target.id, takesIt: !stuck && !closed && !against.some(blocks), findings: against }
    })
    return [{ vm, findings, there }]
  })
  // Of which nothing is known, nothing is hoped.
  const unknown = facts.snapshot.hosts
    .filter(({ site, id }) => targets.includes(site) && !byId.has(id))
    .map(({ id }) => id)
  const barred = new Map(
    judged.map(({ vm, there }) => [
      vm.id,
      [...unknown, ...there.filter(({ takesIt }) => !takesIt).map(({ target }) => target)],
    ]),
  )
  const placed = placesOf(facts, barred)
  return {
    endangered,
    targets,
    findings: [...ofHosts, ...ofLinks],
    vms: [
      ...judged.map(({ vm, findings, there }): VmVerdict => {
        const { place, stays, refusals } = placed(vm.id)
        const withRoom = there.map(verdict =>
          roomIn(verdict, refusals, reason => about(reason, vm.host, verdict.target, vm.id)),
        )
        const asked = stays === undefined ? [] : [about({ rule: 'stays', detail: stays }, vm.host, undefined, vm.id)]
        return {
          vm: vm.id,
          host: vm.host,
          verdict: stays === undefined ? (place === undefined ? 'cannot' : 'can-go') : 'stays',
          place,
          findings: [...asked, ...findings],
          targets: withRoom,
        }
      }),
      ...unseen(facts),
    ],
  }
}

function sourceFacts(snapshot: Snapshot, host: HostId, to: readonly HostProfile[]): SourceFacts {
  const limits = snapshot.vms
    .filter(vm => vm.host === host && mayNotMove(vm) === undefined)
    .map(({ policy }) => policy.maxDowntime)
  const [strictest] = limits.toSorted((a, b) => a - b)
  return { ways: waysOut(snapshot, host, to), strictest }
}

/** Lifeboat knows VMs by their names, on all hosts it knows. */
function twice({ vms }: Snapshot): (vm: VmProfile) => readonly Reason[] {
  const hosts = new Map<VmId, readonly HostId[]>()
  for (const { id, host } of vms) hosts.set(id, [...(hosts.get(id) ?? []), host])
  return ({ id, name }) => {
    const found = hosts.get(id) ?? []
    return found.length > 1 ? [{ rule: 'name-twice', name, hosts: found }] : []
  }
}

/** VMs of a host that fell silent before it told more than their names. */
const unseen = ({ snapshot, vms, silent, endangered }: PreflightFacts): readonly VmVerdict[] => {
  const seen = new Set(vms.map(({ id, host }) => `${host} ${id}`))
  const lost = new Map(silent.map(({ id, site }) => [id, endangered.includes(site)]))
  return snapshot.vms
    .filter(({ id, host }) => lost.get(host) === true && !seen.has(`${host} ${id}`))
    .map(({ id, host }) => ({ vm: id, host, verdict: 'cannot', place: undefined, findings: [], targets: [] }))
}

interface Placed {
  readonly place: HostId | undefined
  /** Why it is not moved by choice. */
  readonly stays: string | undefined
  readonly refusals: ReadonlyMap<HostId, Refusal>
}
const nowhere: Placed = { place: undefined, stays: undefined, refusals: new Map() }

/** The planner's own answer, with what the rules found against it. */
function placesOf(
  { snapshot, endangered, targets }: PreflightFacts,
  barred: ReadonlyMap<VmId, readonly HostId[]>,
): (vm: VmId) => Placed {
  const plan = planEvacuation({
    snapshot,
    endangered,
    targets,
    policy: 'preflight',
    slots: 1,
    bandwidth: undefined,
    barred,
  })
  const places = new Map<VmId, Placed>(plan.moves.map(({ vm, target }) => [vm, { ...nowhere, place: target }]))
  const policies = new Map(snapshot.vms.map(vm => [vm.id, vm.policy.action]))
  for (const { vm, failure } of plan.unplaced) {
    if (failure.code === 'no-target') places.set(vm, { ...nowhere, refusals: new Map(failure.refusals) })
    else if (failure.code === 'may-not-move' && policies.get(vm) === 'stay')
      places.set(vm, { ...nowhere, stays: failure.detail })
  }
  return vm => places.get(vm) ?? nowhere
}

/** A target that would take this VM, were it alone. */
function roomIn(
  verdict: TargetVerdict,
  refusals: ReadonlyMap<HostId, Refusal>,
  about: (reason: Reason) => Finding,
): TargetVerdict {
  const refusal = refusals.get(verdict.target)
  if (!verdict.takesIt || refusal === undefined) return verdict
  const reason = reasonOf(refusal)
  return reason === undefined ? verdict : { ...verdict, takesIt: false, findings: [...verdict.findings, about(reason)] }
}

function reasonOf(refusal: Refusal): Reason | undefined {
  if (refusal.why === 'memory') return { rule: 'memory', need: refusal.need, free: refusal.free }
  return refusal.why === 'no-path' ? { rule: 'no-path', from: refusal.from, to: refusal.to } : undefined
}
