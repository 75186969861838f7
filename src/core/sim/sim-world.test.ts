/** What simulated hypervisors say yes and no to, what happens to a migration under way, and who runs where all the while. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { aDisk, aHost, aPath, aSite, aSnapshot, aVm, runs } from '../../../test/arbitraries.ts'
import { type HostId, hostId, siteId, type VmId, vmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import type { Vm } from '../inventory/vm.ts'
import type { Tuning } from '../migration/migration.ts'
import { plainStart, type StartOptions } from '../migration/start-options.ts'
import { bytes, bytesPerSecond, fraction, mebibytes, ms } from '../units.ts'
import type { Chance } from './chance.ts'
import { Kernel } from './kernel.ts'
import { RanTwice, SimRefusal, SimWorld } from './sim-world.ts'
import { failsHow } from './timeline.ts'
import type { Transfer, TransferStatus } from './transfer.ts'

const mib = 2 ** 20
const rate = (n: number) => bytesPerSecond(n * mib)
const [a, b, c] = [siteId('a'), siteId('b'), siteId('c')]
const [a1, b1, b2, c1] = [hostId('a-1'), hostId('b-1'), hostId('b-2'), hostId('c-1')]
const [vm1, vm2] = [vmId('vm-1'), vmId('vm-2')]
const ab = [a, b] as const
const tuning: Tuning = { rate: undefined, downtimeLimit: ms(300) }
const withPostCopy: StartOptions = { ...plainStart, postCopy: true }
/** Everybody's luck is the mean. */
const evenly: Chance = () => 0.5

/** A kernel that is driven by hand, and the world on it. */
class Bench {
  readonly kernel = new Kernel()
  readonly world: SimWorld
  constructor(vms: number, change: Partial<Vm> = {}, more: Partial<Snapshot> = {}, chance = evenly) {
    const snapshot = aSnapshot({
      sites: [aSite('a'), aSite('b', { safe: true }), aSite('c', { safe: true })],
      hosts: [aHost('a-1', 'a'), aHost('b-1', 'b'), aHost('b-2', 'b'), aHost('c-1', 'c')],
      paths: ['b', 'c'].map(site => aPath('a', site, { capacity: rate(10), rtt: ms(40) })),
      vms: Array.from({ length: vms }, (_, n) => aVm(`vm-${n + 1}`, 'a-1', change)),
      ...more,
    })
    this.world = new SimWorld(snapshot, this.kernel, chance)
  }
  /** Up to this moment, everything of it included. */
  to(at: number): this {
    const there = { yet: false }
    this.kernel.at(at, () => this.kernel.at(at, () => (there.yet = true)))
    while (!there.yet) this.kernel.step()
    return this
  }
  go(vm = vm1, target = b1, options = plainStart, tuned = tuning): this {
    this.world.prepare(target, vm)
    this.world.migrate(vm, a1, target, tuned, options)
    return this
  }
  /** Post-copy begins with the next byte that goes through. */
  postCopy(vm = vm1): this {
    this.world.startPostCopy(vm)
    return this.to(this.kernel.now)
  }
  transfer(vm = vm1): Transfer {
    const found = this.world.transferOf(vm)
    assert.ok(found !== undefined)
    return found
  }
  status(vm = vm1): TransferStatus {
    return this.transfer(vm).status
  }
  /** Copies of a VM: `a-1 left, b-1 ready`. */
  copies(vm = vm1): string {
    const all = [a1, b1, b2, c1].map(host => [host, this.world.copyOf(vm, host)] as const)
    return all.flatMap(([host, copy]) => (copy === undefined ? [] : [`${host} ${copy}`])).join(', ')
  }
}
const bench = (vms = 1, change: Partial<Vm> = {}, more: Partial<Snapshot> = {}, chance = evenly): Bench =>
  new Bench(vms, change, more, chance)

const refused = (how: SimRefusal['how'], act: () => void): void =>
  assert.throws(act, (error: unknown) => {
    assert.ok(error instanceof SimRefusal, String(error))
    assert.equal(error.how, how, error.message)
    return true
  })

/**
 * 100 MiB at 10 MiB/s and a round trip of 40 ms: connected after three round trips, the pass over when 3 MiB (300 ms) are left, those
 * over 300 ms later, and all of it proven after 20 ms and two round trips more.
 */
const [connectedAt, stoppedAt, sentAt, completeAt] = [120, 9_820, 10_120, 10_220]

