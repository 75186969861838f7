/** `lifeboat lab up|down|status|wan|cut|heal|act|kill`: sites, hosts, guests and a WAN on this machine. */
import type { Command as Program } from 'commander'
import { readScenario } from '../../config/scenario-folder.ts'
import { hostId, siteId, vmId } from '../../core/ids.ts'
import { lineOfHappening } from '../../core/sim/decision-log.ts'
import type { Happening } from '../../core/sim/timeline.ts'
import { ms, showBytes, showRate, showTime } from '../../core/units.ts'
import { realClock } from '../../engine/real-clock.ts'
import { changeLink, killHost, killSite, killVm, linkOf, linkStats } from '../../lab/lab-harm.ts'
import { actOut } from '../../lab/act-out.ts'
import { labDown } from '../../lab/lab-down.ts'
import { configFile, sshProgram } from '../../lab/lab-names.ts'
import { type LabRecord, listLabs, readRecord } from '../../lab/lab-record.ts'
import { labUp } from '../../lab/lab-up.ts'
import { followGuests } from '../../lab/proof-of-life.ts'
import { CliError, exitCode, usageError } from '../exit.ts'
import { flowing } from '../help-text.ts'
import { addLabFlags, defaultRoot, type LabFlags, specFromFlags, specFromFolder, waysFromFlags } from '../lab-flags.ts'
import { err, formatOf, out, outJson, outLines } from '../output.ts'
import { quantityOption } from '../quantity-option.ts'
import type { LinkChange } from '../../lab/wan.ts'
import { paint } from '../render/paint.ts'
import { table } from '../render/table.ts'

interface Named {
  readonly name: string
  readonly root: string
}
const defaultName = 'lab'
/** Long enough to see two ticks of each guest. @unit ms */
const lookFor = 2_500

export function addLab(program: Program): void {
  const lab = program
    .command('lab')
    .summary('sites, hosts, guests and a WAN on this machine, to try things on')
    .description(
      flowing(`Real QEMU guests in network namespaces, joined by a WAN whose capacity, round trip and loss you choose and change.
Needs root, on Linux. Everything a lab makes carries its name; "lab down" takes it all away.`),
    )
  const named = (command: Program): Program =>
    command.option('--name <name>', 'which lab', defaultName).option('--root <folder>', 'where labs lie', defaultRoot)

  addLabFlags(
    lab.command('up').summary('bring a lab up').argument('[folder]', 'a scenario folder, instead of the flags'),
    defaultName,
  )
    .addHelpText(
      'after',
      '\nExample:\n  lifeboat lab up --vms 4 --wan 50Mbit/s --rtt 80ms\n  lifeboat --config /var/lib/lifeboat/labs/lab/lifeboat.yaml evacuate a --to b',
    )
    .action(async (folder: string | undefined, flags: LabFlags) => {
      const spec =
        folder === undefined ? specFromFlags(flags) : { ...specFromFolder(flags.name, folder), ...waysFromFlags(flags) }
      await interruptible(signal => labUp(spec, { root: flags.root, clock: realClock(), onProgress: err }, signal))
      const config = configFile(flags.root, flags.name)
      const from = spec.sites.find(site => !site.safe)?.id ?? spec.sites[0]?.id
      const [host] = spec.ssh === true ? spec.hosts : []
      const login = host === undefined ? '' : `ssh:  ${sshProgram(flags.root, flags.name, host.id)} ${host.id}\n`
      out(
        `configuration ${config}\ntry:  export LIFEBOAT_CONFIG=${config}\n      lifeboat inventory\n      lifeboat evacuate ${from} --dry-run\n${login}end:  lifeboat lab down --name ${flags.name}`,
      )
    })
  named(lab.command('down').summary('take a lab down, whatever state it is in')).action(
    async ({ name, root }: Named) => {
      const { processes, namespaces } = await labDown(root, name, realClock(), AbortSignal.timeout(120_000))
      out(`lab ${name} is down: ended ${processes} processes, removed ${namespaces} namespaces`)
    },
  )
  named(lab.command('status').summary('show the labs there are, or how one does'))
    .option('-o, --output <format>', 'text or json')
    .action(async ({ name, root, output }: Named & { output?: string }, command: Program) => {
      const asked = command.getOptionValueSource('name') === 'cli'
      if (!asked && !listLabs(root).includes(name)) {
        const labs = listLabs(root)
        out(
          labs.length === 0
            ? 'no lab is up'
            : `labs: ${labs.join(', ')}\nlook at one: lifeboat lab status --name ${labs[0]}`,
        )
        return
      }
      await status(root, readRecord(root, name), formatOf(output, ['text', 'json']) === 'json')
    })
  named(lab.command('wan').summary('show the WAN, or change a link while it is in use'))
    .argument('[a]', 'a site')
    .argument('[b]', 'another site')
    .addOption(quantityOption('--capacity <rate>', 'rate', 'like 30Mbit/s, each direction'))
    .addOption(quantityOption('--rtt <time>', 'time', 'like 80ms'))
    .addOption(quantityOption('--loss <percent>', 'percent', 'like 0.5%'))
    .action(async (a: string | undefined, b: string | undefined, flags: Named & LinkChange) => {
      const record = readRecord(flags.root, flags.name)
      const signal = AbortSignal.timeout(10_000)
      if (a === undefined) return outLines(await wanLines(flags.root, record, signal))
      if (b === undefined) throw usageError('a link has two ends: lifeboat lab wan A B --capacity 30Mbit/s')
      const { capacity, rtt, loss } = flags
      if (capacity === 0) throw usageError(`--capacity 0: cut the link instead: lifeboat lab cut ${a} ${b}`)
      const change = {
        ...(capacity === undefined ? {} : { capacity }),
        ...(rtt === undefined ? {} : { rtt }),
        ...(loss === undefined ? {} : { loss }),
      }
      if (Object.keys(change).length === 0) throw usageError('say what to change: --capacity, --rtt, --loss')
      await changeLink(flags.root, record, linkOf(record, a, b), change, signal)
      return outLines(await wanLines(flags.root, record, signal))
    })
  for (const [verb, cut] of [
    ['cut', true],
    ['heal', false],
  ] as const) {
    named(lab.command(verb).summary(cut ? 'cut the link between two sites' : 'heal it again'))
      .argument('<a>', 'a site')
      .argument('<b>', 'another site')
      .action(async (a: string, b: string, { name, root }: Named) => {
        const record = readRecord(root, name)
        await changeLink(root, record, linkOf(record, a, b), { cut }, AbortSignal.timeout(10_000))
        out(`the link between ${a} and ${b} is ${cut ? 'cut' : 'healed'}`)
      })
  }
  named(lab.command('act').summary("let a scenario folder's timeline happen, from now"))
    .argument('<folder>', 'the folder it was brought up from')
    .action(async (folder: string, { name, root }: Named) => {
      const { timeline } = readScenario(folder)
      const record = readRecord(root, name)
      const onEvent = (at: number, what: Happening, notDone: string | undefined): void =>
        out(`${lineOfHappening(at, what)}${notDone === undefined ? '' : ` (not here: ${notDone})`}`)
      await interruptible(signal => actOut(timeline, { root, record, clock: realClock(), onEvent }, signal))
    })
  named(lab.command('kill').summary('let a guest, a host or a site die at once'))
    .argument('<what>', 'vm, host or site')
    .argument('<which>', 'its name')
    .action(async (what: string, which: string, { name, root }: Named) => {
      const record = readRecord(root, name)
      const clock = realClock()
      const signal = AbortSignal.timeout(60_000)
      if (what === 'vm') out(`${which}: ended ${await killVm(root, record, vmId(which), clock, signal)} processes`)
      else if (what === 'host')
        out(`${which}: down, ${await killHost(root, record, hostId(which), clock, signal)} guests died`)
      else if (what === 'site')
        out(`${which}: down, ${await killSite(root, record, siteId(which), clock, signal)} guests died`)
      else throw usageError(`kill ${what}: expected vm, host or site`)
    })
}

