/** `lifeboat demo`: a whole evacuation on this machine, with real guests, from nothing to proof, and everything taken away again. */
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command as Program } from 'commander'
import { loadConfig } from '../../config/load-config.ts'
import { defaultPolicy, policyByName, policyNames } from '../../core/policy/policy-by-name.ts'
import { reportOf, type Report } from '../../core/report/report.ts'
import { ms, showTime } from '../../core/units.ts'
import { openHosts } from '../../engine/open-hosts.ts'
import { realClock } from '../../engine/real-clock.ts'
import { journalOf, listEvacuations } from '../../engine/state-folder.ts'
import { replay } from '../../journal/replay.ts'
import { readJournal } from '../../journal/sqlite-journal.ts'
import { labDown } from '../../lab/lab-down.ts'
import { configFile } from '../../lab/lab-names.ts'
import { labExists } from '../../lab/lab-record.ts'
import type { LabSpec } from '../../lab/lab-spec.ts'
import { labUp } from '../../lab/lab-up.ts'
import { tickPeriod } from '../../lab/life-verdict.ts'
import { followGuests, type GuestLife, type ProofOfLife } from '../../lab/proof-of-life.ts'
import { exitCode, type ExitCode } from '../exit.ts'
import { flowing } from '../help-text.ts'
import { addLabFlags, type LabFlags, specFromFlags } from '../lab-flags.ts'
import { err, formatOf, outJson, outLines } from '../output.ts'
import { paint } from '../render/paint.ts'
import { table } from '../render/table.ts'
import { evacuate } from './evacuate.ts'
import { interruptible } from './lab.ts'

interface DemoFlags extends LabFlags {
  readonly policy: string
  readonly keep?: boolean
  readonly output?: string
}

/** Guests are watched at rest this long, to know the noise of this machine. @unit ms */
const watchAtRest = 4_000
/** And after the last switchover, to see that they go on. @unit ms */
const watchAfter = 3_000

export function addDemo(program: Program): void {
  addLabFlags(
    program
      .command('demo')
      .summary('watch real guests leave a dying site, on this machine')
      .description(
        flowing(`Brings up a lab (twelve QEMU guests in site a, site b safe, a WAN between them), evacuates a to b with a live view, proves by
each guest's own ticks that it went on running, prints the report, and takes everything down again. Needs root.`),
      ),
    'demo',
  )
    .option('--policy <name>', `one of ${policyNames.join(', ')}`, defaultPolicy)
    .option('--keep', 'leave the lab up afterwards, and say what to try')
    .option('-o, --output <format>', 'text, or json: then only the report goes to standard output')
    .action(async (flags: DemoFlags) => {
      process.exitCode = await demo(flags)
    })
}

async function demo(flags: DemoFlags): Promise<ExitCode> {
  const json = formatOf(flags.output, ['text', 'json']) === 'json'
  policyByName(flags.policy)
  const spec = specFromFlags(flags)
  const clock = realClock()
  // From here to the end of `finally`, whatever was made is taken away: by interrupts and by errors too.
  await interruptible(signal => labUp(spec, { root: flags.root, clock, onProgress: err }, signal))
  const life = followGuests(flags.root, spec, clock)
  try {
    err(`watching the guests at rest for ${showTime(watchAtRest)} …`)
    await interruptible(signal => clock.sleep(ms(watchAtRest), signal))
    const noise = life.baseline()
    const config = loadConfig(configFile(flags.root, spec.name), {})
    const hosts = openHosts(config.config, clock)
    const [from, ...to] = spec.sites.map(({ id }) => String(id))
    let code: ExitCode
    try {
      code = await evacuate({ ...config, clock, hosts }, from ?? '', {
        to,
        policy: flags.policy,
        yes: true,
        quiet: json,
      })
    } finally {
      await hosts.close()
    }
    if (code === exitCode.interrupted) return code
    await interruptible(signal => clock.sleep(ms(watchAfter), signal))
    const past = newestReport(config.stateDir)
    const proven = prove(life, noise, past.report)
    if (json) outJson(past.report)
    ;(json ? errLines : outLines)(['', ...proven.lines])
    const kept = keepJournal(flags.root, past.file, past.report.evacuation)
    err(
      `The journal is kept: npx lifeboat report ${kept}    npx lifeboat explain ${spec.guests[0]?.vm ?? 'vm-1'} ${kept}`,
    )
    if (flags.keep === true) tellWhatToTry(flags, spec)
    return proven.ok ? code : exitCode.partly
  } finally {
    await life.stop()
    if (flags.keep !== true && labExists(flags.root, spec.name)) {
      err('taking the lab down …')
      await labDown(flags.root, spec.name, clock, AbortSignal.timeout(120_000))
    }
  }
}

