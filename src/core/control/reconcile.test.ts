/** The whole table, held against the rules it must keep: a VM never runs twice, is never given up while it may be whole somewhere. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { presences } from '../../../test/arbitraries.ts'
import { type Presence, showPresence } from '../migration/presence.ts'
import { type Asked, patienceWithLoading, reconcile, type Verdict } from './reconcile.ts'

type Verb = Verdict['verdict']

interface Row extends Asked {
  readonly source: Presence
  readonly target: Presence
  readonly verdict: Verdict
  readonly said: string
}
const table: readonly Row[] = presences.flatMap(source =>
  presences.flatMap(target =>
    [false, true].flatMap(finishing =>
      [0, patienceWithLoading - 1, patienceWithLoading, 3_600_000].map((doubtFor): Row => {
        const asked = { where: { source, target }, finishing, doubtFor }
        const verdict = reconcile(asked)
        const said = `source ${name(source)}, target ${name(target)}${finishing ? ', told to run' : ''}: ${verdict.verdict}`
        return { ...asked, source, target, verdict, said }
      }),
    ),
  ),
)
function name(presence: Presence): string {
  return presence.state === 'paused' ? `paused/${presence.as}` : showPresence(presence)
}

const paused = (presence: Presence, ...as: readonly Extract<Presence, { state: 'paused' }>['as'][]): boolean =>
  presence.state === 'paused' && as.includes(presence.as)
/** Stopped with everything sent, or gone: nothing there resumes by itself. */
const departed = (source: Presence): boolean => source.state === 'absent' || paused(source, 'left')

/** Every row with this verdict keeps the rule; all that do not are listed at once. */
function holds(verb: Verb, rule: (row: Row) => boolean): void {
  const rows = table.filter(({ verdict }) => verdict.verdict === verb)
  assert.ok(rows.length > 0, `some row says ${verb}`)
  const broken = new Set(rows.filter(row => !rule(row)).map(({ said }) => said))
  assert.equal([...broken].join('\n'), '')
}

test('every combination of answers has a verdict', () => {
  assert.equal(table.length, presences.length ** 2 * 2 * 4)
  const verbs = new Set(table.map(({ verdict }) => verdict.verdict))
  assert.deepEqual(
    [...verbs].sort(),
    ['ask-again', 'died', 'finish', 'follow', 'home', 'landed', 'recover', 'roll-back'],
    'and no verdict is there for nothing',
  )
})

test('a VM whose target runs is never called home and never rolled back', () => {
  holds('home', ({ target }) => target.state !== 'running')
  holds('roll-back', ({ target }) => target.state !== 'running')
})

test('a VM is called home only when its source runs it, or holds it paused as somebody left it', () => {
  holds('home', ({ source }) => source.state === 'running' || paused(source, 'home'))
})

test('a VM is not called home while its target, which was told to run it, does not answer', () => {
  holds('home', ({ target, finishing }) => !(finishing && target.state === 'unreachable'))
})

test('what is rolled back at the target has never run: it is absent, loads, or is whole and waits', () => {
  holds(
    'roll-back',
    ({ target }) => target.state === 'absent' || target.state === 'incoming' || paused(target, 'ready'),
  )
})

test('a target that was told to run and is gone may have run: its source is not rolled back to', () => {
  holds('roll-back', ({ target, finishing }) => !(finishing && target.state === 'absent'))
})

test('a VM is rolled back only to a source that answered that it has it', () => {
  holds('roll-back', ({ source }) => source.state === 'running' || paused(source, 'home', 'left'))
})

test('a target is run only when the source is left or gone, or fell silent after it had sent everything', () => {
  holds('finish', ({ source, finishing }) => departed(source) || (source.state === 'unreachable' && finishing))
})

test('a target is run only when it is whole and stopped: ready, or told to run before and stopped still', () => {
  holds('finish', ({ target, finishing }) => paused(target, 'ready') || (finishing && paused(target, 'home')))
})

test('a VM that is whole at a target which was told to run, and stopped, is neither dead nor taken down', () => {
  for (const { source, target, finishing, verdict, said } of table) {
    if (!departed(source) || !finishing || !paused(target, 'home')) continue
    assert.ok(verdict.verdict === 'finish' || verdict.verdict === 'ask-again', said)
  }
})

test('a VM has landed only when its target runs and its source neither runs nor holds it as its own', () => {
  holds(
    'landed',
    ({ source, target }) => target.state === 'running' && source.state !== 'running' && !paused(source, 'home'),
  )
})

test('a VM whose target runs while its source left, is gone or fell silent has landed', () => {
  for (const { source, target, verdict, said } of table) {
    if (target.state !== 'running' || !(departed(source) || source.state === 'unreachable')) continue
    assert.equal(verdict.verdict, 'landed', said)
  }
})

test('two sides that both run are shown to the operator, and nothing is touched', () => {
  for (const { source, target, verdict, said } of table) {
    if (source.state !== 'running' || target.state !== 'running') continue
    assert.ok(verdict.verdict === 'ask-again' && /runs on BOTH sides/.test(verdict.why), said)
  }
})

