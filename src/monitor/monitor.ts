/**
 * The monitor: reads the hosts it is given, once a second where they send, asks for a few echoes at rest and beside neighbours, and folds
 * what comes into the state of every path (core/network/). One host's trouble is that host's: it is shown as silent, with the reason, and
 * asked again.
 *
 * The engine runs it beside its executor (run-evacuation.ts) and makes facts of `links()` and `hosts()` (engine/network-facts.ts): facts are
 * journaled, so they are few. It never throws into the loop, never waits for a host longer than its deadline, and starts nothing on a host
 * that outlives the session. What was measured before, for paths of which the configuration says nothing, is `History.priorOf` (history.ts).
 */
import type { HostId } from '../core/ids.ts'
import { plus } from '../core/instant.ts'
import { hostsOf, linksOf } from '../core/network/conclude-links.ts'
import type { HostState, LinkState } from '../core/network/link-state.ts'
import type { Link, NetworkMap } from '../core/network/network-map.ts'
import { emptyNetwork, hostMemory, linkMemory, type NetworkState } from '../core/network/network-memory.ts'
import {
  observeAddresses,
  observePing,
  observeReading,
  observeSilence,
  observeThroughput,
} from '../core/network/network-state.ts'
import {
  type HostReading,
  isKnown,
  type NotKnown,
  type PingReading,
  type ThroughputReading,
} from '../core/network/reading.ts'
import { type Milliseconds, ms } from '../core/units.ts'
import type { Remote } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { isNumericAddress, mostNames } from './discover.ts'
import { HostReader } from './host-reader.ts'
import { pingFrom, type PingTarget } from './light-probe.ts'

export interface MonitoredHost {
  readonly host: HostId
  /** Undefined with the reason where no shell is to be had. */
  readonly remote: Remote | NotKnown
  /** Where others reach it for migrations. */
  readonly address: string
  /** Each second when left out. What is read more seldom than {@link freshFor} has no present state half of the time. */
  readonly readEvery?: Milliseconds
}

/** What was just folded. */
export type Seen =
  | { readonly kind: 'reading'; readonly reading: HostReading }
  | { readonly kind: 'silence'; readonly host: HostId; readonly why: string }
  | { readonly kind: 'ping'; readonly ping: PingReading }
  | { readonly kind: 'throughput'; readonly throughput: ThroughputReading }

export interface MonitorOptions {
  readonly clock: Clock
  readonly map: NetworkMap
  readonly hosts: readonly MonitoredHost[]
  /** Called after each fold. Must not throw. */
  readonly onSeen: (seen: Seen, monitor: Monitor) => void
}

/** What the engine needs of a monitor, and what a test can stand in for. */
export interface NetworkMonitor {
  /** Until the signal aborts. Never rejects for a host's trouble. */
  run(signal: AbortSignal): Promise<void>
  /** Every path as it is now. */
  links(): readonly LinkState[]
  /** Every host it reads, silent ones included. */
  hosts(): readonly HostState[]
}

const readEvery = ms(1_000)
/** At rest; and where other people share a path that we use, so that their queue is told from ours. @unit ms */
const pingEvery = ms(30_000)
const pingSharedEvery = ms(2_000)
/** Five echoes, the slowest two seconds late, over a slow connection. */
const pingsWithin = ms(15_000)
/** The first echoes wait until hosts had a chance to answer. */
const firstPingAfter = ms(500)

export class Monitor implements NetworkMonitor {
  readonly #options: MonitorOptions
  readonly #readers: readonly { readonly reader: HostReader; readonly every: Milliseconds }[]
  #state: NetworkState