describe('a migration', () => {
  test('runs from connection to completion in the times that rates and round trips make', () => {
    const world = bench().go()
    const seen = (at: number) => world.to(at).status()
    assert.equal(seen(connectedAt - 0.01), 'starting')
    assert.equal(seen(connectedAt), 'active')
    assert.equal(seen(stoppedAt - 0.01), 'active')
    assert.equal(seen(stoppedAt), 'stopping')
    assert.ok(Math.abs(world.transfer().remaining - 3 * mib) < 1)
    assert.equal(seen(sentAt), 'stopping')
    assert.equal(world.transfer().remaining, 0)
    assert.equal(seen(completeAt - 0.01), 'stopping')
    assert.equal(seen(completeAt), 'completed')
    const { sent, total, downtime, round, error } = world.transfer()
    assert.deepEqual([sent, total, error], [100 * mib, 100 * mib, undefined])
    assert.equal(round, 2)
    assert.ok(Math.abs((downtime ?? 0) - (completeAt - stoppedAt)) < 1e-6)
  })

  test('both hosts answer at each step what they would', () => {
    const probe = bench()
    const { world } = probe
    const at = (when: number) => {
      probe.to(when)
      return [world.presence(a1, vm1), world.presence(b1, vm1)].map(({ state, ...more }) =>
        'as' in more ? more.as : 'migrating' in more ? `running${more.migrating ? ', sending' : ''}` : state,
      )
    }
    assert.deepEqual(at(0), ['running', 'absent'])
    world.prepare(b1, vm1)
    assert.deepEqual(at(0), ['running', 'incoming'])
    world.migrate(vm1, a1, b1, tuning, plainStart)
    assert.deepEqual(at(50), ['running, sending', 'incoming'])
    assert.deepEqual(at(5_000), ['running, sending', 'incoming'])
    assert.deepEqual(at(stoppedAt + 1), ['leaving', 'incoming'])
    assert.deepEqual(at(completeAt + 1), ['left', 'ready'])
    world.run(b1, vm1)
    assert.deepEqual(at(completeAt + 1), ['left', 'running'])
    world.retire(a1, vm1)
    assert.deepEqual(at(completeAt + 1), ['absent', 'running'])
  })

  test('those who listen are told of each change of its status until they stop listening', () => {
    const world = bench(2)
    const heard: (readonly [number, TransferStatus])[] = []
    const stop = world.world.listen(vm1, () => heard.push([Math.round(world.kernel.now), world.status()]))
    world.go(vm1).to(stoppedAt + 1)
    assert.deepEqual(heard, [
      [connectedAt, 'active'],
      [stoppedAt, 'stopping'],
    ])
    stop()
    world.go(vm2).to(60_000)
    assert.equal(heard.length, 2)
  })

  test('two share what both cross, and the second gets all of it when the first is through', () => {
    const world = bench(2).go(vm1).go(vm2).to(1_000)
    assert.deepEqual(
      [...world.world.flowing()].map(each => each.rate),
      [5 * mib, 5 * mib],
    )
    assert.deepEqual(
      [...world.world.usage()].map(([{ path }, used]) => [path.to, used]),
      [['b', 10 * mib]],
    )
    world.world.cancel(vm1)
    world.to(2_000)
    assert.equal(world.transfer(vm2).rate, 10 * mib)
    assert.equal(world.transfer(vm1).rate, 0)
  })

  test('on another path it does not compete', () => {
    const world = bench(2).go(vm1, b1).go(vm2, c1).to(1_000)
    assert.deepEqual(
      [...world.world.flowing()].map(each => each.rate),
      [10 * mib, 10 * mib],
    )
  })

  test('disks that are copied along are sent too', () => {
    const disks = [
      aDisk('vda', { used: mebibytes(50), shared: false }),
      aDisk('vdb', { used: mebibytes(500), shared: true }),
    ]
    assert.equal(bench(1, { disks }).go().transfer().total, 150 * mib)
  })

  test('a guest that writes makes more passes and sends more; one that writes too much never stops', () => {
    const dirty = (hot: number): Partial<Vm> => ({
      dirty: { hot: mebibytes(hot), period: ms(1_000), cold: bytesPerSecond(0) },
    })
    const some = bench(1, dirty(5)).go().to(60_000)
    assert.equal(some.status(), 'completed')
    assert.ok(some.transfer().sent > 104 * mib && some.transfer().round > 2)
    assert.equal(bench(1, dirty(20)).go().to(600_000).status(), 'active')
  })

  test('auto-converge slows a guest that writes too much, until it stops', () => {
    const dirty = { hot: mebibytes(20), period: ms(1_000), cold: bytesPerSecond(0) }
    const world = bench(1, { dirty })
      .go(vm1, b1, { ...plainStart, autoConverge: true })
      .to(600_000)
    assert.equal(world.status(), 'completed')
    assert.ok(world.transfer().throttle >= 0.2)
  })
})

describe('what a host is asked to prepare', () => {
  test('it listens; what an earlier attempt left there is no hindrance', () => {
    const world = bench()
    world.world.prepare(b1, vm1)
    world.world.prepare(b1, vm1)
    assert.equal(world.copies(), 'a-1 running, b-1 incoming')
  })

  test('it refuses where the VM is defined already, in whatever state', () => {
    const world = bench()
    refused('target-refused', () => world.world.prepare(a1, vm1))
    world.go().to(stoppedAt + 1)
    refused('target-refused', () => world.world.prepare(a1, vm1))
    world.to(completeAt + 1)
    refused('target-refused', () => world.world.prepare(a1, vm1))
    world.world.run(b1, vm1)
    refused('target-refused', () => world.world.prepare(b1, vm1))
    const split = bench().go(vm1, b1, withPostCopy).to(1_000)
    split.postCopy()
    for (const host of [a1, b1]) refused('target-refused', () => split.world.prepare(host, vm1))
  })
})