const errLines = (lines: readonly string[]): void => err(lines.join('\n'))

/** Journals of demos are kept beside the labs, the newest few. */
const journalsKept = 20

function keepJournal(root: string, file: string, id: string): string {
  const folder = join(root, '.journals')
  mkdirSync(folder, { recursive: true })
  const kept = join(folder, `${id}.db`)
  copyFileSync(file, kept)
  const byAge = readdirSync(folder)
    .map(name => ({ path: join(folder, name), at: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at)
  for (const { path } of byAge.slice(journalsKept)) rmSync(path, { force: true })
  return kept
}

function newestReport(stateDir: string): { readonly report: Report; readonly file: string } {
  const id = listEvacuations(stateDir).at(-1)
  if (id === undefined) throw new Error('the evacuation left no journal')
  const file = journalOf(stateDir, id)
  const reader = readJournal(file)
  const state = replay(reader.read(0), undefined)
  reader.close()
  if (state === undefined) throw new Error('the journal of the evacuation is empty')
  return { report: reportOf(state), file }
}

/** A guest's ticks may be late by its downtime, by half a period of chance, and by the noise this machine showed at rest. */
function prove(
  life: ProofOfLife,
  noise: number,
  report: Report,
): { readonly ok: boolean; readonly lines: readonly string[] } {
  const tolerance = tickPeriod / 2 + noise
  const guests = life.report(Number.POSITIVE_INFINITY)
  const judged = guests.map(guest => judge(guest, report, tolerance))
  const ok = judged.every(({ fine }) => fine)
  const right = 'right' as const
  const lines = [
    `Proof by the guests' own ticks, one a second, numbered (tolerance ${showTime(tolerance)}: half a period, and ${showTime(noise)} seen at rest):`,
    ...table(
      [
        { title: 'VM' },
        { title: 'ticks on' },
        { title: 'ticks', align: right },
        { title: 'longest gap', align: right },
        { title: 'downtime', align: right },
        { title: 'verdict' },
      ],
      judged.map(({ guest, downtime, fine, verdict }) => [
        guest.vm,
        guest.host ?? '–',
        String(guest.ticks),
        showTime(guest.longestGap?.length ?? 0),
        downtime === null ? '–' : showTime(downtime),
        (fine ? paint.good : paint.bad)(verdict),
      ]),
    ),
    ok
      ? paint.good(
          `All ${guests.length} guests went on: no tick missing, none repeated, no gap longer than the downtime.`,
        )
      : paint.bad('Not every guest went on as it should.'),
  ]
  return { ok, lines }
}

function judge(guest: GuestLife, report: Report, tolerance: number) {
  const downtime = report.vms.find(vm => vm.vm === guest.vm)?.downtimeMs ?? null
  const gap = guest.longestGap?.length ?? 0
  const late = gap > (downtime ?? 0) + tolerance
  const verdict = guest.verdict !== 'alive' ? guest.verdict : late ? 'gap' : 'alive'
  return { guest, downtime, verdict, fine: verdict === 'alive' }
}

function tellWhatToTry(flags: DemoFlags, spec: LabSpec): void {
  const [a, b] = spec.sites.map(({ id }) => id)
  err(`
The lab "${spec.name}" is still up. Try:
  export LIFEBOAT_CONFIG=${configFile(flags.root, spec.name)}
  npx lifeboat inventory                         who runs where
  npx lifeboat report                            this evacuation again
  npx lifeboat explain ${spec.guests[0]?.vm ?? 'vm-1'}                      the story of one VM
  npx lifeboat evacuate ${b} --to ${a} --policy fixed:3   all the way back
  npx lifeboat lab wan ${a} ${b} --capacity 30Mbit/s --name ${spec.name}
  npx lifeboat lab cut ${a} ${b} --name ${spec.name}
  npx lifeboat lab down --name ${spec.name}             when you are done`)
}
