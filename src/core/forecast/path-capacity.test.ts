import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../../test/arbitraries.ts'
import { instant } from '../instant.ts'
import {
  beginTrial,
  mayRaiseCap,
  mayTryFewer,
  mayTryMore,
  observe,
  offered,
  type PathEstimate,
  type PathObservation,
  squeezes,
  unobserved,
} from './path-capacity.ts'

type Look = readonly [at: number, goodput: number, greedy?: 'held back']

const observation = ([at, goodput, greedy]: Look): PathObservation => ({
  at: instant(at * 1000),
  goodput,
  flows: 1,
  fastest: goodput,
  greedy: greedy === undefined,
})
const after = (known: number | undefined, ...looks: readonly Look[]): PathEstimate =>
  looks.reduce((estimate, look) => observe(estimate, observation(look)), unobserved(known))
const capacity = (known: number | undefined, ...looks: readonly Look[]): number | undefined =>
  after(known, ...looks).capacity

/** A look each second at a path that a flow without a cap fills. */
const greedily = (from: number, lasts: number, rate: number): readonly Look[] =>
  Array.from({ length: lasts }, (_, n): Look => [from + n, rate])

const arbLooks = fc
  .array(
    fc.record({
      after: fc.constantFrom(0, 1, 1, 1, 2, 5, 15),
      goodput: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e10, noNaN: true })),
      greedy: fc.boolean(),
    }),
    { maxLength: 40 },
  )
  .map(steps => {
    let now = 0
    return steps.map((step): Look => {
      now += step.after
      return step.greedy ? [now, step.goodput] : [now, step.goodput, 'held back']
    })
  })
const arbKnown = fc.option(fc.double({ min: 0, max: 1e10, noNaN: true }), { nil: undefined })