describe('what a host is asked to send', () => {
  test('it refuses a VM that does not run there', () => {
    const world = bench()
    world.world.prepare(b1, vm1)
    refused('source-refused', () => world.world.migrate(vm1, b2, b1, tuning, plainStart))
    refused('source-refused', () => world.world.migrate(vmId('nobody'), a1, b1, tuning, plainStart))
    world.world.migrate(vm1, a1, b1, tuning, plainStart)
    world.to(completeAt + 1)
    world.world.prepare(b2, vm1)
    refused('source-refused', () => world.world.migrate(vm1, a1, b2, tuning, plainStart))
    assert.equal(world.status(), 'completed', 'what it was asked before stands')
  })

  test('it refuses when nobody listens at the target', () => {
    const world = bench()
    refused('path-lost', () => world.world.migrate(vm1, a1, b1, tuning, plainStart))
    world.world.prepare(b1, vm1)
    world.world.discard(b1, vm1)
    refused('path-lost', () => world.world.migrate(vm1, a1, b1, tuning, plainStart))
    assert.equal(world.copies(), 'a-1 running')
  })

  test('a target that is silent is tried for as long as a connection is', () => {
    const world = bench()
    world.world.prepare(b1, vm1)
    world.world.hostDown(b1, 'gone')
    world.world.migrate(vm1, a1, b1, tuning, plainStart)
    assert.equal(world.to(126_999).status(), 'starting')
    assert.equal(world.to(127_000).status(), 'failed')
    assert.equal(world.transfer().error, 'connection timed out')
    assert.equal(world.copies(), 'a-1 running')
  })

  test('so is one to which no path leads', () => {
    const paths = [aPath('a', 'c', { capacity: rate(10) })]
    assert.equal(bench(1, {}, { paths }).go().to(127_000).status(), 'failed')
  })
})

describe('what is changed in flight', () => {
  test('a cap slows it, and is lifted again', () => {
    const world = bench().go().to(1_000)
    world.world.adjust(vm1, { rate: rate(2) })
    assert.equal(world.to(1_001).transfer().rate, 2 * mib)
    world.world.adjust(vm1, { downtimeLimit: 500 })
    assert.equal(world.to(1_002).transfer().rate, 2 * mib, 'the cap stays when something else is changed')
    world.world.adjust(vm1, { rate: undefined })
    assert.equal(world.to(1_003).transfer().rate, 10 * mib)
  })

  test('a cap holds until the guest is stopped: its last part goes as fast as the path carries it', () => {
    const world = bench().go()
    world.world.adjust(vm1, { rate: rate(1) })
    // 300 ms of 1 MiB/s are left, which take 30 ms at 10.
    const slow = 120 + (100 - 0.3) * 1_000
    world.to(slow - 1)
    assert.deepEqual([world.status(), Math.round(world.transfer().rate / mib)], ['active', 1])
    world.to(slow + 1)
    assert.deepEqual([world.status(), Math.round(world.transfer().rate / mib)], ['stopping', 10])
    world.to(slow + 31)
    assert.equal(Math.round(world.transfer().remaining), 0)
  })

  test('a longer downtime limit stops the guest sooner', () => {
    const world = bench().go().to(1_000)
    world.world.adjust(vm1, { downtimeLimit: 2_000 })
    assert.equal(world.to(stoppedAt - 1_700 - 1).status(), 'active')
    assert.equal(world.to(stoppedAt - 1_700 + 1).status(), 'stopping')
    assert.ok(Math.abs((world.to(20_000).transfer().downtime ?? 0) - 2_100) < 1e-6)
  })

  test('a throttle is taken as it is told', () => {
    const world = bench().go().to(1_000)
    world.world.adjust(vm1, { throttle: 0.5 })
    assert.equal(world.transfer().throttle, 0.5)
  })

  test('what has ended, or never was, is not changed', () => {
    const world = bench(2)
      .go()
      .to(completeAt + 1)
    world.world.adjust(vm1, { rate: rate(1), downtimeLimit: 5 })
    assert.deepEqual([world.transfer().cap, world.transfer().downtimeLimit], [Infinity, 300])
    world.world.adjust(vm2, { rate: rate(1) })
    assert.equal(world.world.transferOf(vm2), undefined)
  })
})

describe('what is called back', () => {
  test('stops sending and runs on at home; the target still waits, and can be taken away', () => {
    for (const at of [50, 1_000, stoppedAt - 1]) {
      const world = bench().go().to(at)
      world.world.cancel(vm1)
      assert.equal(world.status(), 'cancelled')
      assert.equal(world.copies(), 'a-1 running, b-1 incoming')
      world.world.discard(b1, vm1)
      assert.equal(world.copies(), 'a-1 running')
      assert.equal(world.to(100_000).status(), 'cancelled', 'nothing of it comes back')
      world.go().to(200_000)
      assert.equal(world.status(), 'completed')
    }
  })

  test('too late once the guest has stopped: it goes over', () => {
    for (const at of [stoppedAt, sentAt, completeAt - 1]) {
      const world = bench().go().to(at)
      world.world.cancel(vm1)
      assert.equal(world.status(), 'stopping')
      assert.equal(world.to(completeAt).copies(), 'a-1 left, b-1 ready')
    }
  })

  test('too late in post-copy, and when all is over; and nothing happens where nothing was', () => {
    const world = bench(2).go(vm1, b1, withPostCopy).to(1_000)
    world.postCopy()
    world.world.cancel(vm1)
    assert.equal(world.status(), 'post-copy')
    world.to(60_000).world.cancel(vm1)
    assert.equal(world.status(), 'completed')
    world.world.cancel(vm2)
    assert.equal(world.copies(vm2), 'a-1 running')
  })
})

