/** `lifeboat policy show`: what counts for each VM, and who says so. */
import { explainPolicy, type ExplainedField, type PolicySource } from '../config/explain-policy.ts'
import { takeSnapshot, type Taken } from '../engine/take-snapshot.ts'
import { exitCode, type ExitCode, usageError } from './exit.ts'
import type { Fleet } from './fleet.ts'
import { type Format, out, outJson, outLines } from './output.ts'
import { choose, showValue, titleOf } from './policy-change.ts'
import { table } from './render/table.ts'
import { warnAbout } from './warn.ts'

export const lookAround = (fleet: Fleet): Promise<Taken> =>
  takeSnapshot(fleet.config, fleet.hosts, fleet.clock, AbortSignal.timeout(60_000))

/** @param names all VMs if there is none */
export async function showPolicies(fleet: Fleet, names: readonly string[], format: Format): Promise<ExitCode> {
  const taken = await lookAround(fleet)
  warnAbout(taken)
  const { listings, mistakes } = choose(taken.listings, names.length === 0 ? ['*'] : names, taken.snapshot.unreachable)
  if (names.length > 0 && mistakes.length > 0) throw usageError(mistakes.join('\n'))
  const explained = listings.map(({ vm, own }) => ({ vm, fields: explainPolicy(vm, own, fleet.config.vms) }))
  if (format === 'json') {
    outJson(
      explained.map(({ vm, fields }) => ({
        vm: vm.id,
        host: vm.host,
        policy: Object.fromEntries(fields.map(({ field, value, from }) => [field, { value: value ?? null, from }])),
      })),
    )
  } else if (explained.length === 0) out('no VMs')
  else for (const { vm, fields } of explained) outLines(blockOf(`${vm.id} at ${vm.host}`, fields))
  return taken.snapshot.unreachable.length > 0 ? exitCode.partly : exitCode.asAsked
}

const blockOf = (title: string, fields: readonly ExplainedField[]): readonly string[] => [
  title,
  ...table(
    [{ title: '' }, { title: '' }, { title: '' }],
    fields.map(({ field, value, from }) => [`  ${titleOf[field]}`, showValue(value), showSource(from)]),
  ).slice(1),
]

export function showSource(from: PolicySource): string {
  switch (from.by) {
    case 'default':
      return 'default'
    case 'vm':
      return 'its own definition'
    case 'lifeboat.yaml':
      return `lifeboat.yaml, vms[${from.rule}] "${from.match}"`
  }
}
