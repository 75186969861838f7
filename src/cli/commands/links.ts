/** `lifeboat links`: every path between sites, from what hosts already have: in use, by whom, RTT, loss, capacity; now and before. */
import { createLogUpdate } from 'log-update'
import type { Command as Program } from 'commander'
import { type Instant, plus } from '../../core/instant.ts'
import { hostMemory } from '../../core/network/network-memory.ts'
import type { Link } from '../../core/network/network-map.ts'
import { type Bytes, bytes, mebibytes, type Milliseconds, ms, showBytes, showRate, showTime } from '../../core/units.ts'
import { realClock } from '../../engine/real-clock.ts'
import { historyFile } from '../../monitor/history.ts'
import { HistoryRecorder } from '../../monitor/history-recorder.ts'
import { Monitor } from '../../monitor/monitor.ts'
import { type Monitored, monitoredFrom } from '../../monitor/monitored-config.ts'
import { type ProbeOutcome, probeLink } from '../../monitor/probe-link.ts'
import { loadConfig } from '../../config/load-config.ts'
import type { Clock } from '../../time/clock.ts'
import { exitCode, usageError } from '../exit.ts'
import { err, formatOf, out, outJson, outLines } from '../output.ts'
import { quantityOption } from '../quantity-option.ts'
import { linksLines, type ShownLink } from '../render/links-table.ts'

interface Flags {
  readonly watch?: boolean
  readonly probe?: boolean
  readonly every?: Milliseconds
  readonly probeBytes: Bytes
  readonly output?: string
}

/** Two readings of each host and a round of echoes are there by then, from those that answer. @unit ms */
const looksAtMost = 8_000
const looksAtLeast = 2_200
/** Of one probe. */
const probeTime = ms(5_000)
const repaintEvery = ms(1_000)
/** What was before changes slowly. */
const askHistoryEvery = ms(60_000)
/** Where nobody repaints, a table now and then. @unit frames */
const tableEvery = 10

export function addLinks(program: Program): void {
  program
    .command('links')
    .summary('show every path between sites: what it carries, for whom, RTT, loss, and what it was before')
    .description(
      `Reads what hosts already have (ss, /proc, ping), over the connection they are reached by; nothing is installed.

"in use" and "by others" count all bytes of the interfaces of the hosts where a path begins; "by us" are migrations over it.

"measured" is what went through while a queue stood on the path (all there is), or at least (≥) that much.

What is seen is kept in network.db in the state folder, and shown as "before".`,
    )
    .option('--watch', 'go on, a reading a second, until Ctrl-C')
    .option(
      '--probe',
      'send a short stream over each path that no migration uses; it ends at the first sign of a queue',
    )
    .addOption(quantityOption('--every <time>', 'time', 'with --watch --probe: probe again, like 6h'))
    .addOption(quantityOption('--probe-bytes <size>', 'size', 'a probe sends at most this much', '64MiB'))
    .option('-o, --output <format>', 'text or json; with --watch: text or ndjson')
    .action(async (flags: Flags, command: Program) => {
      const format = formatOf(flags.output, flags.watch === true ? ['text', 'ndjson'] : ['text', 'json'])
      if (flags.every !== undefined && (flags.watch !== true || flags.probe !== true))
        throw usageError('--every says how often to probe: use it with --watch --probe')
      if (flags.every !== undefined && flags.every < 60_000)
        throw usageError(`--every ${showTime(flags.every)}: a probe fills a path for a moment; at most one a minute`)
      if (flags.probeBytes < mebibytes(1)) throw usageError('--probe-bytes: at least 1MiB, less says nothing of a path')
      const loaded = loadConfig(command.optsWithGlobals<{ config?: string }>().config, process.env)
      const clock = realClock()
      const monitored = monitoredFrom(loaded.config)
      const history = new HistoryRecorder(historyFile(loaded.stateDir), message => err(`warning: ${message}`))
      const stop = new AbortController()
      const onSignal = (): void => stop.abort(new Error('interrupted'))
      process.once('SIGINT', onSignal)
      process.once('SIGTERM', onSignal)
      const view = new LinksView(monitored, history, clock)
      const running = view.monitor.run(stop.signal)
      try {
        await view.settle(stop.signal)
        if (flags.watch === true) await watch(view, flags, format === 'ndjson', stop.signal)
        else {
          const outcomes = flags.probe === true ? await probeAll(view, flags, stop.signal) : []
          if (format === 'json') outJson(view.json(outcomes))
          else outLines(view.lines())
        }
        const silent = view.monitor.hosts().some(host => host.silent !== undefined)
        process.exitCode = silent ? exitCode.partly : exitCode.asAsked
      } catch (error) {
        if (!stop.signal.aborted) throw error
        process.exitCode = flags.watch === true ? exitCode.asAsked : exitCode.interrupted
      } finally {
        stop.abort(new Error('over'))
        await running
        history.close()
        await monitored.close()
        process.off('SIGINT', onSignal)
        process.off('SIGTERM', onSignal)
      }
    })
}

class LinksView {
  readonly monitor: Monitor
  readonly monitored: Monitored
  readonly clock: Clock
  readonly #history: HistoryRecorder
  readonly #before = new Map<string, Pick<ShownLink, 'prior' | 'lastHour'>>()
  #askAgain: Instant