describe('what arrived', () => {
  test('runs when it is told to, once it is whole, and telling it again changes nothing', () => {
    const world = bench().go()
    refused('target-refused', () => world.world.run(b1, vm1))
    refused('target-refused', () => world.world.run(b2, vm1))
    world.to(completeAt - 1)
    refused('target-refused', () => world.world.run(b1, vm1))
    world.to(completeAt)
    assert.deepEqual(world.world.runsOn(vm1), [])
    world.world.run(b1, vm1)
    world.world.run(b1, vm1)
    assert.equal(world.copies(), 'a-1 left, b-1 running')
    assert.deepEqual(world.world.runsOn(vm1), [b1])
  })

  test('what was sent away runs at home again only when it is let go on', () => {
    const world = bench().go().to(completeAt)
    refused('target-refused', () => world.world.run(a1, vm1))
    world.world.discard(b1, vm1)
    world.world.resume(a1, vm1)
    world.world.resume(a1, vm1)
    assert.equal(world.copies(), 'a-1 running')
  })

  test('to go on is nothing to what runs, and does not make what is not there', () => {
    const world = bench()
    world.world.resume(a1, vm1)
    world.world.resume(b1, vm1)
    assert.equal(world.copies(), 'a-1 running')
  })

  test('it moves on from where it is', () => {
    const paths = [
      ['a', 'b'],
      ['b', 'a'],
    ].map(([from = '', to = '']) => aPath(from, to, { capacity: rate(10) }))
    const world = bench(1, {}, { paths }).go().to(11_000)
    world.world.run(b1, vm1)
    world.world.retire(a1, vm1)
    world.world.prepare(a1, vm1)
    world.world.migrate(vm1, b1, a1, tuning, plainStart)
    world.to(30_000).world.run(a1, vm1)
    world.world.retire(b1, vm1)
    assert.equal(world.copies(), 'a-1 running')
  })
})

describe('what is ended', () => {
  test('a source is ended once it does not run, and ending it again changes nothing', () => {
    const world = bench().go()
    refused('source-refused', () => world.world.retire(a1, vm1))
    world.to(completeAt).world.run(b1, vm1)
    refused('source-refused', () => world.world.retire(b1, vm1))
    world.world.retire(a1, vm1)
    world.world.retire(a1, vm1)
    assert.equal(world.copies(), 'b-1 running')
  })

  test('a target that never ran is ended, and ending it again changes nothing', () => {
    const world = bench()
    world.world.discard(b1, vm1)
    world.world.prepare(b1, vm1)
    world.world.discard(b1, vm1)
    world.world.discard(b1, vm1)
    assert.equal(world.copies(), 'a-1 running')
  })

  test('a copy that runs, ran or holds half of a guest is never discarded', () => {
    const world = bench().go()
    refused('target-refused', () => world.world.discard(a1, vm1))
    world.to(stoppedAt + 1)
    refused('target-refused', () => world.world.discard(a1, vm1))
    world.to(completeAt)
    refused('target-refused', () => world.world.discard(a1, vm1))
    world.world.run(b1, vm1)
    refused('target-refused', () => world.world.discard(b1, vm1))
    assert.equal(world.copies(), 'a-1 left, b-1 running')
    const split = bench().go(vm1, b1, withPostCopy).to(1_000)
    split.postCopy()
    for (const host of [a1, b1]) refused('target-refused', () => split.world.discard(host, vm1))
  })

  test('a target that is ended while memory flows breaks the migration, and the guest goes on at home', () => {
    for (const at of [50, 1_000, stoppedAt + 1, sentAt + 1]) {
      const world = bench().go().to(at)
      world.world.discard(b1, vm1)
      assert.equal(world.status(), 'failed')
      assert.equal(world.transfer().error, 'connection reset by the target')
      assert.equal(world.to(60_000).copies(), 'a-1 running')
    }
  })
})

describe('a guest that would run twice', () => {
  const twice = (act: () => void): void =>
    assert.throws(act, (error: unknown) => {
      assert.ok(error instanceof RanTwice)
      assert.match(error.message, /^vm-1 runs on a-1 and b-1$/)
      return true
    })

  test('is an error: its source is let go on while its target runs', () => {
    const world = bench().go().to(completeAt)
    world.world.run(b1, vm1)
    twice(() => world.world.resume(a1, vm1))
  })

  test('is an error: its target runs while its source was let go on', () => {
    const world = bench().go().to(completeAt)
    world.world.resume(a1, vm1)
    twice(() => world.world.run(b1, vm1))
  })
})

