/** `lifeboat init URI…`: looks at what answers there, and writes a commented lifeboat.yaml. */
import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { type Command as Program, Option } from 'commander'
import { parseHostUri, UriError } from '../../config/host-uri.ts'
import { type MissedHost, starterConfig, type StarterSite } from '../../config/starter-config.ts'
import { isId } from '../../core/ids.ts'
import { showBytes } from '../../core/units.ts'
import { describeError } from '../../engine/classify-error.ts'
import { realClock } from '../../engine/real-clock.ts'
import { type DiscoveredHost, discoverHost } from '../../hypervisor/discover-host.ts'
import { fewAtATime } from '../../time/few-at-a-time.ts'
import { CliError, exitCode, type ExitCode, usageError } from '../exit.ts'
import { exampleCommand, groupsFrom, hostNames, likelySite } from '../group-sites.ts'
import { flowing } from '../help-text.ts'
import { whoami } from '../identity.ts'
import { err, out } from '../output.ts'
import { paint } from '../render/paint.ts'
import { table } from '../render/table.ts'

interface InitFlags {
  readonly site: readonly string[]
  readonly safe: readonly string[]
  readonly output: string
  readonly stdout?: boolean
  readonly force?: boolean
  readonly partial?: boolean
}

const askedAtOnce = 16

export function addInit(program: Program): void {
  program
    .command('init')
    .summary('look at your hosts, and write a commented lifeboat.yaml')
    .argument('[uri...]', 'hosts as virsh takes them (qemu+ssh://root@HOST/system), or plain QEMU hosts (qmp+ssh://…)')
    .description(
      flowing(`Looks at your hosts, changes nothing there, and writes a lifeboat.yaml with every option as a comment. On a terminal it asks
for what the flags do not say. It writes nothing when a host does not answer, unless --partial.`),
    )
    .addOption(
      new Option('--site <name=uri,uri>', 'the hosts of a site, any number of them; may be said again for others')
        .argParser(collect)
        .default([], 'you are asked, on a terminal'),
    )
    .addOption(
      new Option('--safe <site>', 'a site that receives VMs; may be said again, or several with commas')
        .argParser(collectMany)
        .default([], 'you are asked, on a terminal'),
    )
    .option('-o, --output <file>', 'where to write', 'lifeboat.yaml')
    .option('--stdout', 'write to standard output instead')
    .option('--force', 'write over a file that is there')
    .option('--partial', 'write what answered, although some hosts did not')
    .addHelpText(
      'after',
      `
Example:
  lifeboat init --site sendai=qemu+ssh://root@sendai-1/system --site osaka=qemu+ssh://root@osaka-1/system --safe osaka`,
    )
    .action(async (uris: readonly string[], flags: InitFlags) => {
      process.exitCode = await init(uris, flags)
    })
}

/** Not `<site...>`: that would take the URIs behind it for sites. */
const collectMany = (value: string, before: readonly string[]): readonly string[] => [
  ...before,
  ...value.split(',').filter(name => name !== ''),
]
const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

async function init(named: readonly string[], flags: InitFlags): Promise<ExitCode> {
  const groups = groupsFrom(flags.site)
  const siteOf = new Map([...groups].flatMap(([site, uris]) => uris.map(uri => [uri, site] as const)))
  const uris = [...new Set([...siteOf.keys(), ...named])]
  insistOnUris(uris)
  const file = resolve(flags.output)
  if (flags.stdout !== true && flags.force !== true && existsSync(file))
    throw new CliError(exitCode.refused, `${file} is there already; --force writes it over, -o names another file`)
  const open = uris.filter(uri => !siteOf.has(uri))
  const canAsk = process.stdin.isTTY && process.stderr.isTTY
  if (open.length > 0 && !canAsk) throw usageError(noSiteFor(open, uris, groups.size > 0))

  if (open.length === 0) insistOnSafe(new Set(siteOf.values()), flags.safe)
  const { found, missed } = await discoverAll(uris)
  if (found.length > 0) err(foundLines(found).join('\n'))
  if (missed.length > 0) {
    const told = missed.map(({ uri, why }) => `\n  ${uri}\n    ${why.replaceAll('\n', '\n    ')}`).join('')
    const head = `${missed.length} of ${uris.length} hosts did not answer:${told}`
    if (flags.partial !== true || found.length === 0)
      throw new CliError(
        exitCode.partly,
        `${head}\nNothing was written.${found.length === 0 ? '' : ' --partial writes the others, and these as comments.'}`,
      )
    err(`warning: ${head}`)
  }
  const sites = canAsk ? await askSites(found, siteOf) : siteOf
  const safe = await safeSites(sites, flags.safe, canAsk)
  const text = starterConfig(starterSites(found, sites, safe), missed, `made by lifeboat init for ${whoami()}`)
  if (flags.stdout === true) out(text.trimEnd())
  else writeFileSync(file, text, { mode: 0o644 })
  if (safe.size === 0) err('warning: no site is marked safe; mark one (safe: true), or name targets with --to')
  if (flags.stdout !== true) err(`Wrote ${file}. Next: lifeboat check`)
  return missed.length > 0 ? exitCode.partly : exitCode.asAsked
}