  constructor(monitored: Monitored, history: HistoryRecorder, clock: Clock) {
    this.monitored = monitored
    this.clock = clock
    this.#history = history
    this.#askAgain = clock.now()
    this.monitor = new Monitor({
      clock,
      map: monitored.map,
      hosts: monitored.hosts,
      onSeen: (seen, monitor) =>
        seen.kind === 'throughput'
          ? history.recordNow(monitor.links(), clock.now())
          : history.record(() => monitor.links(), clock.now()),
    })
  }

  /** Until every host has answered twice or is known not to, and echoes came back; or long enough. */
  async settle(signal: AbortSignal): Promise<void> {
    const { clock, monitor, monitored } = this
    const begun = clock.now()
    const settled = (): boolean =>
      monitored.hosts.every(({ host }) => {
        const { silent, readings } = hostMemory(monitor.state, host)
        return silent !== undefined || readings > 0
      }) &&
      monitor
        .links()
        .every(
          ({ link, rtt }) =>
            typeof rtt === 'number' || monitor.pingOf(link) !== undefined || monitor.pairFor(link) === undefined,
        )
    while (clock.now() - begun < looksAtLeast || (!settled() && clock.now() - begun < looksAtMost))
      await clock.sleep(ms(100), signal)
  }

  shown(): readonly ShownLink[] {
    const now = this.clock.now()
    if (now >= this.#askAgain) {
      this.#askAgain = plus(now, askHistoryEvery)
      for (const { link } of this.monitor.links()) {
        const prior = this.#history.priorOf(link.path, now)
        this.#before.set(link.name, { prior, lastHour: this.#history.minutesOf(link.path, 60, now) })
      }
    }
    return this.monitor
      .links()
      .map(state => ({ state, ...(this.#before.get(state.link.name) ?? { prior: undefined, lastHour: [] }) }))
  }

  lines(): readonly string[] {
    return linksLines(this.shown(), this.monitor.hosts(), process.stdout.isTTY ? process.stdout.columns : 1_000)
  }

  json(probes: readonly ProbeOutcome[]): object {
    return {
      at: this.clock.now(),
      links: this.shown().map(({ state: { link, ...state }, prior }) => {
        const { from, to, ...configured } = link.path
        return { name: link.name, from, to, configured, ...state, prior: prior ?? null }
      }),
      hosts: this.monitor.hosts(),
      ...(probes.length === 0 ? {} : { probes }),
    }
  }
}

/** One after the other: two at once would be each other's queue. */
async function probeAll(view: LinksView, flags: Flags, signal: AbortSignal): Promise<readonly ProbeOutcome[]> {
  const links = view.monitored.map.links.filter(link => !withinOne(link))
  if (links.length === 0) {
    err('nothing to probe: there is one site')
    return []
  }
  const all = bytes(flags.probeBytes * links.length)
  err(
    `probing ${links.length === 1 ? 'one path' : `${links.length} paths, one after the other`}: at most ${showBytes(flags.probeBytes)} and ${showTime(probeTime)} each, ${showBytes(all)} in all; each ends at the first sign of a queue`,
  )
  const outcomes: ProbeOutcome[] = []
  for (const link of links) {
    const limits = { bytes: flags.probeBytes, time: probeTime }
    const outcome = await probeLink(view.monitor, link, limits, view.clock, signal)
    outcomes.push(outcome)
    err(sentenceOfProbe(outcome))
  }
  return outcomes
}

/** A path whose ends share a host joins no two places. */
const withinOne = (link: Link): boolean => link.sources.some(host => link.targets.includes(host))

function sentenceOfProbe(outcome: ProbeOutcome): string {
  if ('why' in outcome) return `  ${outcome.link}: not probed: ${outcome.why}`
  const { reading } = outcome
  const rate = `${reading.bound === 'full' ? '' : 'at least '}${showRate(reading.rate)}`
  return `  ${outcome.link}: ${rate} (${showBytes(reading.sent)} in ${showTime(reading.took)}, ended by ${reading.stoppedBy})`
}

async function watch(view: LinksView, flags: Flags, ndjson: boolean, signal: AbortSignal): Promise<void> {
  const { clock } = view
  const terminal = !ndjson && process.stdout.isTTY && process.env['TERM'] !== 'dumb'
  const update = terminal ? createLogUpdate(process.stdout, { showCursor: false }) : undefined
  let probeDue = flags.probe === true ? clock.now() : undefined
  try {
    for (let frame = 0; ; frame += 1) {
      signal.throwIfAborted()
      if (probeDue !== undefined && clock.now() >= probeDue) {
        probeDue = flags.every === undefined ? undefined : plus(clock.now(), flags.every)
        update?.clear()
        await probeAll(view, flags, signal)
      }
      if (ndjson) out(JSON.stringify(view.json([])))
      else if (update !== undefined) update(view.lines().join('\n'))
      else if (frame % tableEvery === 0) outLines([...view.lines(), ''])
      await clock.sleep(repaintEvery, signal)
    }
  } finally {
    update?.done()
  }
}
