/** `lifeboat policy set|show|unset`: what a VM's own definition says of how it may be moved. It travels with the VM; lifeboat.yaml goes before it. */
import { type Command as Program, InvalidArgumentError, Option } from 'commander'
import { type PlaceId, placeId } from '../../core/ids.ts'
import { policyFields, type PolicyWords, saysNothing } from '../../core/inventory/policy-words.ts'
import { type ModeOfLastResort, modesOfLastResort } from '../../core/inventory/vm.ts'
import type { Milliseconds } from '../../core/units.ts'
import { type ExitCode, usageError } from '../exit.ts'
import { type Fleet, withFleet } from '../fleet.ts'
import { flowing } from '../help-text.ts'
import { formatOf } from '../output.ts'
import { overlaid, without } from '../policy-change.ts'
import { showPolicies } from '../policy-show.ts'
import { writePolicies } from '../policy-write.ts'
import { quantityOption } from '../quantity-option.ts'

interface SetFlags {
  readonly value?: number
  readonly group?: string
  readonly maxDowntime?: Milliseconds
  readonly allow?: readonly ModeOfLastResort[]
  readonly target?: readonly string[]
  readonly antiAffinity?: string
  readonly stay?: boolean
  readonly move?: boolean
  readonly output?: string
}
type UnsetFlags = {
  readonly [F in 'value' | 'group' | 'maxDowntime' | 'allow' | 'target' | 'antiAffinity' | 'action']?: boolean
} & {
  readonly output?: string
}

const vms = 'VMs by name, or by pattern with * and ?'

export function addPolicy(program: Program): void {
  const policy = program.command('policy').summary('say how VMs may be moved; it travels with them')
  const configOf = (command: Program) => command.optsWithGlobals<{ config?: string }>().config
  policy
    .command('set')
    .summary("write into VMs' own definitions: value, group, max downtime, modes, targets, anti-affinity, stay or move")
    .description(
      flowing(`Writes into the VM's own definition: libvirt's <metadata>, or vm.json of a QEMU host. What is not named stays as it was.
It travels with the VM, and rules of lifeboat.yaml go before it (docs/vm-policy.md).`),
    )
    .argument('<vm...>', vms)
    .addOption(new Option('--value <n>', 'what it is worth, 0 or more').argParser(parseValue))
    .addOption(new Option('--group <name>', 'whose VMs belong together').argParser(parseText))
    .addOption(quantityOption('--max-downtime <time>', 'time', 'it may stand still so long at switchover, like 500ms'))
    .addOption(
      new Option(
        '--allow <modes>',
        `beyond pre-copy: ${modesOfLastResort.join(',')}, or none (save and shutdown: not in this version)`,
      ).argParser(parseModes),
    )
    .option('--target <place...>', 'only to these sites or hosts')
    .addOption(new Option('--anti-affinity <name>', 'VMs of one name never share a host').argParser(parseText))
    .addOption(new Option('--stay', 'it may not be moved').conflicts('move'))
    .option('--move', 'it may be moved')
    .option('-o, --output <format>', 'text or json')
    .addHelpText('after', "\nExample:\n  lifeboat policy set 'db-*' --value 20 --max-downtime 500ms --anti-affinity db")
    .action(async (names: readonly string[], flags: SetFlags, command: Program) => {
      process.exitCode = await withFleet(configOf(command), fleet => set(fleet, names, flags))
    })
  policy
    .command('unset')
    .summary("take away what VMs' own definitions say: all of it, or what is named")
    .argument('<vm...>', vms)
    .option('--value', 'what it is worth')
    .option('--group', 'the group it belongs to')
    .option('--max-downtime', 'how long it may stand still')
    .option('--allow', 'the modes beyond pre-copy')
    .option('--target', 'the sites and hosts it is bound to')
    .option('--anti-affinity', 'whom it keeps apart from')
    .option('--action', 'whether it may be moved (--stay, --move)')
    .option('-o, --output <format>', 'text or json')
    .action(async (names: readonly string[], flags: UnsetFlags, command: Program) => {
      process.exitCode = await withFleet(configOf(command), fleet => unset(fleet, names, flags))
    })
  policy
    .command('show')
    .summary('show what counts for VMs, and where each part of it comes from')
    .argument('[vm...]', `${vms}; all if left out`)
    .option('-o, --output <format>', 'text or json')
    .action(async (names: readonly string[], flags: { output?: string }, command: Program) => {
      const format = formatOf(flags.output, ['text', 'json'])
      process.exitCode = await withFleet(configOf(command), fleet => showPolicies(fleet, names, format))
    })
}

function parseValue(text: string): number {
  const n = Number(text)
  if (text.trim() === '' || !Number.isFinite(n) || n < 0) throw new InvalidArgumentError('expected a number, 0 or more')
  return n
}

/** It goes into XML and into tables. */
function parseText(text: string): string {
  if (text === '' || /\p{Cc}/u.test(text) || !text.isWellFormed() || text.length > 256)
    throw new InvalidArgumentError('expected a name of 1 to 256 characters, without control characters')
  return text
}

function parseModes(text: string): readonly ModeOfLastResort[] {
  const words = text.split(',').map(word => word.trim())
  if (words.length === 1 && (words[0] === 'none' || words[0] === '')) return []
  return words.map(word => {
    const mode = modesOfLastResort.find(each => each === word)
    if (mode === undefined) throw new InvalidArgumentError(`"${word}" is none of ${modesOfLastResort.join(', ')}, none`)
    return mode
  })
}

async function set(fleet: Fleet, names: readonly string[], flags: SetFlags): Promise<ExitCode> {
  const format = formatOf(flags.output, ['text', 'json'])
  const { places, mistakes } = placesOf(fleet, flags.target)
  const said: PolicyWords = {
    value: flags.value,
    group: flags.group,
    maxDowntime: flags.maxDowntime,
    allow: flags.allow,
    action: flags.stay === true ? 'stay' : flags.move === true ? 'move' : undefined,
    targets: places,
    antiAffinity: flags.antiAffinity,
  }
  if (saysNothing(said) && mistakes.length === 0) throw usageError('nothing to set: name at least one part (--help)')
  return writePolicies(fleet, { names, mistakes, change: own => overlaid(own, said), format })
}

function unset(fleet: Fleet, names: readonly string[], flags: UnsetFlags): Promise<ExitCode> {
  const format = formatOf(flags.output, ['text', 'json'])
  const fields = policyFields.filter(field => flags[field === 'targets' ? 'target' : field] === true)
  return writePolicies(fleet, { names, mistakes: [], change: own => without(own, fields), format })
}

/** Several, each by itself or all behind one comma. */
function placesOf(
  { config, file }: Fleet,
  named: readonly string[] | undefined,
): { readonly places: readonly PlaceId[] | undefined; readonly mistakes: readonly string[] } {
  const known = config.sites.flatMap(site => [String(site.name), ...site.hosts.map(({ name }) => String(name))])
  const words = [...new Set((named ?? []).flatMap(word => word.split(',')).filter(word => word !== ''))]
  const mistakes = words
    .filter(word => !known.includes(word))
    .map(word => `no site or host is named "${word}"; ${file} has: ${known.join(', ')}`)
  if (named !== undefined && words.length === 0) return { places: undefined, mistakes: ['--target names no place'] }
  return {
    places: words.length === 0 || mistakes.length > 0 ? undefined : words.map(placeId),
    mistakes,
  }
}
