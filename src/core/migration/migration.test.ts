import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aProgress, arbStory, runs } from '../../../test/arbitraries.ts'
import { hostId, vmId } from '../ids.ts'
import { unlearned } from '../forecast/dirty-model.ts'
import { instant } from '../instant.ts'
import { ms } from '../units.ts'
import { edges, isInFlight, isMoving, isReversible, type Migration, move, type Phase } from './migration.ts'
import { plainStart } from './start-options.ts'

const phases = Object.keys(edges) as Phase[]
const goesTo = (from: Phase): readonly Phase[] => edges[from]

const vm = vmId('web')
const source = hostId('a-1')
const attempt = { vm, source, target: hostId('b-1'), attempt: 1 } as const
const moving = {
  ...attempt,
  startedAt: instant(0),
  excluded: [],
  wasted: 0,
  progress: aProgress(),
  tuning: { rate: undefined, downtimeLimit: ms(300) },
  streams: 1,
  compression: 'none',
  mode: 'pre-copy',
  learner: unlearned(undefined, instant(0)),
  said: [],
} as const
const one: { readonly [P in Phase]: Extract<Migration, { phase: P }> } = {
  queued: {
    phase: 'queued',
    vm,
    source,
    attempts: 0,
    notBefore: undefined,
    excluded: [],
    lastFailure: undefined,
    wasted: 0,
  },
  preparing: {
    phase: 'preparing',
    ...attempt,
    since: instant(0),
    ready: false,
    options: plainStart,
    excluded: [],
    wasted: 0,
  },
  'pre-copy': { phase: 'pre-copy', ...moving, cancelling: undefined, switching: false },
  switchover: { phase: 'switchover', ...moving, since: instant(0), finishing: false },
  'post-copy': { phase: 'post-copy', ...moving, mode: 'post-copy', since: instant(0), broken: false },
  uncertain: {
    phase: 'uncertain',
    ...moving,
    since: instant(0),
    why: 'no answer',
    whereabouts: undefined,
    finishing: false,
    askAgainAt: undefined,
    asked: 0,
  },
  landed: {
    phase: 'landed',
    ...attempt,
    mode: 'pre-copy',
    compression: 'none',
    startedAt: instant(0),
    switchedAt: instant(1),
    downtime: undefined,
    bytesSent: 0,
    bytesNeeded: undefined,
    sourceEnded: false,
    retire: { tries: 1, nextAt: undefined, why: undefined, gaveUp: false },
  },
  'given-up': {
    phase: 'given-up',
    vm,
    source,
    attempts: 1,
    failure: { code: 'path-lost', detail: 'cut' },
    wasted: 0,
  },
}

/** Every phase that some way along the edges leads to, `from` included only if a way leads back. */
function reachableFrom(from: Phase): ReadonlySet<Phase> {
  const seen = new Set<Phase>()
  const look = (phase: Phase): void => {
    for (const next of goesTo(phase)) {
      if (seen.has(next)) continue
      seen.add(next)
      look(next)
    }
  }
  look(from)
  return seen
}

test('every phase can be reached from queued', () => {
  assert.deepEqual([...reachableFrom('queued')].sort(), [...phases].sort())
})

test('landed is final', () => {
  assert.deepEqual(goesTo('landed'), [])
})

test('from every phase but landed there is a way to landed and a way to given-up', () => {
  for (const phase of phases.filter(p => p !== 'landed')) {
    const reachable = reachableFrom(phase)
    assert.ok(reachable.has('landed') && (phase === 'given-up' || reachable.has('given-up')), phase)
  }
})

test('a guest in post-copy is never simply queued again: only a doubt that was cleared up leads home', () => {
  assert.ok(!goesTo('post-copy').includes('queued'))
  assert.ok(!goesTo('post-copy').includes('pre-copy'))
})

test('what has something at the target may become uncertain; what has not may not', () => {
  for (const phase of phases) {
    const inFlight = isInFlight(one[phase])
    if (phase !== 'uncertain') assert.equal(goesTo(phase).includes('uncertain'), inFlight, phase)
  }
})

test('no edge leads from a phase to itself, and none twice', () => {
  for (const phase of phases) {
    assert.ok(!goesTo(phase).includes(phase))
    assert.equal(new Set(goesTo(phase)).size, goesTo(phase).length)
  }
})

test('a move along an edge or within a phase is made, any other is a bug that names the VM and both phases', () => {
  for (const from of phases) {
    for (const to of phases) {
      if (from === to || goesTo(from).includes(to)) assert.equal(move(one[from], one[to]), one[to])
      else
        assert.throws(
          () => move(one[from], one[to]),
          (error: Error) => error.message === `web: no edge ${from} -> ${to}`,
        )
    }
  }
})

test('what can be called off is whole at home and nowhere else: before the switchover, and not in post-copy', () => {
  assert.deepEqual(
    phases.filter(phase => isReversible(one[phase])),
    ['queued', 'preparing', 'pre-copy'],
  )
})

test('what is in flight has a target; what moves may have memory on the path', () => {
  assert.deepEqual(
    phases.filter(phase => isInFlight(one[phase])),
    ['preparing', 'pre-copy', 'switchover', 'post-copy', 'uncertain'],
  )
  assert.deepEqual(
    phases.filter(phase => isMoving(one[phase])),
    ['pre-copy', 'switchover', 'post-copy', 'uncertain'],
  )
})

test('over any story every phase is met, and a landed VM stays landed where it landed', () => {
  const met = new Set<Phase>()
  fc.assert(
    fc.property(arbStory, ({ states }) => {
      states.forEach((state, at) => {
        for (const m of state.migrations.values()) {
          met.add(m.phase)
          const before = states[at - 1]?.migrations.get(m.vm)
          if (before?.phase !== 'landed') continue
          assert.ok(m.phase === 'landed' && m.target === before.target && m.switchedAt === before.switchedAt)
        }
      })
    }),
    runs(300),
  )
  assert.deepEqual([...met].sort(), [...phases].sort(), 'the stories reach every phase')
})