/** Ctrl-C aborts, and what was made is taken away before the program ends. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const onSignal = (): void =>
    stop.abort(new CliError(exitCode.interrupted, 'interrupted; what was made has been taken away'))
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  try {
    return await work(stop.signal)
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

async function wanLines(root: string, record: LabRecord, signal: AbortSignal): Promise<readonly string[]> {
  const right = 'right' as const
  const rows = (await linkStats(root, record, signal)).map(link => [
    `${link.from} → ${link.to}`,
    showRate(link.capacity),
    showTime(link.rtt),
    `${Number((link.loss * 100).toPrecision(3))}%`,
    showBytes(link.carriedBytes),
    String(link.droppedPackets),
    link.cut ? paint.bad('cut') : '',
  ])
  return table(
    [
      { title: 'LINK' },
      { title: 'capacity', align: right },
      { title: 'rtt', align: right },
      { title: 'loss', align: right },
      { title: 'carried', align: right },
      { title: 'dropped', align: right },
      { title: '' },
    ],
    rows,
  )
}

async function status(root: string, record: LabRecord, json: boolean): Promise<void> {
  const clock = realClock()
  const life = followGuests(root, record.spec, clock)
  await clock.sleep(ms(lookFor), AbortSignal.timeout(60_000))
  const guests = life.report(Number.POSITIVE_INFINITY)
  await life.stop()
  if (json) {
    outJson({ name: record.spec.name, state: record.state, wan: record.wan, guests })
    return
  }
  const wan = await wanLines(root, record, AbortSignal.timeout(5_000)).catch((error: unknown) => [
    paint.bad(error instanceof Error ? error.message : String(error)),
  ])
  out(
    `lab ${record.spec.name}: ${record.state === 'up' ? 'up' : 'half made (take it down)'}, WAN by ${record.wan}, configuration ${configFile(root, record.spec.name)}\n`,
  )
  outLines(
    table(
      [{ title: 'VM' }, { title: 'ticks on' }, { title: 'tick', align: 'right' }, { title: 'verdict' }],
      guests.map(guest => [
        guest.vm,
        guest.host ?? '–',
        String(guest.last),
        guest.verdict === 'alive' ? paint.good('alive') : paint.bad(guest.verdict),
      ]),
    ),
  )
  out('')
  outLines(wan)
  if (guests.some(({ verdict }) => verdict === 'dead' || verdict === 'repeated')) process.exitCode = exitCode.partly
}
