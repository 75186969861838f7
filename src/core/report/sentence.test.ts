import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  aProgress,
  arbStory,
  aSnapshot,
  failures,
  presences,
  runs,
  someVms,
  startedFrom,
} from '../../../test/arbitraries.ts'
import type { Command } from '../control/command.ts'
import type { Observed, ObservedKind } from '../control/observed.ts'
import { step } from '../control/step.ts'
import { hostId, vmId, siteId } from '../ids.ts'
import { instant } from '../instant.ts'
import { plainStart } from '../migration/start-options.ts'
import { bytes, fraction, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { decisionOf, sentenceOf } from './sentence.ts'

const of = { vm: vmId('web'), attempt: 2 } as const
const failure = { code: 'path-lost', detail: 'the link was cut' } as const
const tuning = { rate: megabitsPerSecond(50), downtimeLimit: ms(300) } as const
const where = {
  source: { state: 'paused', as: 'left', detail: 'postmigrate' },
  target: { state: 'running', migrating: false },
} as const

/** What each fact reads like. A kind without an example does not type-check. */
const facts: { readonly [K in ObservedKind]: readonly [Extract<Observed, { kind: K }>, string | undefined] } = {
  'evacuation-started': [
    startedFrom(aSnapshot({ vms: someVms(2) })),
    'evacuation a-1 of a to b: 2 VMs, policy sequential',
  ],
  tick: [{ kind: 'tick' }, undefined],
  'host-load': [
    { kind: 'host-load', hosts: [{ host: hostId('a-1'), busy: fraction(0.99), waiting: fraction(0.8) }] },
    'a-1: its processors are 99 % busy, tasks wait for one 80 % of the time: until that ends no more at a time are tried out of it, little is squeezed there, and others of its site receive first',
  ],
  network: [
    { kind: 'network', paths: [{ from: siteId('a'), to: siteId('b'), queueing: ms(40), loss: fraction(0.001) }] },
    undefined,
  ],
  'controller-restarted': [{ kind: 'controller-restarted', by: 'root@desk' }, 'controller restarted by root@desk'],
  operator: [{ kind: 'operator', by: 'root@desk', order: 'pause' }, 'root@desk orders pause'],
  'definition-kept': [
    { kind: 'definition-kept', ...of, source: hostId('a-1'), driver: 'libvirt', text: '<domain/>' },
    'web: its definition at a-1 is kept (libvirt, 9 characters)',
  ],
  'target-ready': [{ kind: 'target-ready', ...of }, 'web: target is ready'],
  'memory-flowing': [{ kind: 'memory-flowing', ...of }, 'web: memory flows'],
  progress: [
    { kind: 'progress', ...of, progress: aProgress({ round: 3, dirtyRate: megabitsPerSecond(20) }) },
    'web: round 3, sent 50.0 MiB, 50.0 MiB to go at 100 Mbit/s, dirties 20.0 Mbit/s',
  ],
  'guest-stopped': [{ kind: 'guest-stopped', ...of }, 'web: stopped at the source for the last part'],
  'sent-whole': [{ kind: 'sent-whole', ...of }, 'web: sent whole'],
  'post-copy-began': [{ kind: 'post-copy-began', ...of }, 'web: in post-copy'],
  'post-copy-broke': [{ kind: 'post-copy-broke', ...of, why: 'no route' }, 'web: post-copy broke: no route'],
  'migration-broke': [{ kind: 'migration-broke', ...of, failure }, 'web: migration broke: path-lost: the link was cut'],
  'attempt-failed': [{ kind: 'attempt-failed', ...of, failure }, 'web: attempt 2 failed: path-lost: the link was cut'],
  'attempt-unclear': [
    { kind: 'attempt-unclear', ...of, why: 'timed out' },
    'web: not known what became of attempt 2: timed out',
  ],
  whereabouts: [{ kind: 'whereabouts', ...of, where }, 'web: source says paused (postmigrate), target says running'],
  landed: [
    { kind: 'landed', ...of, downtime: ms(120), sent: mebibytes(101), needed: bytes(0) },
    'web: runs at its target, 101 MiB sent',
  ],
  'source-ended': [{ kind: 'source-ended', ...of }, 'web: its stopped copy at the source is ended'],
  'source-lingers': [
    { kind: 'source-lingers', ...of, why: 'no answer' },
    'web: its stopped copy at the source could not be ended: no answer',
  ],
  'command-failed': [
    { kind: 'command-failed', ...of, command: 'adjust', why: 'no answer' },
    'web: adjust failed: no answer',
  ],
  'site-lost': [
    { kind: 'site-lost', site: siteId('a'), why: 'the UPS is empty' },
    'site a has lost its power: the UPS is empty',
  ],
  'vm-forecast': [
    {
      kind: 'vm-forecast',
      ...of,
      mark: 10,
      end: { p50: 12_300, p90: 14_100 },
      predicted: 9_000,
      rate: 11_500_000,
    },
    'web: at 10 % of its way: home at +12.3 s, by +14.1 s nine times in ten',
  ],
  'vm-forecast-judged': [
    {
      kind: 'vm-forecast-judged',
      ...of,
      began: 0,
      came: 12_900,
      said: [
        { mark: 0, at: 0, end: undefined, predicted: undefined },
        { mark: 50, at: 6_000, end: { p50: 12_300, p90: 14_100 }, predicted: 6_000 },
      ],
    },
    'web: home at +12.9 s; forecast was no end (0 %), +12.3 s (50 %)',
  ],
  forecast: [
    { kind: 'forecast', mark: 0, end: undefined, because: 'web does not end by pre-copy' },
    'at 0 % of all bytes: no end can be forecast: web does not end by pre-copy',
  ],
  'forecast-judged': [
    {
      kind: 'forecast-judged',
      came: 98_000,
      said: [{ mark: 0, at: 0, end: { p50: 96_000, p90: 110_000 } }],
    },
    'the last was home at +1 min 38 s; forecast was +1 min 36 s (0 %)',
  ],
  'journal-failing': [
    { kind: 'journal-failing', why: 'the disk is full' },
    'nothing new is admitted: the disk is full',
  ],
}
for (const [kind, [event, sentence]] of Object.entries(facts)) {
  test(`the fact ${kind} reads: ${sentence ?? 'nothing, for it says nothing new'}`, () => {
    assert.equal(sentenceOf(event), sentence)
  })
}

test('the start says how many VMs have no place', () => {
  const snapshot = aSnapshot({ vms: someVms(2, { memory: mebibytes(8192) }) })
  const tight = { ...snapshot, hosts: snapshot.hosts.filter(({ id }) => id !== 'b-2') }
  assert.equal(sentenceOf(startedFrom(tight)), 'evacuation a-1 of a to b: 1 VMs, policy sequential, 1 without a place')
})

test('an order of the operator to resolve says which VM, and where it is to count as running', () => {
  assert.equal(
    sentenceOf({ kind: 'operator', by: 'root', order: 'resolve', vm: vmId('web'), runsAt: 'target' }),
    'root resolves web: it counts as running at its target',
  )
})

test('while disks are copied first, progress says how far they are', () => {
  const disk = { copied: mebibytes(10), remaining: mebibytes(54), total: mebibytes(64) }
  assert.match(
    sentenceOf({ kind: 'progress', ...of, progress: aProgress({ round: 0, disk }) }) ?? '',
    /^\S+: disks 10\.0 MiB of 64\.0 MiB, sent /,
  )
  assert.match(
    sentenceOf({ kind: 'progress', ...of, progress: aProgress({ round: 1, disk }) }) ?? '',
    /: round 1, sent /,
  )
})

test('progress of a first round does not speak of a dirty rate nobody knows yet', () => {
  assert.equal(
    sentenceOf({ kind: 'progress', ...of, progress: aProgress() }),
    'web: round 1, sent 50.0 MiB, 50.0 MiB to go at 100 Mbit/s',
  )
})

const route = { vm: vmId('web'), source: hostId('a-1'), target: hostId('b-2'), attempt: 1 } as const
const commands: { readonly [K in Command['kind']]: readonly [Extract<Command, { kind: K }>, string] } = {
  prepare: [{ kind: 'prepare', ...route, options: plainStart }, 'prepare web at b-2'],
  migrate: [
    { kind: 'migrate', ...route, options: plainStart, tuning },
    'migrate web from a-1 to b-2, at most 50.0 Mbit/s, downtime limit 300 ms',
  ],
  adjust: [
    { kind: 'adjust', ...route, tuning, why: 'equal share of the bandwidth allowed' },
    'cap web to 50.0 Mbit/s, downtime limit 300 ms: equal share of the bandwidth allowed',
  ],
  'start-post-copy': [
    { kind: 'start-post-copy', ...route, why: 'does not converge' },
    'post-copy web: does not converge',
  ],
  'run-split': [{ kind: 'run-split', ...route }, 'run web at b-2, its memory still coming'],
  recover: [{ kind: 'recover', ...route }, 'recover the post-copy of web'],
  cancel: [{ kind: 'cancel', ...route, why: 'the operator aborted' }, 'call web back: the operator aborted'],
  finish: [{ kind: 'finish', ...route }, 'run web at b-2'],
  retire: [{ kind: 'retire', ...route }, 'end the stopped copy of web at a-1'],
  'roll-back': [{ kind: 'roll-back', ...route, failure }, 'roll web back to a-1: path-lost: the link was cut'],
  follow: [{ kind: 'follow', ...route }, 'follow web'],
  reconcile: [{ kind: 'reconcile', ...route }, 'ask a-1 and b-2 for web'],
}
for (const [kind, [command, sentence]] of Object.entries(commands)) {
  test(`the command ${kind} reads: ${sentence}`, () => {
    assert.equal(decisionOf(command), sentence)
  })
}

test('a later attempt is told by its number', () => {
  assert.equal(
    decisionOf({ kind: 'prepare', ...route, attempt: 3, options: plainStart }),
    'prepare web at b-2 (attempt 3)',
  )
})

test('without a limit a migration goes as fast as it gets, and lifting a limit does not read like stopping it', () => {
  const free = { rate: undefined, downtimeLimit: ms(2_000) }
  assert.equal(
    decisionOf({ kind: 'migrate', ...route, options: plainStart, tuning: free }),
    'migrate web from a-1 to b-2, as fast as it gets, downtime limit 2.0 s',
  )
  const lifted = decisionOf({ kind: 'adjust', ...route, tuning: free, why: 'alone now' })
  assert.match(lifted, /web/)
  assert.match(lifted, /alone now/)
  assert.doesNotMatch(lifted, /to nothing/, 'a rate of undefined is no limit, not a limit of nothing')
})

const broken = /undefined|NaN|Infinity|null|\[object/
test('every failure and every pair of answers reads as a sentence', () => {
  for (const each of failures) {
    for (const kind of ['migration-broke', 'attempt-failed'] as const) {
      const sentence = sentenceOf({ kind, ...of, failure: each })
      assert.ok(sentence?.startsWith('web: ') === true && !broken.test(sentence), sentence)
    }
    assert.doesNotMatch(decisionOf({ kind: 'roll-back', ...route, failure: each }), broken)
  }
  for (const source of presences) {
    for (const target of presences) {
      const sentence = sentenceOf({ kind: 'whereabouts', ...of, where: { source, target } })
      assert.match(sentence ?? '', /^web: source says .+, target says .+$/)
      assert.doesNotMatch(sentence ?? '', broken)
    }
  }
})

test('a hypervisor’s or ssh’s error of several lines is still told in one', () => {
  const two = { code: 'target-unreachable', detail: 'cannot forward\r\nmaster forward request failed' } as const
  for (const text of [
    sentenceOf({ kind: 'attempt-failed', ...of, failure: two }),
    sentenceOf({ kind: 'attempt-unclear', ...of, why: two.detail }),
    decisionOf({ kind: 'roll-back', ...route, failure: two }),
  ]) {
    assert.doesNotMatch(text ?? '', /[\r\n]/)
    assert.match(text ?? '', /cannot forward.*master forward request failed/)
  }
})

test('in any evacuation every fact but what comes each second, and every decision, is one line with the VM’s name', () => {
  fc.assert(
    fc.property(arbStory, ({ facts: told }) => {
      let state: Parameters<typeof step>[0]
      for (const [at, event] of told) {
        const decision = step(state, event, instant(at))
        const fact = sentenceOf(event)
        assert.equal(fact === undefined, event.kind === 'tick' || event.kind === 'network')
        if (fact !== undefined) {
          assert.doesNotMatch(fact, broken)
          assert.doesNotMatch(fact, /\n/)
          if ('vm' in event) assert.ok(fact.includes(event.vm), fact)
        }
        for (const command of decision.commands) {
          const sentence = decisionOf(command)
          assert.doesNotMatch(sentence, broken)
          assert.ok(sentence.includes(command.vm), sentence)
        }
        state = decision.state
      }
    }),
    runs(200),
  )
})
