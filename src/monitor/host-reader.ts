/** Reads one host: opens the session, learns which interfaces count, then asks. Learns anew every some minutes, and in a new shell. */
import type { HostId } from '../core/ids.ts'
import { between, type Instant } from '../core/instant.ts'
import type { HostReading } from '../core/network/reading.ts'
import { ms } from '../core/units.ts'
import type { Remote } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { discoverCommand, discoverPrelude, interfacesFrom, namesFrom, routesCommand } from './discover.ts'
import { HostSession } from './host-session.ts'
import { type CountedInterfaces, readingCommand, readingFrom, readingPrelude } from './reading-script.ts'

export interface HostReaderOptions {
  readonly host: HostId
  readonly remote: Remote
  readonly clock: Clock
  /** Where the others are reached: addresses or names. */
  readonly peers: readonly string[]
}

/** One reading: a round trip, and a host that has much to do. */
const readsWithin = ms(5_000)
/** Looking up names may take long where a name server is down. */
const discoversWithin = ms(15_000)
const discoverEvery = 600_000

export class HostReader {
  readonly host: HostId
  readonly #options: HostReaderOptions
  readonly #session: HostSession
  #interfaces: CountedInterfaces = new Map()
  #addresses: ReadonlyMap<string, readonly string[]> | undefined
  #discovered: { readonly at: Instant; readonly start: number } | undefined

  constructor(options: HostReaderOptions) {
    this.host = options.host
    this.#options = options
    const { remote, clock } = options
    this.#session = new HostSession({ remote, clock, prelude: readingPrelude + discoverPrelude })
  }

  /** What stands behind the peers' names, as far as this host knows; undefined before it was asked. */
  get addresses(): ReadonlyMap<string, readonly string[]> | undefined {
    return this.#addresses
  }

  /** @throws SessionLost, DeadlineExceeded, HostUnreachable, CommandUnavailable, or the signal's reason */
  async read(signal: AbortSignal): Promise<HostReading> {
    const { clock, host } = this.#options
    const known = this.#discovered
    if (known === undefined || known.start !== this.#session.starts || between(known.at, clock.now()) > discoverEvery)
      await this.#discover(signal)
    const { mark, text } = await this.#session.run(readingCommand(this.#interfaces.keys()), readsWithin, signal)
    return readingFrom({ host, mark, text, receivedAt: clock.now(), interfaces: this.#interfaces })
  }

  close(): void {
    this.#session.close()
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const { peers, clock } = this.#options
    const devices = await this.#session.run(discoverCommand(peers), discoversWithin, signal)
    const named = namesFrom(devices.text, devices.mark)
    this.#addresses = named
    const addresses = peers.flatMap(peer => named.get(peer) ?? [peer])
    const routes = await this.#session.run(routesCommand([...new Set(addresses)]), discoversWithin, signal)
    this.#interfaces = interfacesFrom(devices.text, devices.mark, routes.text, routes.mark)
    this.#discovered = { at: clock.now(), start: this.#session.starts }
  }
}