describe('post-copy', () => {
  test('is refused where no pre-copy is under way, and where it was not prepared for', () => {
    const world = bench(2)
    refused('source-refused', () => world.world.startPostCopy(vm1))
    world.go(vm1).to(50)
    refused('source-refused', () => world.world.startPostCopy(vm1))
    world.to(1_000)
    refused('source-refused', () => world.world.startPostCopy(vm1))
    world.to(stoppedAt + 1)
    refused('source-refused', () => world.world.startPostCopy(vm1))
    world.to(completeAt)
    refused('source-refused', () => world.world.startPostCopy(vm1))
  })

  test('the guest runs at the target while its memory comes, and all of it comes', () => {
    const world = bench().go(vm1, b1, withPostCopy).to(5_120)
    world.postCopy()
    assert.equal(world.copies(), 'a-1 split, b-1 split')
    assert.deepEqual(world.world.runsOn(vm1), [b1])
    for (const host of [a1, b1]) assert.deepEqual(world.world.presence(host, vm1), { state: 'split', broken: false })
    world.world.run(b1, vm1)
    // The other half, and the round trip that says so.
    assert.equal(world.to(connectedAt + 10_000 + 39).status(), 'post-copy')
    assert.equal(world.to(connectedAt + 10_000 + 40).status(), 'completed')
    assert.equal(world.copies(), 'a-1 left, b-1 running')
    assert.equal(world.transfer().sent, 100 * mib)
    assert.ok((world.transfer().downtime ?? 0) < 100)
  })

  test('asked for while the path is cut, it begins when the path speaks again, and till then the guest runs at home', () => {
    const world = bench().go(vm1, b1, withPostCopy).to(1_000)
    world.world.cut(ab)
    world.to(2_000).postCopy()
    assert.equal(world.to(5_000).copies(), 'a-1 running, b-1 incoming')
    assert.equal(world.status(), 'active')
    world.world.heal(ab)
    assert.equal(world.to(6_999).copies(), 'a-1 running, b-1 incoming')
    assert.equal(world.to(7_000).copies(), 'a-1 split, b-1 split')
    assert.equal(world.to(60_000).copies(), 'a-1 left, b-1 running')
  })

  test('asked for, it can still be called back until it begins', () => {
    const world = bench().go(vm1, b1, withPostCopy).to(1_000)
    world.world.cut(ab)
    world.to(2_000).postCopy()
    world.world.cancel(vm1)
    world.world.heal(ab)
    assert.equal(world.to(60_000).copies(), 'a-1 running, b-1 incoming')
  })

  test('what was written since the pass began goes too', () => {
    const dirty = { hot: mebibytes(20), period: ms(1_000), cold: bytesPerSecond(0) }
    const world = bench(1, { dirty }).go(vm1, b1, withPostCopy).to(5_120)
    world.postCopy()
    assert.equal(world.to(60_000).status(), 'completed')
    assert.ok(Math.abs(world.transfer().sent - 120 * mib) < 1)
  })

  test('broken, both halves wait; joined again, the rest comes', () => {
    const world = bench().go(vm1, b1, withPostCopy).to(5_120)
    world.postCopy()
    refused('path-lost', () => world.world.rejoin(vm1))
    world.to(6_120).world.breakConnections()
    assert.equal(world.status(), 'post-copy-broken')
    for (const host of [a1, b1]) assert.deepEqual(world.world.presence(host, vm1), { state: 'split', broken: true })
    const { sent } = world.to(30_000).transfer()
    assert.ok(Math.abs(sent - 60 * mib) < 1, 'nothing flows while it is broken')
    world.world.cut(ab)
    refused('path-lost', () => world.world.rejoin(vm1))
    world.world.heal(ab)
    world.world.rejoin(vm1)
    assert.equal(world.to(60_000).status(), 'completed')
    assert.equal(world.transfer().sent, 100 * mib)
    assert.deepEqual(world.world.runsOn(vm1), [b1])
    refused('path-lost', () => world.world.rejoin(vm1))
  })

  test('is joined again only while both hosts answer', () => {
    for (const lost of [a1, b1]) {
      const world = bench().go(vm1, b1, withPostCopy).to(1_000)
      world.postCopy()
      world.world.breakConnections()
      world.world.hostDown(lost, 'gone')
      assert.throws(() => world.world.rejoin(vm1), SimRefusal)
    }
  })

  test('a guest that lost its source in the middle of it runs nowhere', () => {
    const world = bench().go(vm1, b1, withPostCopy).to(1_000)
    world.postCopy()
    world.world.hostDown(a1, 'no power')
    assert.equal(world.status(), 'failed')
    assert.deepEqual(world.world.runsOn(vm1), [])
  })
})