describe('what a path is thought to carry', () => {
  test('before anything was seen, what the inventory says; where it says nothing, nothing', () => {
    assert.equal(unobserved(100).capacity, 100)
    assert.equal(unobserved(undefined).capacity, undefined)
  })

  test('what is known holds until it was contradicted twice in a row', () => {
    assert.equal(capacity(100, [0, 40]), 100)
    assert.equal(capacity(100, [0, 40], [1, 40]), 40)
    assert.equal(capacity(100, [0, 40], [1, 95], [2, 40]), 100)
    assert.equal(capacity(100, [0, 40], [1, 95], [2, 40], [3, 40]), 40)
  })

  test('of two shortfalls the better one is believed: rates lag behind a rise and behind a start', () => {
    assert.equal(capacity(100, [0, 30], [1, 60]), 60)
    assert.equal(capacity(100, [0, 60], [1, 30]), 60)
  })

  test('a little less than was thought is no shortfall, for rates are averages; after a whole window of it no more is there', () => {
    assert.equal(capacity(100, ...greedily(0, 8, 86)), 100)
    assert.equal(capacity(100, ...greedily(0, 9, 86)), 86)
    assert.equal(capacity(100, ...greedily(0, 2, 84)), 84)
    assert.equal(capacity(100, ...greedily(0, 5, 86), [5, 86, 'held back'], ...greedily(6, 5, 86)), 100)
  })

  test('after a fall it comes down to what is there, though the last of an average hides how far it fell', () => {
    let estimate = unobserved(100)
    let rate = 100
    for (let at = 0; at < 60; at += 1) {
      // As rates are told: half of the last, half of the new.
      rate = rate * 0.5 + 41.5 * 0.5
      estimate = observe(estimate, observation([at, rate]))
    }
    const { capacity: thought = 0 } = estimate
    assert.ok(thought >= 41.5 && thought <= 41.5 * 1.01, `${thought} is thought, 41.5 is there`)
  })

  test('what our own caps hold back says nothing of the path, and takes back the first of two shortfalls', () => {
    assert.equal(capacity(100, [0, 5, 'held back'], [1, 5, 'held back'], [2, 5, 'held back']), 100)
    assert.equal(capacity(100, [0, 40], [1, 5, 'held back'], [2, 40]), 100)
  })

  test('more than was thought is believed at once, from whomever it comes', () => {
    assert.equal(capacity(100, [0, 130]), 130)
    assert.equal(capacity(100, [0, 130, 'held back']), 130)
    assert.equal(capacity(100, [0, 40], [1, 130]), 130)
  })

  test('where nothing is known, the most of the last ten seconds, once something flows that nothing of ours holds back', () => {
    assert.equal(capacity(undefined, [0, 70, 'held back']), undefined)
    assert.equal(capacity(undefined, [0, 70, 'held back'], [10, 50]), 70)
    assert.equal(capacity(undefined, [0, 70, 'held back'], [11, 50]), 50)
    assert.equal(capacity(undefined, [0, 0], [1, 0]), undefined)
  })

  test('nothing is remembered for longer than ten seconds, and looks without number do not pile up', () => {
    fc.assert(
      fc.property(arbKnown, arbLooks, (known, looks) => {
        const { seen } = after(known, ...looks)
        const last = seen.at(-1)?.at ?? 0
        for (const { at } of seen) assert.ok(last - at <= 10_000)
      }),
      runs(300),
    )
    assert.ok(after(100, ...greedily(0, 1_000, 100)).seen.length <= 11)
  })

  test('whatever is seen, a capacity is a number, is never below zero, and is either thought before or was seen', () => {
    fc.assert(
      fc.property(arbKnown, arbLooks, (known, looks) => {
        let estimate = unobserved(known)
        for (const [n, look] of looks.entries()) {
          const before = estimate
          estimate = observe(before, observation(look))
          if (estimate.capacity === undefined) {
            assert.equal(before.capacity, undefined, 'what was known is not forgotten')
            continue
          }
          assert.ok(Number.isFinite(estimate.capacity) && estimate.capacity >= 0)
          const goodputs = looks.slice(0, n + 1).map(([, goodput]) => goodput)
          assert.ok(estimate.capacity === before.capacity || goodputs.includes(estimate.capacity))
          assert.ok(estimate.capacity >= look[1] || before.capacity === undefined || look[2] === undefined)
        }
      }),
      runs(500),
    )
  })

  test('it is never below what went through just now, where something is known', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e10, noNaN: true }), arbLooks, (known, looks) => {
        let estimate = unobserved(known)
        for (const look of looks) {
          estimate = observe(estimate, observation(look))
          assert.ok((estimate.capacity ?? 0) >= look[1], `${estimate.capacity} when ${look[1]} went through`)
        }
      }),
      runs(300),
    )
  })

  test('it falls only with the second of two looks at a flow without a cap', () => {
    let fallen = 0
    fc.assert(
      fc.property(arbKnown, arbLooks, (known, looks) => {
        let estimate = unobserved(known)
        for (const [n, look] of looks.entries()) {
          const before = estimate
          estimate = observe(before, observation(look))
          if ((estimate.capacity ?? Infinity) >= (before.capacity ?? 0)) continue
          fallen += 1
          assert.ok(n > 0 && look[2] === undefined && looks[n - 1]?.[2] === undefined)
        }
      }),
      runs(300),
    )
    assert.ok(fallen > 50, `it fell ${fallen} times`)
  })

  test('after any step, down or up, two looks are enough; and after the next step again', () => {
    const arbRate = fc.double({ min: 1e3, max: 1e10, noNaN: true })
    fc.assert(
      fc.property(arbKnown, fc.array(arbRate, { minLength: 1, maxLength: 8 }), (known, capacities) => {
        let estimate = unobserved(known)
        for (const [n, each] of capacities.entries()) {
          for (const look of greedily(n * 30, 2, each)) estimate = observe(estimate, observation(look))
          const { capacity: thought = 0 } = estimate
          // Less than 15 % below is not told from the lag of an average.
          assert.ok(thought >= each && each >= thought * 0.85, `${thought} thought, ${each} there`)
        }
      }),
      runs(500),
    )
  })

  test('nothing at all through a path is seen like any drop, and its end at once', () => {
    assert.equal(capacity(100, [0, 100], [1, 0], [2, 0]), 0)
    assert.equal(capacity(100, [0, 100], [1, 0], [2, 0], [3, 0], [4, 1], [5, 80]), 80)
  })

  test('a look changes no estimate made before it', () => {
    const before = after(100, [0, 40])
    const copy = structuredClone(before)
    observe(before, observation([1, 30]))
    observe(before, observation([1, 300]))
    assert.deepEqual(before, copy)
  })
})

