/** What `lifeboat policy set` and `unset` change, and how it is told. Pure: who is meant, what they say afterwards, one line for each. */
import { wildcard } from '../config/apply-vm-rules.ts'
import { defaultWords, plain } from '../config/explain-policy.ts'
import { type PolicyField, policyFields, type PolicyWords } from '../core/inventory/policy-words.ts'
import type { UnreachableHost } from '../core/inventory/snapshot.ts'
import type { Listing } from '../hypervisor/hypervisor.ts'

export const titleOf = {
  value: 'value',
  group: 'group',
  maxDowntime: 'max downtime',
  allow: 'allow',
  action: 'action',
  targets: 'targets',
  antiAffinity: 'anti-affinity',
} as const satisfies Record<PolicyField, string>

export interface Chosen {
  readonly listings: readonly Listing[]
  /** Every mistake in what was named, each in a sentence. */
  readonly mistakes: readonly string[]
}

/** VMs by name or pattern, each once, in the order of the inventory. */
export function choose(
  all: readonly Listing[],
  patterns: readonly string[],
  unreachable: readonly UnreachableHost[],
): Chosen {
  const living = all.filter(
    ({ presence }) => presence.state === 'running' || (presence.state === 'paused' && presence.as === 'home'),
  )
  const mistakes: string[] = []
  const wanted = new Set<Listing>()
  for (const pattern of patterns) {
    const test = wildcard(pattern)
    const found = living.filter(({ vm }) => test.test(vm.id))
    for (const listing of found) wanted.add(listing)
    if (found.length > 0) continue
    const there = all.find(({ vm }) => vm.id === pattern)
    const silent = unreachable.map(({ host }) => host).join(', ')
    const perhaps = silent === '' ? '' : `; these hosts do not answer: ${silent}`
    mistakes.push(
      there === undefined
        ? `no running VM is named "${pattern}"${perhaps} (lifeboat inventory lists them)`
        : `${pattern} does not run at ${there.vm.host}: it is ${there.presence.state}`,
    )
  }
  return { listings: living.filter(listing => wanted.has(listing)), mistakes }
}

/** Why some of these cannot be written to now. */
export function obstaclesTo(listings: readonly Listing[]): readonly string[] {
  const hosts = Map.groupBy(listings, ({ vm }) => vm.id)
  const ambiguous = [...hosts].filter(([, all]) => all.length > 1)
  const moving = listings.filter(({ presence }) => presence.state === 'running' && presence.migrating)
  return [
    ...ambiguous.map(
      ([id, all]) => `${id} is the name of VMs at ${all.map(({ vm }) => vm.host).join(' and ')}; rename one`,
    ),
    ...moving.map(
      ({ vm }) => `${vm.id} is being migrated from ${vm.host}; try again when it has landed (lifeboat watch)`,
    ),
  ]
}

/** @param fields those that are taken away; all if none is named */
export function without(own: PolicyWords, fields: readonly PolicyField[]): PolicyWords {
  if (fields.length === 0) return {}
  return Object.fromEntries(policyFields.filter(field => !fields.includes(field)).map(field => [field, own[field]]))
}

export const overlaid = (own: PolicyWords, said: PolicyWords): PolicyWords => ({
  ...own,
  ...Object.fromEntries(policyFields.filter(field => said[field] !== undefined).map(field => [field, said[field]])),
})

export function showValue(value: ReturnType<typeof plain>): string {
  if (value === undefined || value === '') return '–'
  if (typeof value === 'number' || typeof value === 'string') return String(value)
  return value.length === 0 ? 'none' : value.join(' ')
}

/** `value 1 (default) → 3, allow none → post-copy`; undefined when nothing changes. */
export function changesIn(before: PolicyWords, after: PolicyWords): string | undefined {
  const changes = policyFields.flatMap(field => {
    const [from, to] = [before, after].map(words =>
      words[field] === undefined
        ? `${showValue(plain(field, defaultWords))} (default)`
        : showValue(plain(field, words)),
    )
    return from === to ? [] : [`${titleOf[field]} ${from} → ${to}`]
  })
  return changes.length === 0 ? undefined : changes.join(', ')
}