describe('a path that is cut', () => {
  const at = (when: number, world: Bench) => world.to(when).transfer()

  test('carries nothing; whole again, it is silent for half of the outage, and then all goes on', () => {
    const world = bench().go().to(1_120)
    world.world.cut(ab)
    assert.ok(Math.abs(at(21_120, world).sent - 10 * mib) < 1)
    world.world.heal(ab)
    assert.ok(Math.abs(at(31_119, world).sent - 10 * mib) < 1)
    assert.ok(Math.abs(at(32_120, world).sent - 20 * mib) < 1)
    assert.equal(world.to(60_000).status(), 'completed')
    assert.equal(world.transfer().sent, 100 * mib)
  })

  test('is silent for two minutes at most', () => {
    const world = bench().go().to(1_120)
    world.world.cut(ab)
    world.to(601_120).world.heal(ab)
    assert.ok(Math.abs(at(721_119, world).sent - 10 * mib) < 1)
    assert.ok(at(722_120, world).sent > 19 * mib)
  })

  test('breaks its connections when they have waited for 924.6 s, and the guest runs on', () => {
    const world = bench().go().to(1_120)
    world.world.cut(ab)
    assert.equal(world.to(1_120 + 924_599).status(), 'active')
    assert.equal(world.to(1_120 + 924_600).status(), 'failed')
    assert.equal(world.transfer().error, 'connection timed out')
    assert.equal(world.copies(), 'a-1 running, b-1 incoming')
  })

  test('healed in time, it breaks nothing later', () => {
    const world = bench().go().to(1_120)
    world.world.cut(ab)
    world.to(500_000).world.heal(ab)
    assert.equal(world.to(2_000_000).status(), 'completed')
  })

  test('a guest that was stopped for its last part stands still until the path is whole, or its source gives up', () => {
    for (const [heals, status, copies] of [
      [true, 'completed', 'a-1 left, b-1 ready'],
      [false, 'failed', 'a-1 running, b-1 incoming'],
    ] as const) {
      for (const when of [stoppedAt + 100, sentAt + 50]) {
        const world = bench().go().to(when)
        world.world.cut(ab)
        world.to(when + 10_000)
        assert.equal(world.copies(), 'a-1 stopping, b-1 incoming')
        if (heals) world.world.heal(ab)
        assert.equal(world.to(2_000_000).status(), status)
        assert.equal(world.copies(), copies)
        if (heals) assert.ok((world.transfer().downtime ?? 0) >= 10_000, 'the outage is downtime')
      }
    }
  })

  test('a migration that begins in the meantime waits for it, but not for ever', () => {
    const world = bench()
    world.world.cut(ab)
    world.go()
    assert.equal(world.to(10_000).status(), 'starting')
    world.world.heal(ab)
    assert.equal(world.to(60_000).status(), 'completed')
    const never = bench()
    never.world.cut(ab)
    never.go()
    assert.equal(never.to(127_000).status(), 'failed')
    assert.equal(never.copies(), 'a-1 running, b-1 incoming')
  })

  test('touches nobody on another path', () => {
    const world = bench(2).go(vm1, b1).go(vm2, c1).to(1_000)
    world.world.cut(ab)
    world.to(20_000).world.heal(ab)
    assert.equal(world.status(vm2), 'completed')
    assert.equal(world.status(vm1), 'active')
  })

  test('what was healed without being cut is not silent', () => {
    const world = bench().go().to(1_120)
    world.world.heal(ab)
    assert.equal(world.to(completeAt).status(), 'completed')
  })
})

describe('a path that changes', () => {
  test('less is felt at once, more a round trip later', () => {
    const world = bench().go().to(1_000)
    world.world.changePath(ab, { capacity: rate(4) })
    assert.equal(world.to(1_000.01).transfer().rate, 4 * mib)
    world.world.changePath(ab, { capacity: rate(8) })
    assert.equal(world.to(1_039.99).transfer().rate, 4 * mib)
    assert.equal(world.to(1_041).transfer().rate, 8 * mib)
  })

  test('other people’s traffic takes its share, losses take theirs', () => {
    const world = bench().go().to(1_000)
    world.world.changePath(ab, { background: rate(3) })
    assert.ok(Math.abs(world.to(2_000).transfer().rate - 7 * mib) < 1)
    world.world.changePath(ab, { background: bytesPerSecond(0), loss: fraction(0.02) })
    assert.ok(world.to(3_000).transfer().rate < mib)
  })

  test('tells those who watch rates, once for all changes of one instant', () => {
    const world = bench(2).go(vm1).go(vm2).to(1_000)
    let told = 0
    world.world.onRates = () => (told += 1)
    world.world.changePath(ab, { capacity: rate(4) })
    world.world.adjust(vm1, { rate: rate(1) })
    world.world.adjust(vm2, { rate: rate(1) })
    world.to(1_001)
    assert.equal(told, 1)
  })
})

describe('connections that break', () => {
  test('end what flows; the guest goes on at home, stopped or not', () => {
    for (const at of [1_000, stoppedAt + 1]) {
      const world = bench().go().to(at)
      world.world.breakConnections()
      assert.equal(world.status(), 'failed')
      assert.equal(world.to(60_000).copies(), 'a-1 running, b-1 incoming')
    }
  })

  test('what is not connected yet, and what is through, is not touched', () => {
    const world = bench(2).go(vm1).to(completeAt)
    world.go(vm2).world.breakConnections()
    assert.deepEqual([world.status(vm1), world.status(vm2)], ['completed', 'starting'])
  })
})