const full = 'full'
const roomy = 'not full'
const unseen = 'unknown'
const now = (at: number) => instant(at * 1000)

describe('whether more at a time may bring more', () => {
  const short = after(100, ...greedily(0, 10, 40))

  test('where what is there falls short of what is stated for some seconds, and nothing queues; where it queues: never', () => {
    assert.equal(short.contradictedAt, 1_000)
    assert.equal(mayTryMore(short, roomy, instant(8_999)), false)
    assert.equal(mayTryMore(short, roomy, now(9)), true)
    assert.equal(mayTryMore(short, full, now(9)), false)
    assert.equal(mayTryMore(short, full, now(4_000)), false)
    const queued = observe(short, { ...observation([10, 40]), fullness: 'full' })
    assert.equal(
      mayTryMore(queued, roomy, now(10)),
      false,
      'it was full just now: between two migrations it is not for a moment',
    )
  })

  test('where nobody looks at the network, when it has fallen short for half a minute', () => {
    const seen = after(100, ...greedily(0, 31, 40))
    assert.equal(seen.contradictedAt, 1_000, 'with the second look')
    assert.equal(mayTryMore(seen, unseen, now(30.9)), false)
    assert.equal(mayTryMore(seen, unseen, now(31)), true)
    // What came back in between is no longer contradicted.
    const back = after(100, ...greedily(0, 20, 40), [20, 95], ...greedily(21, 20, 40))
    assert.equal(mayTryMore(back, unseen, now(40)), false)
  })

  test('not where what is stated is there, nor while something of ours holds back, or nothing goes through', () => {
    assert.equal(mayTryMore(after(100, ...greedily(0, 20, 90)), roomy, now(20)), false)
    assert.equal(mayTryMore(after(100, ...greedily(0, 4, 40), [4, 40, 'held back']), roomy, now(4)), false)
    assert.equal(mayTryMore(after(100, ...greedily(0, 4, 0)), roomy, now(4)), false)
    assert.equal(mayTryMore(unobserved(100), roomy, now(4)), false)
  })

  test('where nobody states anything, until it is known what one gets', () => {
    const unstated = after(undefined, ...greedily(0, 10, 40))
    assert.equal(mayTryMore(unstated, roomy, now(9)), true)
    assert.equal(mayTryMore(tried(unstated, 80, 40), roomy, now(20)), false)
  })
})

/** One flow before; then so much goes through for as long as a trial lasts, the fastest at that rate. */
function tried(
  before: PathEstimate,
  through: number,
  fastest: number,
  kind: 'more-migrations' | 'higher-cap' = more,
  change: Partial<PathObservation> = {},
) {
  const from = (before.seen.at(-1)?.at ?? 0) / 1000
  let estimate = beginTrial(before, kind, now(from))
  for (let n = 1; n <= 5; n += 1)
    estimate = observe(estimate, {
      ...observation([from + n, through]),
      flows: 2,
      fastest: Math.min(fastest, through),
      ...change,
    })
  assert.equal(estimate.trial, undefined, 'it is over')
  return estimate
}
const more = 'more-migrations'

