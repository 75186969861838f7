import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { arbSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import { bytesToMove, type Vm } from '../inventory/vm.ts'
import { bytesPerSecond, mebibytes, ms } from '../units.ts'
import { inOrder } from './order.ts'

/** 100 MiB take one second. */
const rate = 100 * 1_048_576
const named = (vms: readonly Vm[]): readonly string[] => vms.map(({ id }) => id)
const ordered = (vms: readonly Vm[], at = rate): readonly string[] => named(inOrder(vms, 'value-per-time', () => at))

const vmOf = (name: string, used: number, value = 1, change: Partial<Vm> = {}): Vm =>
  aVm(name, 'a-1', { memory: mebibytes(65_536), used: mebibytes(used), value, ...change })
/** Rewrites half a GiB twice a second: no pre-copy at this rate ends. */
const restless: Partial<Vm> = {
  dirty: { hot: mebibytes(512), period: ms(500), cold: bytesPerSecond(0) },
}

const took = (vm: Vm): number => preCopyDuration(bytesToMove(vm), vm.dirty, rate, vm.policy.maxDowntime)
/** Each when the one before it is home: value by when it is safe, added up. */
const weightedCompletion = (vms: readonly Vm[]): number => {
  let now = 0
  let total = 0
  for (const vm of vms) {
    now += took(vm)
    total += now * vm.value
  }
  return total
}
const safeBy = (vms: readonly Vm[], deadline: number): number => {
  let now = 0
  return vms.filter(vm => (now += took(vm)) <= deadline).length
}
function* permutations<T>(all: readonly T[]): Generator<readonly T[]> {
  if (all.length <= 1) yield all
  for (const [n, one] of all.entries())
    for (const rest of permutations(all.filter((_, other) => other !== n))) yield [one, ...rest]
}

const arbVm = fc.record({
  used: fc.integer({ min: 20, max: 4_000 }),
  value: fc.integer({ min: 1, max: 20 }),
  busy: fc.boolean(),
})
/** Up to six, all of which end by pre-copy. */
const arbFew = (values: 'equal' | 'different'): fc.Arbitrary<readonly Vm[]> =>
  fc
    .array(arbVm, { minLength: 1, maxLength: 6 })
    .map(vms =>
      vms.map(({ used, value, busy }, n) =>
        vmOf(
          `vm-${n + 1}`,
          used,
          values === 'equal' ? 1 : value,
          busy ? { dirty: { hot: mebibytes(16), period: ms(1_000), cold: bytesPerSecond(5_000_000) } } : {},
        ),
      ),
    )

test('by hand: most value for each second of the path first', () => {
  // 10 s for 1, 1 s for 1, 5 s for 10, 2 s for 3: 0.1, 1, 2, 1.5 a second.
  const vms = [vmOf('large', 1_000), vmOf('small', 100), vmOf('precious', 500, 10), vmOf('dear', 200, 3)]
  assert.deepEqual(ordered(vms), ['precious', 'dear', 'small', 'large'])
})

test('the order of the inventory is left as it is, where that is asked for', () => {
  const vms = [vmOf('large', 1_000), vmOf('small', 100)]
  assert.equal(
    inOrder(vms, 'inventory', () => rate),
    vms,
  )
})

test('equal values: the shortest first, and no other order has a lower mean completion', () => {
  fc.assert(
    fc.property(arbFew('equal'), vms => {
      const ours = inOrder(vms, 'value-per-time', () => rate)
      const durations = ours.map(took)
      assert.deepEqual(
        durations,
        [...durations].sort((a, b) => a - b),
      )
      const least = Math.min(...[...permutations(vms)].map(weightedCompletion))
      assert.ok(weightedCompletion(ours) <= least * (1 + 1e-12), `${weightedCompletion(ours)}, ${least} can be had`)
    }),
    runs(60),
  )
})

test('equal values: no other order has more VMs safe by any deadline', () => {
  fc.assert(
    fc.property(arbFew('equal'), fc.double({ min: 0, max: 1, noNaN: true }), (vms, share) => {
      const deadline = vms.map(took).reduce((a, b) => a + b) * share
      const ours = safeBy(
        inOrder(vms, 'value-per-time', () => rate),
        deadline,
      )
      for (const other of permutations(vms)) assert.ok(safeBy(other, deadline) <= ours)
    }),
    runs(60),
  )
})

test('different values: no other order brings value home sooner, weighed and added up', () => {
  let matters = 0
  fc.assert(
    fc.property(arbFew('different'), vms => {
      const ours = weightedCompletion(inOrder(vms, 'value-per-time', () => rate))
      const all = [...permutations(vms)].map(weightedCompletion)
      assert.ok(ours <= Math.min(...all) * (1 + 1e-12), `${ours}, ${Math.min(...all)} can be had`)
      if (Math.max(...all) > ours * 1.2) matters += 1
    }),
    runs(60),
  )
  assert.ok(matters > 20, `order matters ${matters} times`)
})

test('what does not converge at the rate it would get goes last, however dear, small or early', () => {
  const vms = [vmOf('never', 600, 20, restless), vmOf('cheap', 4_000), vmOf('small', 100, 2)]
  assert.equal(took(vms[0] ?? vmOf('none', 0)), Infinity)
  assert.deepEqual(ordered(vms), ['small', 'cheap', 'never'])
  // With rate enough it does converge, and goes by its value.
  assert.deepEqual(ordered(vms, rate * 100), ['never', 'small', 'cheap'])
})

test('those that do not converge are tried from the smallest', () => {
  const vms = [vmOf('more', 2_000, 20, restless), vmOf('less', 700, 1, restless), vmOf('fine', 4_000)]
  assert.deepEqual(ordered(vms), ['fine', 'less', 'more'])
})

test('alike keep the order that they had', () => {
  const alike = ['c', 'a', 'b', 'e', 'd'].map(name => vmOf(name, 300, 2))
  assert.deepEqual(ordered(alike), ['c', 'a', 'b', 'e', 'd'])
  // As much for each second, but of different size: the smaller one first.
  assert.deepEqual(ordered([vmOf('twice', 600, 4), ...alike]).at(-1), 'twice')
})

test('disks that are copied along count', () => {
  const disk = { name: 'vda', size: mebibytes(900), used: mebibytes(900), write: bytesPerSecond(0), shared: false }
  const vms = [vmOf('with-disk', 100, 1, { disks: [disk] }), vmOf('plain', 500)]
  assert.deepEqual(ordered(vms), ['plain', 'with-disk'])
})

test('a rate that is different for each is taken into account: a long way costs more', () => {
  const vms = [vmOf('far', 200), vmOf('near', 1_000)]
  assert.deepEqual(named(inOrder(vms, 'value-per-time', ({ id }) => (id === 'far' ? rate / 10 : rate))), [
    'near',
    'far',
  ])
})

test('at a rate without bound all take as long as a switchover: value tells the order, and bytes where values are alike', () => {
  assert.deepEqual(
    ordered([vmOf('large', 1_000), vmOf('small', 100), vmOf('precious', 500, 10), vmOf('dear', 200, 3)], Infinity),
    ['precious', 'dear', 'small', 'large'],
  )
})

test('of two alike the one with less to send on a slow way may well be before the one with much on a fast one', () => {
  const [much, little] = [vmOf('much', 4_000), vmOf('little', 1)]
  assert.deepEqual(named(inOrder([much, little], 'value-per-time', vm => (vm === much ? rate : Infinity))), [
    'little',
    'much',
  ])
})

test('nothing to send comes before what has something to send, and among such value counts', () => {
  assert.deepEqual(ordered([vmOf('some', 50), vmOf('none', 0), vmOf('dear', 0, 2)]), ['dear', 'none', 'some'])
})

test('whatever the inventory, all are there once, nobody was touched, and the same question has the same answer', () => {
  fc.assert(
    fc.property(arbSnapshot, fc.constantFrom(0, 1, 1e6, 1e9, Infinity), ({ vms }, at) => {
      const before = [...vms]
      const ours = inOrder(vms, 'value-per-time', () => at)
      assert.deepEqual(vms, before)
      assert.deepEqual(new Set(ours), new Set(vms))
      assert.equal(ours.length, vms.length)
      assert.deepEqual(
        inOrder(vms, 'value-per-time', () => at),
        ours,
      )
    }),
    runs(300),
  )
})