describe('a host that goes down', () => {
  test('answers nothing any more, and refuses everything', () => {
    const { world } = bench(2).go().to(1_000)
    world.hostDown(b1, 'fire')
    assert.equal(world.isDown(b1), 'fire')
    assert.deepEqual(world.presence(b1, vm1), { state: 'unreachable', detail: 'fire' })
    world.hostDown(b1, 'flood')
    assert.equal(world.isDown(b1), 'fire', 'it went down once')
    refused('unreachable', () => world.prepare(b1, vm2))
    refused('unreachable', () => world.run(b1, vm1))
    refused('unreachable', () => world.discard(b1, vm1))
    world.hostDown(a1, 'fire')
    refused('unreachable', () => world.migrate(vm2, a1, b2, tuning, plainStart))
    refused('unreachable', () => world.resume(a1, vm1))
    refused('unreachable', () => world.retire(a1, vm1))
  })

  test('takes its guests with it, and what they were sending', () => {
    const world = bench(2).go().to(1_000)
    world.world.hostDown(a1, 'fire')
    assert.equal(world.status(), 'failed')
    assert.equal(world.transfer().error, 'the source lost power')
    assert.deepEqual([world.copies(vm1), world.copies(vm2)], ['b-1 incoming', ''])
    assert.deepEqual([...world.world.runsOn(vm1), ...world.world.runsOn(vm2)], [])
    assert.equal(world.to(60_000).copies(vm1), 'b-1 incoming')
  })

  test('leaves what had arrived whole elsewhere: it can run', () => {
    const world = bench().go().to(completeAt)
    world.world.hostDown(a1, 'fire')
    world.world.run(b1, vm1)
    assert.deepEqual(world.world.runsOn(vm1), [b1])
  })

  test('as a target: the source waits as long as a connection does, then the guest runs on', () => {
    for (const at of [1_000, stoppedAt + 1]) {
      const world = bench().go().to(at)
      world.world.hostDown(b1, 'fire')
      world.to(at + 924_599)
      assert.ok(['active', 'stopping'].includes(world.status()))
      assert.equal(world.to(at + 924_601).status(), 'failed')
      assert.deepEqual(world.world.runsOn(vm1), [a1])
    }
  })

  test('of another VM it is no concern', () => {
    const world = bench(2).go(vm1, b1).go(vm2, b2).to(1_000)
    world.world.hostDown(b1, 'fire')
    assert.equal(world.to(20_000).status(vm2), 'completed')
  })

  test('a site goes down with all its hosts', () => {
    const { world } = bench()
    world.siteDown(b, 'no power')
    assert.deepEqual(
      [a1, b1, b2, c1].map(host => world.isDown(host)),
      [undefined, 'no power', 'no power', undefined],
    )
  })
})

describe('failures of the timeline', () => {
  test('those of a target strike when it is made ready, as often as was said', () => {
    for (const how of ['target-out-of-memory', 'target-refused', 'no-free-port'] as const) {
      const { world } = bench(2)
      world.failNext(vm1, how, 2)
      world.prepare(b1, vm2)
      refused(how, () => world.prepare(b1, vm1))
      refused(how, () => world.prepare(b2, vm1))
      world.prepare(b1, vm1)
    }
  })

  test('that of a source strikes when it is told to send', () => {
    const world = bench()
    world.world.failNext(vm1, 'source-refused', 1)
    refused('source-refused', () => world.go())
    world.go()
    assert.equal(world.to(completeAt).status(), 'completed')
  })

  test('those in flight strike at once where memory flows, and else the next attempt', () => {
    for (const [how, copies] of [
      ['path-lost', 'a-1 running, b-1 incoming'],
      ['target-died', 'a-1 running'],
    ] as const) {
      const now = bench().go().to(1_000)
      now.world.failNext(vm1, how, 1)
      assert.equal(now.status(), 'failed')
      assert.equal(now.copies(), copies)
      const next = bench()
      next.world.failNext(vm1, how, 1)
      assert.equal(
        next
          .go()
          .to(connectedAt + 1)
          .status(),
        'failed',
      )
      assert.equal(next.copies(), copies)
      assert.equal(next.go().to(60_000).status(), 'completed')
    }
  })

  test('what has stopped for its last part is spared', () => {
    const world = bench()
      .go()
      .to(stoppedAt + 1)
    world.world.failNext(vm1, 'path-lost', 1)
    assert.equal(world.to(completeAt).status(), 'completed')
  })
})

describe('a guest', () => {
  const dirty = { hot: mebibytes(64), period: ms(1_000), cold: bytesPerSecond(0) }

  test('writes as it was measured, give or take a tenth, by its luck', () => {
    const measured = (luck: number) => bench(1, { dirty }, {}, () => luck).world.dirtyRate(vm1, 1_000)
    assert.equal(measured(0.5), 64 * mib)
    assert.ok(Math.abs((measured(0) ?? 0) - 0.9 * 64 * mib) < 4096)
    assert.ok(Math.abs((measured(1) ?? 0) - 1.1 * 64 * mib) < 4096)
  })

  test('changes its ways when the timeline says so', () => {
    const { world } = bench()
    assert.equal(world.dirtyRate(vm1, 1_000), 0)
    world.setDirty(vm1, dirty)
    assert.equal(world.dirtyRate(vm1, 1_000), 64 * mib)
    world.setDirty(vm1, undefined)
    assert.equal(world.dirtyRate(vm1, 1_000), 0)
  })

  test('cannot be measured where it does not run, is not known, or in no time', () => {
    const world = bench(1, { dirty })
    assert.equal(world.world.dirtyRate(vmId('nobody'), 1_000), undefined)
    assert.equal(world.world.dirtyRate(vm1, 0), undefined)
    world.world.hostDown(a1, 'fire')
    assert.equal(world.world.dirtyRate(vm1, 1_000), undefined)
  })
})

