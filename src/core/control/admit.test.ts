/** What becomes of a policy's wishes: those that the rules allow are carried out, the others change nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aSnapshot, migrationOf, someVms, startedFrom } from '../../../test/arbitraries.ts'
import { hostId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import { plainStart } from '../migration/start-options.ts'
import type { Candidate, Intent, Policy } from '../policy/policy.ts'
import { ms } from '../units.ts'
import type { Command } from './command.ts'
import type { Evacuation } from './evacuation.ts'
import type { Observed } from './observed.ts'
import { type Decision, routeOf } from './on-attempt.ts'
import { startEvacuation } from './start-evacuation.ts'
import { step } from './step.ts'

const vm = vmId('vm-1')
const of = { vm, attempt: 1 } as const
const tuning = { rate: undefined, downtimeLimit: ms(300) }
/** Wants this whenever it is asked. */
const wanting = (...intents: readonly Intent[]): Policy => {
  const policy: Policy = { name: 'scripted', slots: 1, decide: () => ({ intents, next: policy }) }
  return policy
}
const idle = wanting()
/** Nobody is made ready; two VMs are queued, planned for b-1 and b-2. */
const queued: Evacuation = {
  ...startEvacuation(startedFrom(aSnapshot({ vms: someVms(2) })), instant(0)),
  policy: idle,
}
const told = (state: Evacuation, at: number, event: Observed, policy = idle): Decision =>
  step({ ...state, policy }, event, instant(at))
const wish = (state: Evacuation, at: number, ...intents: readonly Intent[]): Decision =>
  told(state, at, { kind: 'tick' }, wanting(...intents))
const prepare = (change: Partial<Candidate> = {}): Intent => ({
  kind: 'prepare',
  candidates: [{ vm, options: plainStart, ...change }],
  atMost: 1,
})
const preparing = wish(queued, 1, prepare()).state
const ready = told(preparing, 2, { kind: 'target-ready', ...of }).state
const flowing = wish(ready, 3, { kind: 'start', vm, tuning }).state
const kinds = (commands: readonly Command[]): readonly string[] => commands.map(({ kind }) => kind)
const phase = ({ state }: Decision): string => migrationOf(state, 'vm-1').phase
const other = (host: string): string => (host === 'b-1' ? 'b-2' : 'b-1')
const targetOf = (state: Evacuation): string => {
  const m = migrationOf(state, 'vm-1')
  assert.ok('target' in m, m.phase)
  return m.target
}

test('the states to start from are what they are called', () => {
  assert.deepEqual(
    [queued, preparing, ready, flowing].map(state => migrationOf(state, 'vm-1').phase),
    ['queued', 'preparing', 'preparing', 'pre-copy'],
  )
})

describe('a wish that does not fit', () => {
  test('to start what is not ready, flows already, or while nothing is admitted, changes nothing', () => {
    const start: Intent = { kind: 'start', vm, tuning }
    for (const state of [queued, preparing, flowing]) assert.deepEqual(wish(state, 9, start).commands, [])
    const paused = told(ready, 9, { kind: 'operator', by: 'test', order: 'pause' }).state
    assert.deepEqual(wish(paused, 10, start).commands, [])
  })

  test('of a VM that is no part of it changes nothing', () => {
    const stranger = vmId('stranger')
    for (const intent of [
      { kind: 'start', vm: stranger, tuning },
      { kind: 'release', vm: stranger, why: 'so' },
      { kind: 'cancel', vm: stranger, why: 'so', again: 'elsewhere' },
    ] as const satisfies readonly Intent[])
      assert.deepEqual(wish(ready, 9, intent).commands, [])
  })
})

describe('to let a ready one go', () => {
  const release: Intent = { kind: 'release', vm, why: 'another way is idle' }

  test('takes its target down, and it is not started meanwhile', () => {
    const { state, commands } = wish(ready, 9, release)
    const [command, ...more] = commands
    assert.deepEqual(more, [])
    assert.ok(command?.kind === 'roll-back')
    assert.deepEqual(command.failure, { code: 'postponed', detail: 'another way is idle' })
    assert.deepEqual(wish(state, 10, { kind: 'start', vm, tuning }).commands, [])
    assert.deepEqual(wish(state, 10, release).commands, [], 'once is enough')
  })

  test('and then it waits again, for any target, without a pause', () => {
    const { state } = wish(ready, 9, release)
    const failure = { code: 'postponed', detail: 'another way is idle' } as const
    const back = migrationOf(told(state, 10, { kind: 'attempt-failed', ...of, failure }).state, 'vm-1')
    assert.ok(back.phase === 'queued')
    assert.deepEqual([back.excluded, back.notBefore, back.attempts], [[], 10, 1])
  })

  test('is for those that are ready and have received nothing', () => {
    for (const state of [queued, preparing, flowing]) assert.deepEqual(wish(state, 9, release).commands, [])
  })
})

test('what is taken down, by whatever cause, is not started meanwhile, whoever changes their mind', () => {
  const start: Intent = { kind: 'start', vm, tuning }
  const by = 'test'
  const site = startedFrom(aSnapshot({ vms: someVms(2) })).snapshot.hosts.find(({ id }) => id === targetOf(ready))?.site
  assert.ok(site !== undefined)
  const causes: readonly Observed[] = [
    { kind: 'operator', by, order: 'wind-down' },
    { kind: 'operator', by, order: 'endanger', site },
  ]
  for (const cause of causes) {
    for (const before of [ready, preparing]) {
      // One that is not ready yet reports when it is.
      const first = told(before, 9, cause, wanting(start))
      const { state, commands }: Decision =
        before === ready ? first : told(first.state, 9, { kind: 'target-ready', ...of }, wanting(start))
      assert.deepEqual(kinds(commands), ['roll-back'])
      const resumed = told(state, 10, { kind: 'operator', by, order: 'resume' }, wanting(start))
      assert.deepEqual(kinds(resumed.commands), [])
      const aborted = told(state, 10, { kind: 'operator', by, order: 'abort' })
      assert.deepEqual(kinds(aborted.commands), [], 'once is enough')
    }
  }
})

