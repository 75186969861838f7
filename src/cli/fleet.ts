/** What most commands begin with: the configuration, the clock, the hosts, and names checked against them. */
import { existsSync } from 'node:fs'
import type { LoadedConfig } from '../config/load-config.ts'
import { loadConfig } from '../config/load-config.ts'
import { type SiteId, siteId } from '../core/ids.ts'
import type { Snapshot } from '../core/inventory/snapshot.ts'
import { knownBefore } from '../engine/known-before.ts'
import type { Milliseconds } from '../core/units.ts'
import { type Hosts, openHosts } from '../engine/open-hosts.ts'
import { realClock } from '../engine/real-clock.ts'
import { takeSnapshot, type Taken } from '../engine/take-snapshot.ts'
import { historyFile } from '../monitor/history.ts'
import { HistoryRecorder } from '../monitor/history-recorder.ts'
import type { Clock } from '../time/clock.ts'
import { err } from './output.ts'
import { CliError, exitCode, usageError } from './exit.ts'

export interface Fleet extends LoadedConfig {
  readonly clock: Clock
  readonly hosts: Hosts
}

/** Runs `use` with the fleet, and closes what was opened whatever happens. */
export async function withFleet<T>(config: string | undefined, use: (fleet: Fleet) => Promise<T>): Promise<T> {
  const loaded = loadConfig(config, process.env)
  const clock = realClock()
  const hosts = openHosts(loaded.config, clock)
  try {
    return await use({ ...loaded, clock, hosts })
  } finally {
    await hosts.close()
  }
}

/** @throws CliError naming the sites there are */
export function siteNamed(fleet: Pick<Fleet, 'config' | 'file'>, name: string): SiteId {
  const known = fleet.config.sites.map(site => String(site.name))
  if (!known.includes(name)) throw usageError(`no site is named "${name}"; ${fleet.file} has: ${known.join(', ')}`)
  return siteId(name)
}

export interface Question {
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
}

/** `SITE --to SITE…`; without `--to`, every site marked safe. */
export function questionOf(fleet: Pick<Fleet, 'config' | 'file'>, site: string, to: readonly string[]): Question {
  const endangered = siteNamed(fleet, site)
  const targets =
    to.length > 0
      ? to.map(name => siteNamed(fleet, name))
      : fleet.config.sites.filter(({ safe }) => safe).map(({ name }) => name)
  if (targets.includes(endangered)) {
    if (to.length > 0) throw usageError(`${site} cannot be evacuated to itself`)
    throw usageError(`${site} is marked safe in ${fleet.file}; name the targets with --to`)
  }
  if (targets.length === 0) throw usageError(`no site is marked safe in ${fleet.file}; name the targets with --to SITE`)
  return { endangered: [endangered], targets: [...new Set(targets)] }
}

/** @throws CliError when two running VMs share a name */
export async function snapshotOf(fleet: Fleet, signal: AbortSignal): Promise<Taken> {
  const taken = await takeSnapshot(fleet.config, fleet.hosts, fleet.clock, signal)
  if (taken.ambiguous.length > 0) {
    throw new CliError(
      exitCode.refused,
      `these names are used by VMs on more than one host: ${taken.ambiguous.join(', ')}. Rename one of each; no flag allows this.`,
    )
  }
  return { ...taken, snapshot: withPriors(fleet, taken.snapshot) }
}

/** What runs the VMs that leave: of a site with both, what most of its hosts have. */
export function worldOf({ config }: Pick<Fleet, 'config'>, endangered: readonly SiteId[]): 'qemu' | 'libvirt' {
  const hosts = config.sites.filter(({ name }) => endangered.includes(name)).flatMap(site => site.hosts)
  return hosts.filter(({ uri }) => uri.kind === 'libvirt').length * 2 > hosts.length ? 'libvirt' : 'qemu'
}

/** What the operator knows of the time there is. @param deadline from now on */
export const within = (snapshot: Snapshot, deadline: Milliseconds | undefined): Snapshot =>
  deadline === undefined ? snapshot : { ...snapshot, deadline }

/** Of paths that lifeboat.yaml says little of, what was measured before. */
export function withPriors({ stateDir, clock }: Fleet, snapshot: Snapshot): Snapshot {
  const file = historyFile(stateDir)
  if (!existsSync(file)) return snapshot
  const history = new HistoryRecorder(file, message => err(`warning: ${message}`))
  try {
    return knownBefore(snapshot, path => history.priorOf(path, clock.now()))
  } finally {
    history.close()
  }
}
