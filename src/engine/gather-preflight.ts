/**
 * Asks every host what the preflight wants to know: sources for their VMs and what they reach, targets for what they can take. A host
 * that is silent, or takes too long, is one of which nothing is known; it never stops the others.
 */
import type { Config, HostConfig } from '../config/config-schema.ts'
import type { HostId, SiteId } from '../core/ids.ts'
import type { HostProfile, SilentHost } from '../core/preflight/host-profile.ts'
import type { LinkProfile } from '../core/preflight/link-profile.ts'
import { migrationAddressOf } from '../config/migration-address.ts'
import type { PreflightFacts } from '../core/preflight/preflight.ts'
import type { TargetAnswer, VmProfile } from '../core/preflight/vm-profile.ts'
import { bytes, type Milliseconds, ms } from '../core/units.ts'
import { shellOf } from '../remote/host-shell.ts'
import { libvirtProbe } from '../hypervisor/libvirt/libvirt-probe.ts'
import type { PreflightProbe, ProbedHost } from '../hypervisor/preflight-probe.ts'
import { type Listener, openListener } from '../hypervisor/probe-listener.ts'
import { probeLinks } from '../hypervisor/probe-links.ts'
import { probeSystem } from '../hypervisor/probe-system.ts'
import { qemuProbe } from '../hypervisor/qemu/qemu-probe.ts'
import type { Remote } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { fewAtATime } from '../time/few-at-a-time.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { describeError } from './classify-error.ts'
import { connectUri } from './open-hosts.ts'
import type { Taken } from './take-snapshot.ts'

/** Hosts at one time: each is a connection, or two, and an ssh. */
const hostsAtOnce = 16
/** A host with a thousand VMs is asked some thousands of questions. */
const answersWithin = (vms: number): Milliseconds => ms(30_000 + vms * 100)
/** Ports that nobody answers for take 4 s, sixteen at a time. */
const triesWithin = (targets: number): Milliseconds => ms(45_000 + targets * 4_000)

const listenerWithin = ms(15_000)

export interface Question {
  readonly endangered: readonly SiteId[]
  readonly targets: readonly SiteId[]
}

export interface GatherOptions {
  readonly config: Config
  readonly taken: Taken
  readonly question: Question
  readonly clock: Clock
  /** Told what is being done, a line at a time. */
  readonly onProgress: (line: string) => void
}

interface Asked {
  readonly about: ProbedHost
  readonly why: string
  readonly probe: PreflightProbe
  readonly remote: Remote | undefined
}

/** A host that answered at first, and how. */
interface Heard {
  readonly asked: Asked
  readonly profile: HostProfile
}

export async function gatherPreflight(options: GatherOptions, signal: AbortSignal): Promise<PreflightFacts> {
  const { config, taken, question, clock, onProgress } = options
  const { endangered, targets } = question
  const concerned = config.sites.filter(({ name }) => endangered.includes(name) || targets.includes(name))
  const down = new Map(taken.snapshot.unreachable.map(({ host, why }) => [host, why]))
  const silent: SilentHost[] = []
  const all = concerned.flatMap(site => site.hosts.map(host => ({ site: site.name, host })))
  const asked = all.flatMap(({ site, host }): readonly Asked[] => {
    const why = down.get(host.name)
    if (why === undefined) return [askable(host, site, targets.includes(site), taken, clock)]
    silent.push({ id: host.name, site, why })
    return []
  })
  const bounded = async <T>(each: Asked, limit: Milliseconds, op: (inner: AbortSignal) => Promise<T>) => {
    try {
      return await withDeadline(clock, limit, `host ${each.about.id}`, signal, op)
    } catch (error) {
      signal.throwIfAborted()
      if (!silent.some(({ id }) => id === each.about.id))
        silent.push({ id: each.about.id, site: each.about.site, why: describeError(error) })
      return undefined
    }
  }
  try {
    onProgress(`asking ${asked.length} hosts what they are`)
    const heard = (
      await fewAtATime(hostsAtOnce, asked, each =>
        bounded(each, answersWithin(0), async (inner): Promise<Heard> => {
          const seen = await probeSystem(each.remote, each.why, clock, inner)
          return { asked: each, profile: await each.probe.host(seen, inner) }
        }),
      )
    ).filter(each => each !== undefined)
    const sources = heard.filter(({ profile }) => endangered.includes(profile.site))
    const receivers = heard.filter(({ profile }) => targets.includes(profile.site))
    const vms = await vmsOf(sources, taken, bounded, onProgress)
    const [answers, links] = await Promise.all([
      answersOf(receivers, vms, bounded, onProgress),
      linksOf(sources, receivers, bounded, onProgress),
    ])
    const lost = new Set(silent.map(({ id }) => id))
    return {
      snapshot: { ...taken.snapshot, unreachable: silent.map(({ id, why }) => ({ host: id, why })) },
      endangered,
      targets,
      hosts: heard.map(({ profile }) => profile).filter(({ id }) => !lost.has(id)),
      silent,
      vms,
      links,
      answers,
    }
  } finally {
    await Promise.allSettled(asked.map(({ probe }) => probe.close()))
    await Promise.allSettled(asked.map(({ remote }) => remote?.close() ?? Promise.resolve()))
  }
}

