/**
 * The contract of the port `Hypervisor`, as a suite every driver passes: `contract('qemu', harness)` is all it takes to join.
 * It moves one real (or simulated) guest to and fro and asks, at every step, what both sides say.
 *
 * Where a driver carries a VM over by itself (`selfCompleting`), a target is there only while memory flows, runs without being told, and
 * ends its source: what must hold for it is asked in place of what it cannot do.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type VmId, vmId } from '../core/ids.ts'
import type { PolicyWords } from '../core/inventory/policy-words.ts'
import { MigrationError } from '../core/migration/failure.ts'
import { plainStart, type StartOptions } from '../core/migration/start-options.ts'
import { bytesPerSecond, mebibytes, ms, seconds } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { poll } from '../time/with-deadline.ts'
import { finish, retire, rollBack, runSplit, type Sides, whereIs } from './hand-over.ts'
import { PolicyNotWritten } from './policy-not-written.ts'
import type { Definition, Hypervisor, MigrationStatus, Sample } from './hypervisor.ts'
import { NotProven, proveGone, proveRunning } from './prove.ts'

/** Two hosts, a guest on one of them, and what can be done to the line between them. */
export interface ContractWorld {
  readonly home: Hypervisor
  readonly away: Hypervisor
  readonly vm: VmId
  /** Another on one of the two, with a disk that only its host has. */
  readonly withDisk: VmId
  readonly clock: Clock
  /** Ends every connection of running migrations at once, as a router that lost its state does; undefined where this cannot be done. */
  readonly breakConnections: (() => Promise<void>) | undefined
  /** Lets somebody else have the first migration port of `away`; returns how to give it back. */
  readonly takeFirstPort: (() => Promise<() => Promise<void>>) | undefined
  /** @returns whether the guest is seen alive by its own word, at most once each moment */
  guestLives(): Promise<boolean>
  down(): Promise<void>
}

export interface ContractHarness {
  /** Why the suite cannot run here, in words. */
  readonly skip: string | undefined
  /** The world it makes has no migration ports that could be taken: then there is nothing to ask about them. */
  readonly portless?: boolean
  /** Its driver takes a source to its target by itself: nothing waits there to be told. */
  readonly selfCompleting?: boolean
  /** The whole contract was kept over another way to the same driver: asked are only the questions, the events, a sending, and a move. */
  readonly brief?: boolean
  /** Connections of running migrations cannot be broken in it. */
  readonly unbreakable?: boolean
  up(): Promise<ContractWorld>
}

const patience = 60_000
const askEvery = ms(20)
const slow = mebibytes(1)

/** What this world has no answer to is not asked of it. */
const unasked = (_name: string, _ask: () => Promise<void>): void => undefined

