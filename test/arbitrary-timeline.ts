/** Timelines for tests: anything that can happen in a world with these places, in order of time, now and then two at once. */
import * as fc from 'fast-check'
import type { HostId, SiteId, VmId } from '../src/core/ids.ts'
import type { Snapshot } from '../src/core/inventory/snapshot.ts'
import { type Ends, failsHow, type Happening, type PathChange, type Timeline } from '../src/core/sim/timeline.ts'
import { bytes, bytesPerSecond, megabitsPerSecond, ms, parseFraction } from '../src/core/units.ts'

export interface Places {
  readonly paths: readonly Ends[]
  readonly sites: readonly SiteId[]
  readonly hosts: readonly HostId[]
  readonly vms: readonly VmId[]
}

export const placesOf = ({ paths, sites, hosts, vms }: Snapshot): Places => ({
  paths: paths.map(({ from, to }) => [from, to]),
  sites: sites.map(({ id }) => id),
  hosts: hosts.map(({ id }) => id),
  vms: vms.map(({ id }) => id),
})

const maybe = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arb, { nil: undefined })
const arbTime = fc
  .oneof(
    fc.integer({ min: 0, max: 20 }).map(n => n * 30_000),
    fc.nat({ max: 3_600_000 }),
    fc.double({ min: 0, max: 1e9, noNaN: true }),
  )
  .map(ms)
const arbSomeTime = fc.oneof(fc.constantFrom(1, 500, 60_000), fc.double({ min: 0.001, max: 1e9, noNaN: true })).map(ms)
const arbSize = fc
  .oneof(
    fc.nat({ max: 64 }).map(n => n * 2 ** 30),
    fc.nat(),
  )
  .map(bytes)
/** A path that carries nothing is cut instead. */
const arbCapacity = fc
  .oneof(
    fc.integer({ min: 1, max: 10_000 }).map(n => n * 125_000),
    fc.double({ min: 0.001, max: 1e12, noNaN: true }),
  )
  .map(bytesPerSecond)
const arbShare = fc.nat({ max: 10_000 }).map(n => parseFraction(`${n / 100}%`))
const arbRate = fc.oneof(fc.constant(bytesPerSecond(0)), arbCapacity)

/** Objects like those of a parser, with the usual prototype. */
const plain = { noNullPrototype: true } as const

/** At least one thing changes. A loss is as it is read from a text: printed fractions are exact only to the last bits of a double. */
const arbChange: fc.Arbitrary<PathChange> = fc
  .record(
    {
      capacity: maybe(arbCapacity),
      rtt: maybe(arbTime),
      loss: maybe(fc.nat({ max: 10_000 }).map(n => parseFraction(`${n / 100}%`))),
      perFlow: maybe(arbCapacity),
      background: maybe(arbRate),
    },
    plain,
  )
  .map(change =>
    Object.values(change).every(value => value === undefined) ? { ...change, capacity: megabitsPerSecond(1) } : change,
  )

const kind = <K extends Happening['kind']>(name: K): fc.Arbitrary<K> => fc.constant(name)

function arbHappeningIn({ paths, sites, hosts, vms }: Places): fc.Arbitrary<Happening> {
  const one = <T>(all: readonly T[], what: (which: fc.Arbitrary<T>) => readonly fc.Arbitrary<Happening>[]) =>
    all.length === 0 ? [] : what(fc.constantFrom(...all))
  const eitherWay = paths.flatMap(([a, b]): readonly Ends[] => [
    [a, b],
    [b, a],
  ])
  return fc.oneof(
    fc.record({ kind: kind('crash'), lasts: arbTime }, plain),
    ...one(eitherWay, path => [
      fc.record({ kind: kind('path'), path, change: arbChange }, plain),
      fc.record({ kind: kind('path'), path, change: arbChange }, plain),
      fc.record({ kind: kind('cut'), path }, plain),
      fc.record({ kind: kind('heal'), path }, plain),
    ]),
    ...one(sites, site => [
      fc.record({ kind: kind('power'), site, runtime: arbTime }, plain),
      fc.record({ kind: kind('power-off'), site }, plain),
      fc.record({ kind: kind('endanger'), site }, plain),
    ]),
    ...one(hosts, host => [
      fc.record({ kind: kind('host-down'), host }, plain),
      fc.record({ kind: kind('occupied'), host, memory: arbSize }, plain),
      fc.record({ kind: kind('busy'), host, processors: arbShare }, plain),
    ]),
    ...one(vms, vm => [
      fc.record(
        {
          kind: kind('dirty'),
          vm,
          model: fc.record({ hot: arbSize, period: arbSomeTime, cold: arbRate }, plain),
        },
        plain,
      ),
      fc.record(
        {
          kind: kind('fail'),
          vm,
          how: fc.constantFrom(...failsHow),
          times: fc.oneof(fc.constantFrom(1, Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 1_000 })),
        },
        plain,
      ),
    ]),
  )
}

export const arbTimeline = (places: Places): fc.Arbitrary<Timeline> =>
  fc
    .array(
      fc.record({ at: arbTime, jitter: fc.oneof(fc.constant(ms(0)), arbTime), what: arbHappeningIn(places) }, plain),
      { maxLength: 12 },
    )
    .map(entries => entries.sort((a, b) => a.at - b.at))