describe('a trial', () => {
  const short = after(100, ...greedily(0, 4, 40))

  test('takes five seconds, in which only what is more is believed', () => {
    const trial = beginTrial(short, more, now(3))
    assert.deepEqual(trial.trial, { kind: more, since: 3_000, baseline: 40, streams: 1 })
    assert.equal(mayTryMore(trial, roomy, now(4)), false)
    const soon = observe(trial, observation([4, 10]))
    assert.equal(soon.capacity, 40)
    const later = observe(soon, observation([7, 55]))
    assert.deepEqual([later.capacity, later.trial], [55, trial.trial])
    assert.equal(observe(later, observation([8, 55])).trial, undefined)
  })

  test('that brings more has found what one gets; the path is taken at its word again', () => {
    const { single, capacity: thought } = tried(short, 80, 40)
    assert.deepEqual([single, thought], [40, 100])
    // Where more goes through than is stated, or nothing is stated, there may be twice as much.
    assert.equal(tried(after(30, ...greedily(0, 4, 20)), 40, 20).capacity, 80)
    assert.equal(tried(after(undefined, ...greedily(0, 4, 40)), 80, 40).capacity, 160)
  })

  test('that brings more because the path itself has more teaches nothing of what one gets', () => {
    const { single, capacity: thought } = tried(short, 80, 60)
    assert.deepEqual([single, thought], [undefined, 80])
  })

  test('that brings nothing leaves the path as it was, and the next waits: 10 s, then twice as long each time, to 120 s', () => {
    let estimate = short
    const waits: number[] = []
    for (let n = 0; n < 8; n += 1) {
      estimate = tried(estimate, 40, 40)
      assert.equal(estimate.capacity, 40)
      const ended = estimate.seen.at(-1)?.at ?? 0
      waits.push((estimate.nextTrial - ended) / 1000)
      assert.equal(mayTryMore(estimate, roomy, instant(estimate.nextTrial - 1)), false)
      assert.equal(mayTryMore(estimate, roomy, instant(estimate.nextTrial)), true)
      estimate = observe(estimate, observation([estimate.nextTrial / 1000, 40]))
    }
    assert.deepEqual(waits, [10, 20, 40, 80, 120, 120, 120, 120])
    // One that brought something starts them anew.
    const again = tried(tried(estimate, 80, 40), 40, 40)
    assert.equal(again.nextTrial - (again.seen.at(-1)?.at ?? 0), 10_000)
  })

  test('what one gets is at least what one was seen to get since', () => {
    const known = tried(short, 80, 40)
    assert.equal(observe(known, { ...observation([20, 90]), fastest: 55 }).single, 55)
    assert.equal(observe(known, { ...observation([20, 90]), fastest: 30 }).single, 40)
  })

  test('where nobody states anything and each has what one gets, twice as much is thought to be there, until it is not', () => {
    const known = tried(after(undefined, ...greedily(0, 4, 40)), 80, 40)
    assert.equal(known.capacity, 160)
    const fuller = observe(known, observation([20, 150, 'held back']))
    assert.equal(fuller.capacity, 300)
    assert.equal(observe(observe(fuller, observation([21, 160])), observation([22, 160])).capacity, 160)
  })
})

describe('a cap that spares other people', () => {
  const reached = after(70, ...greedily(0, 4, 69))

  test('is tried higher when what it allows was reached for a while and nothing queues', () => {
    assert.equal(mayRaiseCap(reached, roomy, now(4)), true)
    assert.equal(mayRaiseCap(reached, full, now(4)), false)
    assert.equal(mayRaiseCap(after(70, [0, 69], [1, 69]), roomy, now(4)), false)
    assert.equal(mayRaiseCap(after(70, ...greedily(0, 4, 69), [4, 60]), roomy, now(4)), false)
  })

  test('is tried blindly only up to what is left for us: others may be there', () => {
    assert.equal(mayRaiseCap(reached, unseen, now(4)), false)
    const fell = after(70, ...greedily(0, 4, 30))
    assert.equal(mayRaiseCap(fell, unseen, now(4)), true)
    assert.equal(tried(fell, 100, 100, 'higher-cap').capacity, 70)
  })

  test('is reached where a hypervisor rounds it down, though the path is thought to have more for us', () => {
    const rounded = { ...reached, seen: reached.seen.map(each => ({ ...each, goodput: 48, allowed: 50 })) }
    assert.equal(mayRaiseCap(rounded, roomy, now(4)), true)
    const idle = { ...reached, seen: reached.seen.map(each => ({ ...each, goodput: 40, allowed: 50 })) }
    assert.equal(mayRaiseCap(idle, roomy, now(4)), false)
    // To have what was known to be there is no news: else it would be tried for ever.
    const [same, better] = [70, 90].map(through => tried(rounded, through, through, 'higher-cap', { fullness: 'full' }))
    assert.deepEqual([same?.capacity, same?.wait], [70, 20_000])
    assert.deepEqual([better?.capacity, better?.wait], [90, 10_000])
  })

  test('is not tried in the moment in which the queue of those who fill the path runs empty', () => {
    const looks = (...fullnesses: readonly ('full' | 'not full')[]): PathEstimate => ({
      ...reached,
      seen: reached.seen.map((each, n) => ({ ...each, fullness: fullnesses[n] })),
    })
    assert.equal(mayRaiseCap(looks('full', 'full', 'full', 'not full'), roomy, now(4)), false)
    assert.equal(mayRaiseCap(looks('full', 'not full', 'not full', 'not full'), roomy, now(4)), true)
  })

  test('is twice as high meanwhile, and what went through is what is left for us', () => {
    assert.equal(offered(reached), reached.capacity)
    const trial = beginTrial(reached, 'higher-cap', now(4))
    assert.equal(offered(trial), 140)
    assert.equal(offered(beginTrial(reached, more, now(4))), 70)
    assert.equal(tried(reached, 100, 100, 'higher-cap', { fullness: 'full' }).capacity, 100)
  })

  test('is as it was when nothing more went through, and is tried again ever more seldom', () => {
    const once = tried(reached, 70, 70, 'higher-cap')
    assert.deepEqual([once.capacity, once.wait], [70, 20_000])
    assert.equal(mayRaiseCap(once, roomy, instant(once.nextTrial - 1)), false)
    assert.equal(mayRaiseCap(once, roomy, instant(once.nextTrial)), true)
  })
})