  constructor(options: MonitorOptions) {
    this.#options = options
    this.#state = emptyNetwork(options.map)
    const read = options.hosts.filter(({ remote }) => isKnown(remote))
    /** Where ways lead to, those that are read first. Each host begins with others: all together know more names than one looks up. */
    const peersOf = (host: HostId): readonly string[] => {
      const others = options.hosts.filter(other => options.map.linkOf(host, other.host) !== undefined)
      const first = read.findIndex(each => each.host === host) * mostNames
      return [true, false].flatMap(isRead => {
        const some = others.filter(({ remote }) => isKnown(remote) === isRead).map(({ address }) => address)
        const from = some.length === 0 ? 0 : first % some.length
        return [...some.slice(from), ...some.slice(0, from)]
      })
    }
    this.#readers = options.hosts.flatMap(({ host, remote, readEvery: every = readEvery }) =>
      isKnown(remote)
        ? [{ reader: new HostReader({ host, remote, clock: options.clock, peers: peersOf(host) }), every }]
        : [],
    )
    for (const { host, remote, address } of options.hosts) {
      this.#state = observeAddresses(this.#state, host, [address])
      if (!isKnown(remote)) this.#state = observeSilence(this.#state, host, remote.why, options.clock.now())
    }
  }

  get state(): NetworkState {
    return this.#state
  }
  links(): readonly LinkState[] {
    const links = linksOf(this.#state, this.#options.clock.now())
    const unknown = this.#hostsWithoutAddress()
    if (unknown.length === 0) return links
    return links.map(state => ({
      ...state,
      remarks: [
        ...state.remarks,
        ...unknown
          .filter(({ host }) => state.link.targets.includes(host))
          .map(
            ({ host, address }) =>
              `migrations to ${host} count as others': no host that is read can look up its address ${address}; set migrationAddress`,
          ),
      ],
    }))
  }
  hosts(): readonly HostState[] {
    const names = this.#options.hosts.map(({ host }) => host)
    return hostsOf(this.#state, names, this.#options.clock.now())
  }

  /** Until the signal aborts; then every session is closed and this resolves. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await Promise.all([
        ...this.#readers.map(({ reader, every }) => this.#follow(reader, every, signal)),
        this.#askForEchoes(signal),
      ])
    } finally {
      for (const { reader } of this.#readers) reader.close()
    }
  }

  /** The newest echoes over a path. */
  pingOf(link: Link): PingReading | undefined {
    return linkMemory(this.#state, link).ping
  }

  /** What a probe found, into the state. */
  observe(throughput: ThroughputReading): void {
    this.#state = observeThroughput(this.#state, throughput)
    this.#tell({ kind: 'throughput', throughput })
  }

  async #follow(reader: HostReader, every: Milliseconds, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    let due = clock.now()
    while (!signal.aborted) {
      try {
        const reading = await reader.read(signal)
        for (const [host, addresses] of this.#named(reader.addresses ?? new Map<string, readonly string[]>()))
          this.#state = observeAddresses(this.#state, host, addresses)
        this.#state = observeReading(this.#state, reading)
        this.#tell({ kind: 'reading', reading })
      } catch (error) {
        if (signal.aborted) return
        const why = error instanceof Error ? error.message : String(error)
        this.#state = observeSilence(this.#state, reader.host, why, clock.now())
        this.#tell({ kind: 'silence', host: reader.host, why })
      }
      // A late answer does not make the next ones come in a heap.
      due = plus(due, every)
      if (due < clock.now()) due = plus(clock.now(), ms(0))
      if (!(await this.#pause(ms(Math.max(1, due - clock.now())), signal))) return
    }
  }

  /** Those whose names nobody could look up, once somebody tried. */
  #hostsWithoutAddress(): readonly MonitoredHost[] {
    const tried = this.#readers.map(({ reader }) => reader).filter(({ addresses }) => addresses !== undefined)
    return this.#options.hosts.filter(
      ({ host, address }) =>
        !isNumericAddress(address) &&
        tried.some(reader => reader.host !== host) &&
        !tried.some(({ addresses }) => addresses?.has(address) === true),
    )
  }

  /** Addresses found for the names that hosts are configured with. */
  *#named(found: ReadonlyMap<string, readonly string[]>): Iterable<readonly [HostId, readonly string[]]> {
    for (const { host, address } of this.#options.hosts) {
      const addresses = found.get(address)
      if (addresses !== undefined) yield [host, addresses]
    }
  }

  async #askForEchoes(signal: AbortSignal): Promise<void> {
    if (!(await this.#pause(firstPingAfter, signal))) return
    /** One that hangs keeps no other from being asked. */
    const asked = new Map<HostId, Promise<void>>()
    do {
      const rounds = new Map<MonitoredHost, PingTarget[]>()
      for (const { link, flows } of this.links()) {
        if (!this.#isPingDue(link, flows)) continue
        const pair = this.pairFor(link)
        if (pair === undefined) continue
        rounds.set(pair.from, [...(rounds.get(pair.from) ?? []), { to: pair.to.host, address: pair.to.address }])
      }
      for (const [from, targets] of rounds) {
        if (asked.has(from.host)) continue
        asked.set(
          from.host,
          this.#ping(from, targets, signal).finally(() => asked.delete(from.host)),
        )
      }
    } while (await this.#pause(pingSharedEvery, signal))
    await Promise.all(asked.values())
  }

  #isPingDue(link: Link, flows: number): boolean {
    const before = this.pingOf(link)
    const isShared = (link.path.background ?? 0) > 0
    if (flows > 0) return isShared
    // Two at rest are as far apart as that, give or take the time that an answer takes.
    return before === undefined || this.#options.clock.now() - before.at >= pingEvery - pingSharedEvery / 2
  }

  async #ping(from: MonitoredHost, targets: readonly PingTarget[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    const { remote, host } = from
    if (!isKnown(remote)) return
    let pings: readonly PingReading[]
    try {
      pings = await withDeadline(clock, pingsWithin, `echoes from ${host}`, signal, inner =>
        pingFrom(remote, host, targets, () => clock.now(), inner),
      )
    } catch (error) {
      if (signal.aborted) return
      const why = `no echoes from ${host}: ${error instanceof Error ? error.message : String(error)}`
      pings = targets.map(({ to }) => ({ from: host, to, at: clock.now(), result: { why } }))
    }
    for (const ping of pings) {
      this.#state = observePing(this.#state, ping)
      this.#tell({ kind: 'ping', ping })
    }
  }

  /** A host at each end of a path that can be used to try it: one that answers, at its beginning. */
  pairFor(link: Link): { readonly from: MonitoredHost; readonly to: MonitoredHost } | undefined {
    const answers = (host: HostId): boolean => hostMemory(this.#state, host).silent === undefined
    const { hosts } = this.#options
    const sources = hosts.filter(({ host, remote }) => link.sources.includes(host) && isKnown(remote))
    const targets = hosts.filter(({ host }) => link.targets.includes(host))
    const ordered = [...targets.filter(({ host }) => answers(host)), ...targets]
    for (const from of sources.filter(({ host }) => answers(host))) {
      // Another, more exact path may be declared for some pairs.
      const to = ordered.find(each => this.#options.map.linkOf(from.host, each.host) === link)
      if (to !== undefined) return { from, to }
    }
    return undefined
  }

  #tell(seen: Seen): void {
    this.#options.onSeen(seen, this)
  }

  /** @returns false when the signal aborted */
  async #pause(span: Milliseconds, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#options.clock.sleep(span, signal)
      return true
    } catch (error) {
      if (signal.aborted) return false
      throw error
    }
  }
}