type Deed = {
  readonly what: (typeof deeds)[number]
  readonly vm: number
  readonly host: number
  readonly after: number
  readonly how: (typeof failsHow)[number]
}
const deeds = [
  'prepare',
  'migrate',
  'adjust',
  'post-copy',
  'rejoin',
  'cancel',
  'run',
  'resume',
  'retire',
  'discard',
  'fail',
  'cut',
  'heal',
  'path',
  'break',
  'host-down',
] as const
const arbDeed: fc.Arbitrary<Deed> = fc.record({
  what: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<Deed['what']>('prepare', 'migrate', 'run') },
    { weight: 2, arbitrary: fc.constantFrom(...deeds.filter(what => what !== 'host-down')) },
    { weight: 1, arbitrary: fc.constantFrom(...deeds) },
  ),
  vm: fc.integer({ min: 1, max: 2 }),
  host: fc.nat({ max: 3 }),
  after: fc.constantFrom(0, 1, 100, 1_000, 5_000, 10_000, 60_000),
  how: fc.constantFrom(...failsHow),
})

function carryOut({ world }: Bench, { what, vm: n, host: h, how }: Deed): void {
  const vm: VmId = n === 1 ? vm1 : vm2
  const host: HostId = [a1, b1, b2, c1][h] ?? a1
  const site = h < 3 ? b : c
  switch (what) {
    case 'prepare':
      return world.prepare(host, vm)
    case 'migrate':
      return world.migrate(vm, a1, host, tuning, h % 2 === 0 ? plainStart : withPostCopy)
    case 'adjust':
      return world.adjust(vm, { rate: rate(1 + h), downtimeLimit: 100 * h })
    case 'post-copy':
      return world.startPostCopy(vm)
    case 'rejoin':
      return world.rejoin(vm)
    case 'cancel':
      return world.cancel(vm)
    case 'run':
      return world.run(host, vm)
    case 'resume':
      return world.resume(host, vm)
    case 'retire':
      return world.retire(host, vm)
    case 'discard':
      return world.discard(host, vm)
    case 'fail':
      return world.failNext(vm, how, 1)
    case 'cut':
      return world.cut([a, site])
    case 'heal':
      return world.heal([a, site])
    case 'path':
      return world.changePath([a, site], { capacity: rate(h) })
    case 'break':
      return world.breakConnections()
    case 'host-down':
      return world.hostDown(host, 'fire')
  }
}

test('whatever it is told, a world refuses or does it, time goes on, and no VM is ever seen running twice', () => {
  const seen = new Map<string, number>()
  const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1)
  fc.assert(
    fc.property(fc.array(arbDeed, { maxLength: 60, size: 'max' }), all => {
      const world = bench(2, { dirty: { hot: mebibytes(4), period: ms(1_000), cold: bytesPerSecond(mib) } })
      try {
        for (const deed of all) {
          try {
            carryOut(world, deed)
            count('done')
          } catch (error) {
            if (!(error instanceof SimRefusal)) throw error
            count('refused')
          }
          world.to(world.kernel.now + deed.after)
          for (const vm of [vm1, vm2]) {
            assert.ok(world.world.runsOn(vm).length <= 1)
            const transfer = world.world.transferOf(vm)
            if (transfer === undefined) continue
            count(transfer.status)
            assert.ok(transfer.remaining >= 0 && transfer.sent >= 0)
            assert.ok(transfer.rate >= 0 && transfer.rate <= transfer.cap + 1e-3)
          }
        }
      } catch (error) {
        if (!(error instanceof RanTwice)) throw error
        count('ran twice')
      }
      // All alarms together are few, and come to an end but for guests that go on writing.
      assert.ok(world.kernel.waiting < 200, `${world.kernel.waiting} alarms`)
    }),
    runs(300),
  )
  for (const what of ['done', 'refused', 'completed', 'failed', 'cancelled'])
    assert.ok((seen.get(what) ?? 0) > 0, `the stories have ${what}: ${JSON.stringify([...seen])}`)
})

test('the same deeds make the same world again', () => {
  fc.assert(
    fc.property(fc.array(arbDeed, { maxLength: 40, size: 'max' }), all => {
      const played = (): readonly unknown[] => {
        const world = bench(2, { used: bytes(50 * mib) })
        try {
          for (const deed of all) {
            try {
              carryOut(world, deed)
            } catch (error) {
              if (!(error instanceof SimRefusal)) throw error
            }
            world.to(world.kernel.now + deed.after)
          }
        } catch (error) {
          if (!(error instanceof RanTwice)) throw error
        }
        return [vm1, vm2].map(vm => {
          const { status, sent, round, downtime } = world.world.transferOf(vm) ?? {}
          return [world.copies(vm), status, sent, round, downtime]
        })
      }
      assert.deepEqual(played(), played())
    }),
    runs(50),
  )
})