describe('a trial with fewer', () => {
  const several = (from: number, lasts: number, rate: number, is: 'full' | 'not full' = 'full') =>
    greedily(from, lasts, rate).map(look => ({
      ...observation(look),
      flows: 4,
      streams: 4,
      fastest: rate / 4,
      fullness: is,
    }))
  const known = { ...unobserved(100), single: 25 }
  const seen = (estimate: PathEstimate, looks: ReturnType<typeof several>): PathEstimate =>
    looks.reduce(observe, estimate)

  test('begins where several fill the path for a while, and what one gets is thought to be known', () => {
    assert.equal(mayTryFewer(seen(known, several(0, 9, 100)), now(8)), true)
    assert.equal(mayTryFewer(seen(known, several(0, 8, 100)), now(7)), false)
    assert.equal(mayTryFewer(seen(known, several(0, 9, 100, 'not full')), now(8)), false)
    assert.equal(mayTryFewer(seen(unobserved(100), several(0, 9, 100)), now(8)), false)
    assert.equal(mayTryFewer(after(100, ...greedily(0, 9, 100)), now(8)), false)
  })

  test('offers them four fifths; what one gets then is known, and fewer still are tried while the path stays full', () => {
    const trial = beginTrial(seen(known, several(0, 9, 100)), 'fewer-migrations', now(8))
    assert.equal(offered(trial), 80)
    const over = several(9, 5, 100).reduce((estimate, look) => observe(estimate, { ...look, fastest: 40 }), trial)
    assert.deepEqual([over.trial, over.single, offered(over), over.nextDoubt], [undefined, 40, 100, 13_000])
  })

  test('that leaves the path emptier leaves all as it was, and the next is ever further off', () => {
    let estimate: PathEstimate = known
    const waits: number[] = []
    for (let n = 0; n < 6; n += 1) {
      const from = n * 1_000
      const trial = beginTrial(seen(estimate, several(from, 9, 100)), 'fewer-migrations', now(from + 8))
      estimate = seen(trial, several(from + 9, 5, 80, 'not full'))
      assert.deepEqual([estimate.trial, estimate.single, offered(estimate)], [undefined, 25, 100])
      waits.push((estimate.nextDoubt - (from + 13) * 1000) / 1000)
    }
    assert.deepEqual(waits, [20, 40, 80, 160, 300, 300])
  })
})