/** All that are wrong, at once. */
function insistOnUris(uris: readonly string[]): void {
  if (uris.length === 0)
    throw usageError('name your hosts: lifeboat init qemu+ssh://root@HOST/system …, or --site NAME=URI,URI')
  const wrong = uris.flatMap(uri => {
    try {
      parseHostUri(uri)
      return []
    } catch (error) {
      if (error instanceof UriError) return [error.message]
      throw error
    }
  })
  if (wrong.length > 0) throw usageError(wrong.join('\n'))
}

const noSiteFor = (open: readonly string[], uris: readonly string[], some: boolean): string =>
  `${some ? 'these hosts are in no site' : 'which host is in which site?'} There is no terminal to ask on, so say it with --site:\n${open
    .map(uri => `  ${uri}`)
    .join('\n')}\nlike this:\n  ${exampleCommand(uris)}`

async function discoverAll(
  uris: readonly string[],
): Promise<{ readonly found: readonly DiscoveredHost[]; readonly missed: readonly MissedHost[] }> {
  const clock = realClock()
  const stop = new AbortController()
  const interrupt = (): void => stop.abort(new CliError(exitCode.interrupted, 'interrupted; nothing was written'))
  process.once('SIGINT', interrupt)
  err(`asking ${uris.length} host${uris.length === 1 ? '' : 's'} …`)
  const missed: MissedHost[] = []
  try {
    const found = await fewAtATime(askedAtOnce, uris, async uri => {
      try {
        return await discoverHost(uri, clock, stop.signal)
      } catch (error) {
        stop.signal.throwIfAborted()
        missed.push({ uri, why: withoutPlace(describeError(error), uri) })
        return undefined
      }
    })
    return { found: found.filter(host => host !== undefined), missed }
  } finally {
    process.off('SIGINT', interrupt)
  }
}

const withoutPlace = (text: string, uri: string): string =>
  text.startsWith(`${uri}: `) ? text.slice(uri.length + 2) : text

const foundLines = (found: readonly DiscoveredHost[]): readonly string[] => {
  const right = 'right' as const
  const columns = [
    { title: 'host' },
    { title: 'version' },
    { title: 'memory', align: right },
    { title: 'running', align: right },
    { title: 'shut off', align: right },
    { title: 'uri' },
  ]
  const rows = found.map(({ hostname, version, memory, running, shutOff, uri }) => [
    hostname,
    version,
    showBytes(memory),
    String(running),
    String(shutOff),
    paint.dim(uri),
  ])
  return table(columns, rows)
}

/** On a terminal, host by host; an empty answer takes what is proposed. */
async function askSites(
  found: readonly DiscoveredHost[],
  known: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, string>> {
  const sites = new Map(known)
  const ask = createInterface({ input: process.stdin, output: process.stderr })
  try {
    for (const { uri, hostname } of found) {
      while (!sites.has(uri)) {
        const likely = likelySite(hostname)
        const answer = (await ask.question(`In which site is ${hostname} (${uri})? [${likely}] `)).trim() || likely
        if (isId(answer)) sites.set(uri, answer)
        else err('A name has letters, digits and . _ - @ :')
      }
    }
  } finally {
    ask.close()
  }
  return sites
}

function insistOnSafe(names: ReadonlySet<string>, wanted: readonly string[]): ReadonlySet<string> {
  const unknown = wanted.filter(name => !names.has(name))
  if (unknown.length > 0)
    throw usageError(`--safe ${unknown.join(', ')}: no such site; there are: ${[...names].join(', ')}`)
  return new Set(wanted)
}

async function safeSites(
  sites: ReadonlyMap<string, string>,
  said: readonly string[],
  canAsk: boolean,
): Promise<ReadonlySet<string>> {
  const names = new Set(sites.values())
  if (said.length > 0 || !canAsk) return insistOnSafe(names, said)
  const ask = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await ask.question(`Which sites are safe, of ${[...names].join(', ')}? (several with commas) `)
    return insistOnSafe(
      names,
      answer
        .split(',')
        .map(name => name.trim())
        .filter(name => name !== ''),
    )
  } finally {
    ask.close()
  }
}

function starterSites(
  found: readonly DiscoveredHost[],
  siteOf: ReadonlyMap<string, string>,
  safe: ReadonlySet<string>,
): readonly StarterSite[] {
  const names = [...new Set(found.flatMap(({ uri }) => siteOf.get(uri) ?? []))]
  const hosts = hostNames(
    found.map(({ hostname }) => hostname),
    new Set(names),
  )
  return names.map(site => ({
    name: site,
    safe: safe.has(site),
    hosts: found.flatMap((each, at) => {
      if (siteOf.get(each.uri) !== site) return []
      const { uri, memory, version, running, addressUnknown } = each
      const runs = `${running} VM${running === 1 ? ' runs' : 's run'}`
      return [{ name: hosts[at] ?? 'host', uri, memory, addressUnknown, found: `${version}; ${runs}` }]
    }),
  }))
}