export function contract(driver: string, harness: ContractHarness): void {
  describe(`contract of the hypervisor port: ${driver}`, { skip: harness.skip ?? false }, () => {
    let world: ContractWorld
    /** Where the guest is now. */
    let sides: Sides
    const signal = (): AbortSignal => AbortSignal.timeout(patience)

    before(async () => {
      world = await harness.up()
      sides = { source: world.home, target: world.away }
    })
    after(async () => {
      await world?.down()
    })

    const selfCompleting = (): boolean => world.home.capabilities.selfCompleting
    /** What both sides say of a target that was made ready, and of a source that was sent away. */
    const prepared = (): string => (selfCompleting() ? 'running / absent' : 'running / incoming')
    const sentAway = (): RegExp => (selfCompleting() ? /^(paused|absent) \/ running$/ : /^paused \/ running$/)

    const swap = (): void => {
      sides = { source: sides.target, target: sides.source }
    }
    const untilStatus = (wanted: readonly MigrationStatus[]): Promise<Sample> =>
      poll(world.clock, askEvery, signal(), async inner => {
        const sample = await sides.source.sample(world.vm, inner)
        return wanted.includes(sample.status) ? sample : undefined
      })
    let kept: Definition | undefined
    const send = async (options: StartOptions, rate: number | undefined): Promise<void> => {
      const definition = await sides.source.definition(world.vm, signal())
      kept = definition
      const landing = await sides.target.prepare(definition, options, signal())
      const tuning = { rate: rate === undefined ? undefined : bytesPerSecond(rate), downtimeLimit: ms(300) }
      await sides.source.migrate(world.vm, landing, tuning, options, signal())
    }
    const states = async (): Promise<string> => {
      const { source, target } = await whereIs(sides, world.vm, signal())
      return `${source.state} / ${target.state}`
    }

    const atLength = harness.brief === true ? unasked : test

    test('says what a host has, and who lives there', async () => {
      const facts = await world.home.facts(signal())
      assert.ok(facts.memory > 0)
      assert.notEqual(facts.version, 'unknown')
      const listed = async (host: Hypervisor) =>
        (await host.list(signal()))
          .filter(({ vm }) => vm.id !== world.withDisk)
          .map(({ vm, presence }) => [vm.id, presence.state])
      assert.deepEqual(await listed(world.home), [[world.vm, 'running']])
      assert.deepEqual(await listed(world.away), [])
    })

    test('watches: first what is there, then what changes', async () => {
      const stop = new AbortController()
      const changes = world.home.watch(AbortSignal.any([stop.signal, signal()]))[Symbol.asyncIterator]()
      const first = await changes.next()
      assert.ok(first.done !== true && first.value.kind === 'appeared')
      assert.equal(first.value.listing.vm.id, world.vm)
      stop.abort()
    })

    test('answers for a VM that exists, and for one that does not', async () => {
      assert.deepEqual(await world.home.presence(world.vm, signal()), { state: 'running', migrating: false })
      assert.equal((await world.away.presence(world.vm, signal())).state, 'absent')
      assert.equal((await world.away.presence(vmId('nobody'), signal())).state, 'absent')
      await assert.rejects(world.home.definition(vmId('nobody'), signal()), MigrationError)
    })

    atLength('measures how fast a guest writes', async () => {
      // A guest on a busy machine may stand still for a whole second, and its pages are only sampled.
      const attempts = 5
      const rates: (number | undefined)[] = []
      while (rates.length < attempts && !rates.some(rate => rate !== undefined && rate > 0))
        rates.push(await world.home.measureDirtyRate(world.vm, seconds(1), signal()))
      assert.ok((rates.at(-1) ?? 0) > 0, `a guest with a hot set was measured at ${rates.join(', ')} B/s`)
    })

    atLength('a target that listens has never run, and can be taken away', async () => {
      const definition = await sides.source.definition(world.vm, signal())
      await sides.target.prepare(definition, plainStart, signal())
      assert.equal(await states(), prepared())
      await assert.rejects(proveRunning(sides.target, world.vm, signal()), NotProven)
      await sides.target.discard(world.vm, signal())
      await sides.target.discard(world.vm, signal())
      assert.equal(await states(), 'running / absent')
    })

    atLength('what an earlier attempt left at the target is no hindrance', async () => {
      const definition = await sides.source.definition(world.vm, signal())
      await sides.target.prepare(definition, plainStart, signal())
      await sides.target.prepare(definition, plainStart, signal())
      await sides.target.discard(world.vm, signal())
      assert.equal(await states(), 'running / absent')
    })

    atLength('a guest that lives on a host is in the way of another of its name', async () => {
      const definition = await sides.source.definition(world.vm, signal())
      await assert.rejects(sides.source.prepare(definition, plainStart, signal()), (error: unknown) => {
        assert.ok(error instanceof MigrationError)
        assert.equal(error.failure.code, 'target-refused')
        return true
      })
      assert.equal(await states(), 'running / absent')
    })

    atLength('a host never ends a guest that runs there as if it were a leftover', async () => {
      await assert.rejects(sides.source.discard(world.vm, signal()), MigrationError)
      assert.equal(await states(), 'running / absent')
    })

    test('sends at the rate it is told, can be told another, and can be called back', async () => {
      await send(plainStart, slow)
      await untilStatus(['active'])
      assert.equal(await states(), 'running / incoming')
      await world.clock.sleep(ms(1_000), signal())
      const capped = await sides.source.sample(world.vm, signal())
      assert.ok(capped.sent < 8 * slow, `${capped.sent} bytes in a second at a cap of ${slow} B/s`)
      assert.ok(capped.remaining > 0)
      assert.ok(capped.total >= capped.remaining)
      if (sides.source.capabilities.inFlight.rate) {
        await sides.source.adjust(world.vm, { rate: bytesPerSecond(4 * slow) }, signal())
        await world.clock.sleep(ms(1_500), signal())
        const faster = await sides.source.sample(world.vm, signal())
        assert.ok(
          faster.sent - capped.sent > 2.5 * slow,
          `${faster.sent - capped.sent} bytes in 1.5 s at a cap of ${4 * slow} B/s`,
        )
      }
      await sides.source.cancel(world.vm, signal())
      await untilStatus(['cancelled', 'failed'])
      await rollBack(sides, world.vm, signal())
      assert.equal(await states(), 'running / absent')
      assert.ok(await world.guestLives())
    })

    test('says something changed when it does', async () => {
      const stop = new AbortController()
      const rings = sides.source.signals(world.vm, AbortSignal.any([stop.signal, signal()]))[Symbol.asyncIterator]()
      const ring = rings.next()
      await send(plainStart, slow)
      assert.deepEqual(await ring, { done: false, value: 'changed' })
      stop.abort()
      await sides.source.cancel(world.vm, signal())
      await untilStatus(['cancelled', 'failed'])
      await rollBack(sides, world.vm, signal())
    })

    const waitsToBeTold = harness.selfCompleting === true ? unasked : atLength
    const goesByItself = harness.selfCompleting === true ? atLength : unasked
    const breaks = harness.unbreakable === true ? unasked : atLength

    waitsToBeTold('arrived whole, it runs nowhere until it is told to, and can still go home', async () => {
      await send(plainStart, undefined)
      await untilStatus(['completed'])
      const where = await poll(world.clock, askEvery, signal(), async inner => {
        const seen = await whereIs(sides, world.vm, inner)
        return seen.target.state === 'paused' ? seen : undefined
      })
      assert.deepEqual(
        [where.source.state === 'paused' && where.source.as, where.target.state === 'paused' && where.target.as],
        ['left', 'ready'],
      )
      await assert.rejects(retire(sides, world.vm, kept, signal()), NotProven)
      await rollBack(sides, world.vm, signal())
      assert.equal(await states(), 'running / absent')
      assert.ok(await world.guestLives())
    })

    goesByItself(
      'while it is on its way it is at home only: nothing ends it there, and what ends its target costs an attempt',
      async () => {
        await send(plainStart, slow)
        await untilStatus(['active'])
        await assert.rejects(retire(sides, world.vm, kept, signal()), NotProven)
        await assert.rejects(finish(sides, world.vm, world.clock, signal()), NotProven)
        await sides.target.discard(world.vm, signal())
        const last = await untilStatus(['cancelled', 'failed'])
        assert.ok(last.error !== undefined)
        await rollBack(sides, world.vm, signal())
        assert.equal(await states(), 'running / absent')
        assert.ok(await world.guestLives())
      },
    )

    /** Asked in this order, two answers "running" are no race: a source that ran after its target did. */
    const neverTwice = async (stop: AbortSignal): Promise<number> => {
      let asked = 0
      while (!stop.aborted) {
        const target = await sides.target.presence(world.vm, signal())
        const source = await sides.source.presence(world.vm, signal())
        assert.ok(target.state !== 'running' || source.state !== 'running', 'it ran on both sides')
        asked += 1
        await world.clock.sleep(askEvery, signal())
      }
      return asked
    }

    const said: PolicyWords = { value: 3, antiAffinity: 'db & "co"', maxDowntime: ms(1_500) }
    const saidAt = async (side: Hypervisor): Promise<unknown> => {
      const [listing] = await side.list(signal())
      assert.deepEqual(listing?.unread, [])
      const { value, antiAffinity, maxDowntime, group } = listing?.own ?? {}
      assert.equal(listing?.vm.value, value ?? 1)
      return [value, antiAffinity, maxDowntime, group]
    }

    test('keeps what is said of a VM in its own definition, until it is taken away', async () => {
      const { source } = sides
      if (source.setPolicy === undefined) return
      await source.setPolicy(world.vm, { group: 'before' }, signal())
      await source.setPolicy(world.vm, said, signal())
      assert.deepEqual(await saidAt(source), [3, 'db & "co"', 1_500, undefined])
      await source.setPolicy(world.vm, {}, signal())
      await source.setPolicy(world.vm, {}, signal())
      assert.deepEqual(await saidAt(source), [undefined, undefined, undefined, undefined])
      await assert.rejects(source.setPolicy(vmId('nobody'), said, signal()), PolicyNotWritten)
      await source.setPolicy(world.vm, said, signal())
    })

    test('moves: runs at the target, and only then is the source ended', async () => {
      const stop = new AbortController()
      const watching = selfCompleting() ? neverTwice(stop.signal) : undefined
      const last = await send(plainStart, undefined)
        .then(() => untilStatus(['completed']))
        .finally(() => stop.abort())
      assert.ok((await watching) !== 0)
      assert.ok(last.sent > 0)
      await finish(sides, world.vm, world.clock, signal())
      assert.match(await states(), sentAway())
      await assert.rejects(rollBack(sides, world.vm, signal()), MigrationError)
      await assert.rejects(proveGone(sides.target, world.vm, signal()), NotProven)
      await retire(sides, world.vm, kept, signal())
      await retire(sides, world.vm, kept, signal())
      assert.equal(await states(), 'absent / running')
      const idsAt = async (host: Hypervisor) =>
        (await host.list(signal())).map(({ vm }) => vm.id).filter(id => id !== world.withDisk)
      assert.deepEqual(await idsAt(sides.source), [])
      assert.deepEqual(await idsAt(sides.target), [world.vm])
      if (sides.target.setPolicy !== undefined)
        assert.deepEqual(await saidAt(sides.target), [3, 'db & "co"', 1_500, undefined], 'it travels')
      swap()
      assert.ok(await world.guestLives())
    })

    if (harness.brief !== true) {
      test('a disk that only its host has goes along: first, and counted; called back, nothing of it is left', async () => {
        const { withDisk, clock } = world
        const isHere = (await world.home.presence(withDisk, signal())).state === 'running'
        const [home, away] = isHere ? [world.home, world.away] : [world.away, world.home]
        const pair = { source: home, target: away }
        const both = async (): Promise<string> => {
          const { source, target } = await whereIs(pair, withDisk, signal())
          return `${source.state} / ${target.state}`
        }
        const begin = async (rate: number | undefined): Promise<void> => {
          const landing = await away.prepare(await home.definition(withDisk, signal()), plainStart, signal())
          const tuning = { rate: rate === undefined ? undefined : bytesPerSecond(rate), downtimeLimit: ms(300) }
          await home.migrate(withDisk, landing, tuning, plainStart, signal())
        }
        const until = (found: (sample: Sample) => boolean): Promise<Sample> =>
          poll(clock, askEvery, signal(), async inner => {
            const sample = await home.sample(withDisk, inner)
            return found(sample) ? sample : undefined
          })
        await begin(2 * slow)
        const first = await until(({ status, disk }) => status === 'active' && disk !== undefined && disk.total > 0)
        assert.ok(first.disk !== undefined && first.round === 0, `memory is in round ${first.round}`)
        assert.ok(first.total > first.disk.total && first.remaining > first.disk.remaining, 'memory counts too')
        assert.equal(first.sent, first.disk.copied)
        assert.deepEqual(await home.presence(withDisk, signal()), { state: 'running', migrating: true })
        await home.cancel(withDisk, signal())
        await until(({ status }) => status === 'cancelled' || status === 'failed')
        await rollBack(pair, withDisk, signal())
        assert.equal(await both(), 'running / absent')
        await begin(undefined)
        const last = await until(({ status }) => status === 'completed')
        assert.ok(last.disk !== undefined && last.disk.total >= first.disk.total && last.sent > last.disk.total)
        await finish(pair, withDisk, clock, signal())
        await retire(pair, withDisk, await home.definition(withDisk, signal()).catch(() => undefined), signal())
        assert.equal(await both(), 'absent / running')
      })
    }

    const ports =
      harness.portless === true || harness.brief === true ? [] : ['a port that somebody else has is passed over']
    for (const name of ports)
      test(name, async () => {
        assert.ok(world.takeFirstPort !== undefined)
        const giveBack = await world.takeFirstPort()
        try {
          const definition = await sides.source.definition(world.vm, signal())
          await sides.target.prepare(definition, plainStart, signal())
          await sides.target.discard(world.vm, signal())
          assert.equal(await states(), 'running / absent')
        } finally {
          await giveBack()
        }
      })

    const postCopy = { ...plainStart, postCopy: true }
    atLength('post-copy: runs at the target while its memory still comes', async () => {
      if (!sides.source.capabilities.inFlight.postCopy) return
      await send(postCopy, 4 * slow)
      await untilStatus(['active'])
      await world.clock.sleep(ms(300), signal())
      await sides.source.startPostCopy(world.vm, signal())
      await untilStatus(['post-copy', 'completed'])
      await runSplit(sides, world.vm, signal())
      await sides.source.adjust(world.vm, { rate: undefined }, signal())
      await untilStatus(['completed'])
      await finish(sides, world.vm, world.clock, signal())
      await retire(sides, world.vm, kept, signal())
      assert.equal(await states(), 'absent / running')
      swap()
      assert.ok(await world.guestLives())
    })

    breaks('post-copy whose connections broke is joined again', async () => {
      assert.ok(world.breakConnections !== undefined && sides.source.capabilities.inFlight.postCopy)
      await send(postCopy, 2 * slow)
      await untilStatus(['active'])
      await sides.source.startPostCopy(world.vm, signal())
      await untilStatus(['post-copy'])
      await runSplit(sides, world.vm, signal())
      await world.breakConnections()
      await untilStatus(['post-copy-broken'])
      // A target whose main thread waits for a page that does not come cannot answer; it can be joined again all the same.
      const where = await poll(world.clock, askEvery, signal(), async inner => {
        const seen = await whereIs(sides, world.vm, inner)
        const noticed = seen.target.state === 'split' && seen.target.broken
        return noticed || seen.target.state === 'unreachable' ? seen : undefined
      })
      assert.equal(where.source.state, 'split')
      const landing = await sides.target.reopen(world.vm, signal())
      await sides.source.rejoin(world.vm, landing, signal())
      await sides.source.adjust(world.vm, { rate: undefined }, signal())
      await untilStatus(['completed'])
      await finish(sides, world.vm, world.clock, signal())
      await retire(sides, world.vm, kept, signal())
      assert.equal(await states(), 'absent / running')
      swap()
      assert.ok(await world.guestLives())
    })
  })
}