describe('whatever is seen, whenever', () => {
  const arbAbsurd = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(40, 40, 95, 100) },
    fc.constantFrom(0, Number.MIN_VALUE, 1e-9, 1, 1e12, Number.MAX_VALUE),
    fc.double({ min: 0, max: 1e11, noNaN: true }),
  )
  /** Clocks that stand, run, leap and are set back. */
  const arbSteps = fc.array(
    fc.record({
      after: fc.constantFrom(0, 1, 1_000, 1_000, 1_000, 1_500, 60_000, -1, -5_000, -3_600_000),
      goodput: arbAbsurd,
      fastest: arbAbsurd,
      flows: fc.constantFrom(0, 1, 2, 1_000),
      greedy: fc.boolean(),
      fullness: fc.constantFrom(full, roomy, unseen),
    }),
    { maxLength: 60, size: 'max' },
  )
  const isRate = (rate: number | undefined): boolean => rate === undefined || rate >= 0

  test('an estimate is made of numbers, remembers no more than its window, and trials begin and end', () => {
    let [begun, raised, concluded] = [0, 0, 0]
    fc.assert(
      fc.property(fc.option(arbAbsurd, { nil: undefined }), arbSteps, (declared, steps) => {
        let estimate = unobserved(declared)
        let at = 1e9
        for (const { after: passed, fullness, ...seen } of steps) {
          at += passed
          const before = estimate
          estimate = observe(before, { ...seen, at: instant(at) })
          if (before.trial !== undefined && estimate.trial === undefined) concluded += 1
          assert.ok(isRate(estimate.capacity) && isRate(estimate.single) && isRate(offered(estimate)))
          assert.ok(estimate.wait >= 10_000 && estimate.wait <= 120_000)
          assert.ok(estimate.nextTrial <= at + 120_000 || estimate.nextTrial === before.nextTrial)
          for (const each of estimate.seen) assert.ok(each.at <= at && at - each.at <= 10_000)
          const [tries, raises] = [mayTryMore, mayRaiseCap].map(may => may(estimate, fullness, instant(at)))
          if (estimate.trial !== undefined || fullness === full) assert.ok(!tries && !raises)
          if (tries === true) begun += 1
          else if (raises === true) raised += 1
          if (tries === true || raises === true)
            estimate = beginTrial(estimate, tries === true ? more : 'higher-cap', instant(at))
        }
      }),
      runs(500),
    )
    assert.ok(begun > 30 && raised > 30 && concluded > 30, `${begun} begun, ${raised} raised, ${concluded} concluded`)
  })

  test('on a path that is as it is, trials do not swing: no more than one in ten seconds, and ever fewer where they bring nothing', () => {
    const arbPath = fc.record({
      declared: fc.double({ min: 50, max: 1_000, noNaN: true }),
      there: fc.double({ min: 1, max: 1_000, noNaN: true }),
      fullness: fc.constantFrom(full, roomy, unseen),
      kind: fc.constantFrom(more, 'higher-cap'),
    })
    let tries = 0
    fc.assert(
      fc.property(arbPath, ({ declared, there, fullness, kind }) => {
        let estimate = unobserved(declared)
        const began: number[] = []
        for (let at = 0; at < 1_200; at += 1) {
          estimate = observe(estimate, observation([at, there]))
          const may = kind === more ? mayTryMore : mayRaiseCap
          if (!may(estimate, fullness, now(at))) continue
          began.push(at)
          estimate = beginTrial(estimate, kind, now(at))
        }
        tries += began.length
        const gaps = began.slice(1).map((at, n) => at - (began[n] ?? 0))
        // Five seconds of trial, then the wait.
        for (const [n, gap] of gaps.entries()) assert.ok(gap >= 5 + Math.min(120, 10 * 2 ** n), `${gaps.join(', ')} s`)
        assert.ok(began.length <= 13, `${began.length} in twenty minutes`)
        assert.equal(estimate.single, undefined)
      }),
      runs(200),
    )
    assert.ok(tries > 200, `${tries} trials`)
  })
})

test('squeezing pays until it held back four looks in a row what nothing else did, and is not tried again then', () => {
  const look = (at: number, squeezed: boolean): PathObservation => ({ ...observation([at, 50]), squeezed })
  const seen = (...squeezed: readonly boolean[]): boolean =>
    squeezes(squeezed.reduce((estimate, is, at) => observe(estimate, look(at, is)), unobserved(100)))
  assert.ok(seen())
  assert.ok(seen(true, true, true))
  assert.ok(seen(true, true, true, false, true, true, true))
  assert.ok(!seen(true, true, true, true))
  assert.ok(!seen(true, true, true, true, false, false))
})
