import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aHost, aPath, aSite, aSnapshot, aVm } from '../../test/arbitraries.ts'
import type { Observed } from '../core/control/observed.ts'
import { hostId, vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { plainStart } from '../core/migration/start-options.ts'
import { chanceOf } from '../core/sim/chance.ts'
import { Kernel } from '../core/sim/kernel.ts'
import { SimWorld } from '../core/sim/sim-world.ts'
import { bytesPerSecond, ms } from '../core/units.ts'
import { SimulatedHost } from '../hypervisor/simulated/simulated-host.ts'
import { VirtualClock } from '../hypervisor/simulated/virtual-clock.ts'
import type { Journal } from '../journal/journal.ts'
import { Executor } from './executor.ts'

const snapshot = aSnapshot({
  sites: [aSite('a'), aSite('b', { safe: true })],
  hosts: [aHost('a-1', 'a'), aHost('b-1', 'b')],
  paths: [aPath('a', 'b')],
  vms: [aVm('web', 'a-1')],
})
const route = { vm: vmId('web'), source: hostId('a-1'), target: hostId('b-1'), attempt: 1 }
const noJournal: Journal = {
  read: () => [],
  newest: () => [],
  close: () => undefined,
  append: () => undefined,
  useReserve: () => false,
}

test('what is said to a migration while it is being started is said when it runs', async () => {
  const kernel = new Kernel(instant(0))
  const clock = new VirtualClock(kernel)
  const world = new SimWorld(snapshot, kernel, chanceOf(1))
  const said: string[] = []
  /** As libvirt's: it takes a while until there is a job that could be told anything. */
  class SlowHost extends SimulatedHost {
    override async migrate(...told: Parameters<SimulatedHost['migrate']>): Promise<void> {
      said.push('migrate')
      await clock.sleep(ms(700), told[4])
      await super.migrate(...told)
      said.push('flows')
    }
    override async adjust(...told: Parameters<SimulatedHost['adjust']>): Promise<void> {
      said.push(`adjust to ${told[1].rate}`)
      await super.adjust(...told)
    }
    override async cancel(...told: Parameters<SimulatedHost['cancel']>): Promise<void> {
      said.push('cancel')
      await super.cancel(...told)
    }
  }
  const hosts = snapshot.hosts.map(({ id }) => new SlowHost({ host: id, snapshot, world, clock }))
  const find = (host: string) => {
    const found = hosts.find(each => each.host === host)
    if (found === undefined) throw new Error(`no host ${host}`)
    return found
  }
  const seen: Observed['kind'][] = []
  const stop = new AbortController()
  let ended: (() => void) | undefined
  const broke = new Promise<void>(resolve => (ended = resolve))
  const executor = new Executor(
    { clock, journal: noJournal, hypervisor: find },
    event => {
      seen.push(event.kind)
      if (event.kind === 'target-ready') {
        const tuning = { rate: bytesPerSecond(1_000), downtimeLimit: ms(300) }
        executor.submit({ kind: 'migrate', ...route, tuning, options: plainStart })
        executor.submit({ kind: 'adjust', ...route, tuning: { ...tuning, rate: bytesPerSecond(2_000) }, why: 'test' })
        executor.submit({ kind: 'cancel', ...route, why: 'test' })
      }
      if (event.kind === 'migration-broke') ended?.()
    },
    stop.signal,
  )
  executor.submit({ kind: 'prepare', ...route, options: plainStart })
  await broke
  stop.abort()
  await executor.settled()
  assert.deepEqual(said, ['migrate', 'flows', 'adjust to 2000', 'cancel'])
  assert.ok(!seen.includes('command-failed'))
})

test('the target is not touched for a VM that somebody else moves, or that does not run', async () => {
  for (const presence of [
    { state: 'running', migrating: true },
    { state: 'paused', as: 'left', detail: 'postmigrate' },
  ] as const) {
    const kernel = new Kernel(instant(0))
    const clock = new VirtualClock(kernel)
    const world = new SimWorld(snapshot, kernel, chanceOf(1))
    const { capabilities: plain } = new SimulatedHost({ host: route.source, snapshot, world, clock })
    class OthersHost extends SimulatedHost {
      /** As libvirt: a migration that another began would end in the midst of it. */
      override readonly capabilities = { ...plain, selfCompleting: true }
      override presence(...told: Parameters<SimulatedHost['presence']>): ReturnType<SimulatedHost['presence']> {
        return this.host === route.source ? Promise.resolve(presence) : super.presence(...told)
      }
      override prepare(): ReturnType<SimulatedHost['prepare']> {
        throw new Error('the target was touched')
      }
    }
    const hosts = snapshot.hosts.map(({ id }) => new OthersHost({ host: id, snapshot, world, clock }))
    const find = (host: string) => {
      const found = hosts.find(each => each.host === host)
      if (found === undefined) throw new Error(`no host ${host}`)
      return found
    }
    const seen: Observed[] = []
    const executor = new Executor(
      { clock, journal: noJournal, hypervisor: find },
      event => seen.push(event),
      new AbortController().signal,
    )
    executor.submit({ kind: 'prepare', ...route, options: plainStart })
    await executor.settled()
    const [failed] = seen
    assert.ok(failed?.kind === 'attempt-failed' && failed.failure.code === 'source-refused')
  }
})