describe('to call one back', () => {
  const cancel = (again: boolean | 'elsewhere'): Intent => ({ kind: 'cancel', vm, why: 'so', again })
  const after = (again: boolean | 'elsewhere') => {
    const { state, commands } = wish(flowing, 9, cancel(again))
    assert.deepEqual(kinds(commands), ['cancel'])
    const broke = {
      kind: 'migration-broke',
      ...of,
      failure: { code: 'cancelled', detail: 'at the hypervisor' },
    } as const
    const [rollBack] = told(state, 10, broke).commands
    assert.ok(rollBack?.kind === 'roll-back')
    return { rollBack, state: told(state, 11, { kind: 'attempt-failed', ...of, failure: rollBack.failure }).state }
  }

  test('for good: it stays, with the reason', () => {
    const m = migrationOf(after(false).state, 'vm-1')
    assert.ok(m.phase === 'given-up')
    assert.deepEqual(m.failure, { code: 'cancelled', detail: 'so' })
  })

  test('for another time: it may go to the same target', () => {
    const { state, rollBack } = after(true)
    assert.equal(rollBack.failure.code, 'timed-out')
    const m = migrationOf(state, 'vm-1')
    assert.ok(m.phase === 'queued' && m.excluded.length === 0)
    assert.equal(targetOf(wish(state, 99_000, prepare()).state), targetOf(flowing))
  })

  test('for elsewhere: its target is passed over, whatever is preferred', () => {
    const { state, rollBack } = after('elsewhere')
    assert.equal(rollBack.failure.code, 'target-unreachable')
    const target = targetOf(flowing)
    const prefer = hostId(target)
    assert.equal(targetOf(wish(state, 99_000, prepare()).state), other(target))
    assert.equal(targetOf(wish(state, 99_000, prepare({ prefer })).state), other(target))
  })

  test('once, and only what flows', () => {
    const { state } = wish(flowing, 9, cancel(true))
    assert.deepEqual(wish(state, 10, cancel('elsewhere')).commands, [])
    for (const none of [queued, preparing, ready]) assert.deepEqual(wish(none, 9, cancel(true)).commands, [])
    const stopped = told(flowing, 9, { kind: 'guest-stopped', ...of }).state
    assert.deepEqual(wish(stopped, 10, cancel('elsewhere')).commands, [], 'past the point of no return')
  })
})

describe('to ask a host again that failed it', () => {
  const refused = (code: 'target-refused' | 'target-unreachable', times: number): Evacuation => {
    const failure = { code, detail: 'no' } as const
    const facts = [preparing]
    for (let n = 1; n <= times; n += 1) {
      const [state] = facts.slice(-1)
      assert.ok(state !== undefined)
      const failed = told(state, n * 100_000, { kind: 'attempt-failed', vm, attempt: n, failure }).state
      facts.push(n === times ? failed : wish(failed, n * 100_000 + 50_000, again(targetOf(preparing))).state)
    }
    const [last] = facts.slice(-1)
    assert.ok(last !== undefined)
    return last
  }
  const again = (host: string): Intent => prepare({ prefer: hostId(host), again: true })

  test('is done where the policy says so, and not where it does not', () => {
    const target = targetOf(preparing)
    const state = refused('target-refused', 1)
    assert.equal(targetOf(wish(state, 200_000, again(target)).state), target)
    assert.equal(targetOf(wish(state, 200_000, prepare({ prefer: hostId(target) })).state), other(target))
  })

  test('is done as often as such a failure allows', () => {
    const state = refused('target-refused', 7)
    assert.equal(phase(wish(state, 900_000, again(targetOf(preparing)))), 'preparing')
    const last = refused('target-refused', 8)
    assert.equal(migrationOf(last, 'vm-1').phase, 'given-up')
    assert.equal(phase({ state: refused('target-unreachable', 9), commands: [] }), 'queued')
  })
})

test('a bound of those that leave one host counts those that leave it already', () => {
  const candidates = [1, 2].map(n => ({ vm: vmId(`vm-${n}`), options: plainStart }))
  const prepared = (atMost: number, leaving: number): number =>
    kinds(
      wish(queued, 1, {
        kind: 'prepare',
        candidates,
        atMost: 2,
        perSource: { atMost, leaving: new Map([[hostId('a-1'), leaving]]) },
      }).commands,
    ).length
  assert.deepEqual([prepared(2, 0), prepared(2, 1), prepared(2, 2), prepared(1, 0)], [2, 1, 0, 1])
})

test('an adjustment is told as it is wished, with the mode in which the guest crosses from then on', () => {
  const limit = { rate: undefined, downtimeLimit: ms(9_000) }
  const { state, commands } = wish(flowing, 9, { kind: 'adjust', vm, tuning: limit, mode: 'stop-copy', why: 'so' })
  const m = migrationOf(state, 'vm-1')
  assert.ok(m.phase === 'pre-copy' && m.mode === 'stop-copy')
  assert.deepEqual(commands, [{ kind: 'adjust', ...routeOf(m), tuning: limit, why: 'so' }])
  const same = migrationOf(wish(state, 10, { kind: 'adjust', vm, tuning, why: 'so' }).state, 'vm-1')
  assert.ok(same.phase === 'pre-copy' && same.mode === 'stop-copy', 'and is not forgotten')
})