type Bounded = <T>(each: Asked, limit: Milliseconds, op: (inner: AbortSignal) => Promise<T>) => Promise<T | undefined>

async function vmsOf(
  sources: readonly Heard[],
  { listings, snapshot }: Taken,
  bounded: Bounded,
  onProgress: (line: string) => void,
): Promise<readonly VmProfile[]> {
  const living = new Set(snapshot.vms.map(({ id, host }) => `${host} ${id}`))
  const found = await fewAtATime(hostsAtOnce, sources, async ({ asked }) => {
    const { id } = asked.about
    const there = listings.filter(({ vm }) => vm.host === id && living.has(`${id} ${vm.id}`))
    if (there.length > 0) onProgress(`looking at ${there.length} VMs of ${id}`)
    return bounded(asked, answersWithin(there.length), inner => asked.probe.vms(there, inner))
  })
  return found.flatMap(each => each ?? [])
}

async function answersOf(
  receivers: readonly Heard[],
  vms: readonly VmProfile[],
  bounded: Bounded,
  onProgress: (line: string) => void,
): Promise<readonly TargetAnswer[]> {
  const found = await fewAtATime(hostsAtOnce, receivers, async ({ asked, profile }) => {
    onProgress(`asking ${profile.id} whether it could take ${vms.length} VMs`)
    const likes = vms.filter(({ host }) => host !== profile.id)
    return bounded(asked, answersWithin(likes.length), inner => asked.probe.answers(likes, inner))
  })
  return found.flatMap(each => each ?? [])
}

async function linksOf(
  sources: readonly Heard[],
  receivers: readonly Heard[],
  bounded: Bounded,
  onProgress: (line: string) => void,
): Promise<readonly LinkProfile[]> {
  const targets = receivers.map(({ profile }) => profile)
  const canTry = sources.filter(
    ({ asked: { remote }, profile }) => remote !== undefined && profile.system !== undefined,
  )
  if (canTry.length === 0 || targets.length === 0) return []
  const listeners = await listenersOf(receivers, bounded)
  try {
    const found = await fewAtATime(hostsAtOnce, canTry, async ({ asked, profile }) => {
      const { remote } = asked
      if (remote === undefined) return []
      onProgress(`trying the way from ${profile.id} to ${targets.length} host${targets.length === 1 ? '' : 's'}`)
      const listening = new Set(listeners.keys())
      return bounded(asked, triesWithin(targets.length), inner =>
        probeLinks(remote, profile, targets, listening, inner),
      )
    })
    return found.flatMap(each => each ?? [])
  } finally {
    // Under a deadline of its own: what was started is ended although the rest was aborted.
    const signal = AbortSignal.timeout(listenerWithin)
    await Promise.allSettled([...listeners.values()].map(listener => listener.stop(signal)))
  }
}

/** Those that answered but let nobody listen are tried all the same. */
async function listenersOf(receivers: readonly Heard[], bounded: Bounded): Promise<ReadonlyMap<HostId, Listener>> {
  const opened = await fewAtATime(hostsAtOnce, receivers, async ({ asked, profile }) => {
    const { remote } = asked
    if (remote === undefined || profile.system === undefined) return []
    const listener = await bounded(asked, listenerWithin, inner => openListener(remote, inner))
    return listener === undefined ? [] : [[profile.id, listener] as const]
  })
  return new Map(opened.flat())
}

function askable(host: HostConfig, site: SiteId, receives: boolean, { snapshot }: Taken, clock: Clock): Asked {
  const { uri } = host
  const id: HostId = host.name
  const shell = shellOf(host)
  const { remote } = shell
  const address = migrationAddressOf(host)
  const about: ProbedHost = {
    id,
    site,
    memory: snapshot.hosts.find(each => each.id === id)?.memory ?? bytes(0),
    address,
    connectUri: uri.kind === 'libvirt' ? connectUri(uri, address) : undefined,
    remote,
    receives,
  }
  const why = shell.remote === undefined ? shell.why : ''
  if (uri.kind === 'libvirt') return { about, why, remote, probe: libvirtProbe(uri.text, about, clock) }
  if (remote === undefined) throw new Error(`${id}: a plain QEMU host always has a shell`)
  return { about, why, remote, probe: qemuProbe(uri.folder, remote, about) }
}
