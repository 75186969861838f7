import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instant } from '../core/instant.ts'
import { aPath } from '../../test/arbitraries.ts'
import { hostId } from '../core/ids.ts'
import type { HostState, LinkState } from '../core/network/link-state.ts'
import { fraction, megabitsPerSecond, ms } from '../core/units.ts'
import { NetworkFacts, seenOfHosts } from './network-facts.ts'

const why = { why: 'nobody looks' }
const link = (change: Partial<LinkState> = {}): LinkState => ({
  link: { name: 'a → b', path: aPath('a', 'b'), sources: [], targets: [] },
  inUse: why,
  byUs: why,
  byOthers: why,
  flows: 1,
  rtt: why,
  minRtt: why,
  queueingDelay: ms(0),
  standingDelay: { why: 'no echo was asked for just now' },
  loss: why,
  bestFlow: why,
  loneFlow: why,
  measured: why,
  trend: [],
  lastProbe: undefined,
  remarks: [],
  ...change,
})

test('of a path that our migrations use, at first and every five seconds', () => {
  const facts = new NetworkFacts()
  const times = [0, 1_000, 4_999, 5_000, 9_000, 10_000].filter(
    at => facts.worthTelling([link()], instant(at)).length > 0,
  )
  assert.deepEqual(times, [0, 5_000, 10_000])
})

test('at once when it becomes full, and when it is no more', () => {
  const facts = new NetworkFacts()
  const told = [0, 0, 40, 41, 0].map((queueing, n) =>
    facts.worthTelling([link({ queueingDelay: ms(queueing) })], instant(n * 1_000)).map(seen => seen.queueing),
  )
  assert.deepEqual(told, [[0], [], [40], [], [0]])
})

test('nothing of a path that nobody uses, or whose queue nobody can see', () => {
  const facts = new NetworkFacts()
  assert.deepEqual(facts.worthTelling([link({ flows: 0 }), link({ queueingDelay: why })], instant(0)), [])
})

test('where other people share the path: what stands there between the bursts of capped migrations', () => {
  const path = aPath('a', 'b', { background: megabitsPerSecond(5) })
  const told = (change: Partial<LinkState>) =>
    new NetworkFacts().worthTelling([link({ queueingDelay: ms(25), ...change })], instant(0)).map(seen => seen.queueing)
  const shared = { link: { name: 'a → b', path, sources: [], targets: [] } }
  assert.deepEqual(told({ ...shared, standingDelay: ms(1) }), [1])
  assert.deepEqual(told({ ...shared, standingDelay: ms(90) }), [90])
  assert.deepEqual(told(shared), [], 'echoes are filtered: nobody knows')
  assert.deepEqual(
    told({ standingDelay: ms(1) }),
    [25],
    'ours alone: they take all there is, and their queue is the path’s',
  )
})

test('what is lost is told where it is known', () => {
  const lossy = link({ loss: { share: fraction(0.02), from: 'retransmissions' } })
  assert.deepEqual(
    new NetworkFacts()
      .worthTelling([lossy, link({ link: { ...lossy.link, name: 'other' } })], instant(0))
      .map(({ loss }) => loss),
    [0.02, 0],
  )
})

test('how busy hosts are is told of those whose processors can be seen, with the pressure where their kernels count it', () => {
  const host = (name: string, change: Partial<HostState>): HostState => ({
    host: hostId(name),
    silent: undefined,
    cpuBusy: why,
    stolen: why,
    memoryAvailable: why,
    pressure: why,
    readings: 2,
    dropped: {},
    ...change,
  })
  const pressure = { cpu: fraction(0.8), memory: undefined, io: undefined }
  const hosts = [
    host('a-1', {}),
    host('a-2', { cpuBusy: fraction(0.9) }),
    host('a-3', { cpuBusy: fraction(0.7), pressure }),
  ]
  assert.deepEqual(seenOfHosts(hosts), [
    { host: 'a-2', busy: 0.9, waiting: undefined },
    { host: 'a-3', busy: 0.7, waiting: 0.8 },
  ])
})
