import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { aHost, aPath, arbRequest, aSite, aSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { preCopyDuration } from '../forecast/pre-copy-duration.ts'
import { siteId, type VmId } from '../ids.ts'
import { siteOf } from '../inventory/snapshot.ts'
import { bytesToMove, type Vm } from '../inventory/vm.ts'
import { bytesPerSecond, megabitsPerSecond, mebibytes, ms } from '../units.ts'
import { checkPlan } from './check-plan.ts'
import { smallestFirst, unitsOf } from './groups.ts'
import { inOrder } from './order.ts'
import { planEvacuation, type PlanRequest } from './plan-evacuation.ts'

/** 100 MiB take one second. */
const rate = 100 * 1_048_576
const vmOf = (name: string, used: number, group?: string, change: Partial<Vm> = {}): Vm =>
  aVm(name, 'a-1', { memory: mebibytes(used), used: mebibytes(used), group, ...change })
const ordered = (vms: readonly Vm[]): readonly Vm[] => inOrder(vms, 'value-per-time', () => rate)
const named = (vms: readonly Vm[]): readonly VmId[] => vms.map(({ id }) => id)

test('a group leaves as one, for all its value and all its time, inside smallest first', () => {
  const vms = [vmOf('big', 900, 'shop'), vmOf('lone', 400), vmOf('small', 100, 'shop'), vmOf('tiny', 50)]
  // shop: 2 for 10 s; lone: 1 for 4 s; tiny: 1 for half a second.
  assert.deepEqual(named(ordered(vms)), ['tiny', 'lone', 'small', 'big'])
  const dear = vms.map(vm => (vm.id === 'big' ? { ...vm, value: 4 } : vm))
  assert.deepEqual(named(ordered(dear)), ['tiny', 'small', 'big', 'lone'])
})

test('one of a group that does not converge goes last by itself, and does not hold up the others', () => {
  const restless = { dirty: { hot: mebibytes(512), period: ms(500), cold: bytesPerSecond(0) } }
  const vms = [vmOf('hot', 800, 'shop', restless), vmOf('b', 100, 'shop'), vmOf('lone', 300), vmOf('a', 50, 'shop')]
  assert.deepEqual(named(ordered(vms)), ['a', 'b', 'lone', 'hot'])
})

const arbGrouped = fc
  .array(
    fc.record({
      used: fc.integer({ min: 20, max: 4_000 }),
      value: fc.integer({ min: 1, max: 20 }),
      group: fc.option(fc.constantFrom('x', 'y', 'z'), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map(vms => vms.map(({ used, value, group }, n) => vmOf(`vm-${n + 1}`, used, group, { value })))

function* permutations<T>(all: readonly T[]): Generator<readonly T[]> {
  if (all.length <= 1) yield all
  for (const [n, one] of all.entries())
    for (const rest of permutations(all.filter((_, other) => other !== n))) yield [one, ...rest]
}
const weighed = (vms: readonly Vm[]): number => {
  let now = 0
  return vms.reduce((sum, vm) => {
    now += preCopyDuration(bytesToMove(vm), vm.dirty, rate, vm.policy.maxDowntime)
    return sum + now * vm.value
  }, 0)
}

test('groups are never torn apart, nobody is left out, and no order of groups is worth more', () => {
  fc.assert(
    fc.property(arbGrouped, vms => {
      const order = ordered(vms)
      assert.deepEqual([...order].sort(byId), [...vms].sort(byId))
      const units = unitsOf(order)
      assert.deepEqual(units.flat(), order, 'a group is torn apart')
      for (const unit of units) assert.deepEqual(smallestFirst(unit), unit)
      if (units.length > 6) return
      const best = Math.min(...[...permutations(units)].map(other => weighed(other.flat())))
      assert.ok(weighed(order) <= best * (1 + 1e-9), `${weighed(order)} against ${best}`)
    }),
    runs(200),
  )
})
const byId = (a: Vm, b: Vm): number => (a.id < b.id ? -1 : 1)

test('units: each VM once, the first of each in the order that was', () => {
  fc.assert(
    fc.property(arbGrouped, vms => {
      const units = unitsOf(vms)
      assert.deepEqual(units.flat().sort(byId), [...vms].sort(byId))
      const firsts = units.map(([first]) => vms.findIndex(({ id }) => id === first?.id))
      assert.deepEqual(
        firsts,
        [...firsts].sort((a, b) => a - b),
      )
      for (const unit of units) assert.equal(new Set(unit.map(({ group, id }) => group ?? id)).size, 1)
    }),
    runs(200),
  )
})

const twoSites = (vms: readonly Vm[], memory: readonly [number, number] = [65_536, 65_536]): PlanRequest => ({
  snapshot: aSnapshot({
    sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
    hosts: [
      aHost('a-1', 'a', { memory: mebibytes(1_048_576) }),
      aHost('b-1', 'b', { memory: mebibytes(memory[0] / 2) }),
      aHost('b-2', 'b', { memory: mebibytes(memory[0] / 2) }),
      aHost('c-1', 'c', { memory: mebibytes(memory[1]) }),
    ],
    paths: [
      aPath('a', 'b', { capacity: megabitsPerSecond(800) }),
      aPath('a', 'c', { capacity: megabitsPerSecond(800) }),
    ],
    vms,
  }),
  endangered: [siteId('a')],
  targets: [siteId('b'), siteId('c')],
  policy: 'finish-first',
  slots: 1,
  bandwidth: undefined,
  order: 'value-per-time',
})
const sitesOf = (request: PlanRequest, group: string): ReadonlySet<string | undefined> => {
  const { moves } = planEvacuation(request)
  const members = new Set(request.snapshot.vms.filter(vm => vm.group === group).map(({ id }) => id))
  return new Set(moves.filter(({ vm }) => members.has(vm)).map(({ target }) => siteOf(request.snapshot, target)))
}

test('a group goes to one site, and the load is dealt out by groups', () => {
  const vms = [1, 2, 3].flatMap(n => [vmOf(`x-${n}`, 1_000, 'x'), vmOf(`y-${n}`, 1_000, 'y')])
  const request = twoSites(vms)
  assert.equal(sitesOf(request, 'x').size, 1)
  assert.equal(sitesOf(request, 'y').size, 1)
  assert.notDeepEqual(sitesOf(request, 'x'), sitesOf(request, 'y'))
})

test('… to the one that has room for all of it', () => {
  const vms = [1, 2, 3].map(n => vmOf(`x-${n}`, 1_000, 'x'))
  assert.deepEqual([...sitesOf(twoSites(vms, [2_000, 3_000]), 'x')], ['c'])
})

test('… but nobody is left for it: where no site has room for all, the group is spread', () => {
  const vms = [1, 2, 3, 4].map(n => vmOf(`x-${n}`, 1_000, 'x'))
  const request = twoSites(vms, [4_000, 2_000])
  const { moves, unplaced } = planEvacuation({
    ...request,
    snapshot: { ...request.snapshot, hosts: request.snapshot.hosts.filter(({ id }) => id !== 'b-2') },
  })
  assert.deepEqual([moves.length, unplaced.length], [4, 0])
})

test('… nor is anybody else: a group that would take the only place of another is spread', () => {
  const vms = [vmOf('x-1', 1_000, 'x'), vmOf('x-2', 1_000, 'x'), vmOf('z', 1_500)]
  const request = twoSites(vms, [2_000, 2_500])
  const hosts = request.snapshot.hosts.filter(({ id }) => id !== 'b-2')
  const paths = [
    aPath('a', 'b', { capacity: megabitsPerSecond(1_600) }),
    aPath('a', 'c', { capacity: megabitsPerSecond(800) }),
  ]
  const { unplaced } = planEvacuation({ ...request, snapshot: { ...request.snapshot, hosts, paths } })
  assert.deepEqual(unplaced, [])
})

test('whatever the inventory and the groups, the plan breaks no rule and tears no group apart in time', () => {
  fc.assert(
    fc.property(arbRequest, fc.array(fc.constantFrom('x', 'y', undefined), { maxLength: 9 }), (request, groups) => {
      const vms = request.snapshot.vms.map((vm, n) => ({ ...vm, group: groups[n] }))
      const grouped: PlanRequest = { ...request, order: 'value-per-time', snapshot: { ...request.snapshot, vms } }
      const plan = planEvacuation(grouped)
      assert.deepEqual(checkPlan(grouped, plan), [])
      const left = new Set(plan.unplaced.map(({ vm }) => vm))
      const order = plan.moves.map(({ vm }) => vm)
      const placed = order.flatMap(id => vms.filter(vm => vm.id === id && !left.has(id)))
      for (const unit of unitsOf(placed)) {
        const at = unit.map(({ id }) => order.indexOf(id))
        const ends = unit.every(vm => plan.moves.find(({ vm: id }) => id === vm.id)?.end !== undefined)
        if (ends)
          assert.ok(
            Math.max(...at) - Math.min(...at) === unit.length - 1,
            `${order.join()} tears ${named(unit).join()}`,
          )
      }
    }),
    runs(300),
  )
})