test('nobody is called dead while one side does not answer', () => {
  holds('died', ({ source, target }) => source.state !== 'unreachable' && target.state !== 'unreachable')
})

test('nobody is called dead while one side holds the VM whole: running, or stopped with all its memory in place', () => {
  const whole = ({ state }: Presence): boolean => state === 'running' || state === 'paused'
  holds('died', ({ source, target }) => !whole(source) && !whole(target))
})

test('a half of a post-copy is followed or joined again only while the other half is, or may be, there', () => {
  const isSplit = ({ state }: Presence): boolean => state === 'split'
  holds('recover', ({ source, target }) => isSplit(source) || isSplit(target))
  holds('recover', ({ source, target }) => source.state !== 'absent' && target.state !== 'absent')
  for (const { verdict, source, target, said } of table)
    if (verdict.verdict === 'follow' && verdict.as === 'post-copy') assert.ok(isSplit(source) || isSplit(target), said)
})

test('a VM of which one half of a post-copy is left, and the other is gone, is dead', () => {
  for (const { source, target, verdict, said } of table) {
    const one = source.state === 'split' && target.state === 'absent'
    const other = source.state === 'absent' && target.state === 'split'
    if (one || other) assert.equal(verdict.verdict, 'died', said)
  }
})

test('a migration is followed only where its source is seen sending, or stopped on its way', () => {
  for (const { source, target, verdict, said } of table) {
    if (verdict.verdict !== 'follow') continue
    if (verdict.as === 'pre-copy')
      assert.ok(source.state === 'running' && source.migrating && target.state === 'incoming', said)
    if (verdict.as === 'switchover') assert.ok(paused(source, 'leaving'), said)
  }
})

test('where neither side answers, nothing is decided', () => {
  for (const { source, target, verdict, said } of table)
    if (source.state === 'unreachable' && target.state === 'unreachable')
      assert.equal(verdict.verdict, 'ask-again', said)
})

test('a doubt and a death quote both answers', () => {
  for (const { source, target, verdict } of table) {
    if (verdict.verdict !== 'ask-again' && verdict.verdict !== 'died') continue
    assert.ok(
      verdict.why.endsWith(`source says ${showPresence(source)}, target says ${showPresence(target)}`),
      verdict.why,
    )
  }
})

test('time alone never makes a VM dead, home, landed or finished', () => {
  const decisive: readonly Verb[] = ['died', 'home', 'landed', 'finish']
  for (const row of table) {
    const atOnce = reconcile({ ...row, doubtFor: 0 }).verdict
    if (atOnce !== row.verdict.verdict) assert.ok(!decisive.includes(row.verdict.verdict), row.said)
  }
})

test('a target that still loads after its source has left gets half a minute, then the source goes on', () => {
  const where = {
    source: { state: 'paused', as: 'left', detail: 'postmigrate' },
    target: { state: 'incoming' },
  } as const
  const after = (doubtFor: number): Verb => reconcile({ where, finishing: false, doubtFor }).verdict
  assert.deepEqual([0, 29_999, 30_000].map(after), ['ask-again', 'ask-again', 'roll-back'])
})

test('the ordinary cases, as an operator would put them', () => {
  const gone: Presence = { state: 'absent', detail: 'no process' }
  const silent: Presence = { state: 'unreachable', detail: 'timed out' }
  const runs: Presence = { state: 'running', migrating: false }
  const sends: Presence = { state: 'running', migrating: true }
  const left: Presence = { state: 'paused', as: 'left', detail: 'postmigrate' }
  const ready: Presence = { state: 'paused', as: 'ready', detail: 'arrived whole' }
  const loads: Presence = { state: 'incoming' }
  const cases: readonly (readonly [source: Presence, target: Presence, finishing: boolean, Verb])[] = [
    [runs, gone, false, 'home'],
    [runs, silent, false, 'home'],
    [runs, silent, true, 'ask-again'],
    [runs, loads, false, 'roll-back'],
    [sends, loads, false, 'follow'],
    [sends, silent, false, 'ask-again'],
    [left, ready, false, 'finish'],
    [left, ready, true, 'finish'],
    [left, runs, true, 'landed'],
    [left, gone, false, 'roll-back'],
    [left, gone, true, 'ask-again'],
    [left, silent, true, 'ask-again'],
    [gone, ready, false, 'finish'],
    [gone, runs, true, 'landed'],
    [gone, gone, false, 'died'],
    [gone, loads, false, 'died'],
    [gone, silent, false, 'ask-again'],
    [silent, ready, true, 'finish'],
    [silent, ready, false, 'ask-again'],
    [silent, gone, false, 'ask-again'],
    [{ state: 'split', broken: true }, silent, false, 'recover'],
    [{ state: 'split', broken: false }, { state: 'split', broken: false }, false, 'follow'],
  ]
  for (const [source, target, finishing, verb] of cases) {
    const { verdict } = reconcile({ where: { source, target }, finishing, doubtFor: 0 })
    assert.equal(verdict, verb, `source ${name(source)}, target ${name(target)}, finishing ${finishing}`)
  }
})
