/** `lifeboat policy set` and `unset`: writes to all that were meant, and tells of each what has changed. */
import { explainPolicy, plain } from '../config/explain-policy.ts'
import type { HostId } from '../core/ids.ts'
import { policyFields, type PolicyWords } from '../core/inventory/policy-words.ts'
import { seconds } from '../core/units.ts'
import type { Listing } from '../hypervisor/hypervisor.ts'
import { PolicyNotWritten } from '../hypervisor/policy-not-written.ts'
import { DeadlineExceeded, neverAborts, withDeadline } from '../time/with-deadline.ts'
import { exitCode, type ExitCode, usageError } from './exit.ts'
import type { Fleet } from './fleet.ts'
import { err, type Format, outJson, outLines } from './output.ts'
import { changesIn, choose, obstaclesTo, showValue, titleOf } from './policy-change.ts'
import { lookAround, showSource } from './policy-show.ts'
import { warnAbout } from './warn.ts'

/** libvirt waits 30 s for a domain that something else works on, and then says so. */
const writesWithin = seconds(40)

interface Written {
  readonly listing: Listing
  readonly after: PolicyWords
  readonly error: Error | undefined
}

interface Writing {
  /** VMs by name or pattern. */
  readonly names: readonly string[]
  /** What was found wrong already. */
  readonly mistakes: readonly string[]
  readonly change: (own: PolicyWords) => PolicyWords
  readonly format: Format
}

/** All mistakes are told before anything is written; what cannot be written to one VM keeps no other from it. */
export async function writePolicies(fleet: Fleet, { names, mistakes, change, format }: Writing): Promise<ExitCode> {
  const taken = await lookAround(fleet)
  warnAbout(taken)
  const chosen = choose(taken.listings, names, taken.snapshot.unreachable)
  const all = [...mistakes, ...chosen.mistakes, ...obstaclesTo(chosen.listings)]
  if (all.length > 0) throw usageError(`nothing was written:\n${all.map(line => `  ${line}`).join('\n')}`)
  const byHost = Map.groupBy(chosen.listings, ({ vm }) => vm.host)
  const done = await Promise.all([...byHost].map(([host, listings]) => writeAt(fleet, { host, listings, change })))
  const written = done.flat()
  if (format === 'json') outJson(written.map(each => jsonOf(each)))
  else for (const each of written) outLines(linesOf(fleet, each))
  const failed = written.flatMap(({ error }) => (error === undefined ? [] : [error.message]))
  for (const message of failed) err(`error: ${message}`)
  return failed.length === 0 ? exitCode.asAsked : exitCode.partly
}

/** One after another: a host has other things to do. */
async function writeAt(
  { hosts, clock }: Fleet,
  {
    host,
    listings,
    change,
  }: Pick<Writing, 'change'> & { readonly host: HostId; readonly listings: readonly Listing[] },
): Promise<readonly Written[]> {
  const hypervisor = hosts.get(host)
  const written: Written[] = []
  for (const listing of listings) {
    const { id } = listing.vm
    const after = change(listing.own)
    try {
      await withDeadline(clock, writesWithin, `the policy of ${id} at ${host}`, neverAborts, signal => {
        if (hypervisor.setPolicy !== undefined) return hypervisor.setPolicy(id, after, signal)
        throw new PolicyNotWritten(id, host, 'refused', `a host of driver ${hypervisor.driver} has no place for it`)
      })
      written.push({ listing, after, error: undefined })
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const told =
        error instanceof DeadlineExceeded
          ? new PolicyNotWritten(id, host, 'unreachable', error.message, { cause: error })
          : error
      written.push({ listing, after, error: told })
    }
  }
  return written
}

function linesOf({ config }: Fleet, { listing, after, error }: Written): readonly string[] {
  if (error !== undefined) return []
  const { vm, own, unread } = listing
  const changes = changesIn(own, after) ?? 'as it was'
  const overruled = explainPolicy(vm, after, config.vms).filter(
    ({ field, from }) => from.by === 'lifeboat.yaml' && after[field] !== undefined && after[field] !== own[field],
  )
  return [
    `${vm.id} at ${vm.host}: ${changes}`,
    ...(unread.length === 0 ? [] : [`  what could not be read is gone: ${unread.join('; ')}`]),
    ...overruled.map(
      ({ field, value, from }) => `  ${titleOf[field]}: ${showValue(value)} counts, from ${showSource(from)}`,
    ),
  ]
}

const jsonOf = ({ listing: { vm, own }, after, error }: Written) => ({
  vm: vm.id,
  host: vm.host,
  written: error === undefined,
  before: plainWords(own),
  after: plainWords(error === undefined ? after : own),
  ...(error === undefined ? {} : { error: error.message }),
  ...(error instanceof PolicyNotWritten ? { code: error.code, next: error.next } : {}),
})

const plainWords = (words: PolicyWords) => Object.fromEntries(policyFields.map(field => [field, plain(field, words)]))
