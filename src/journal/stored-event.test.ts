import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  aDisk,
  aPath,
  aProgress,
  arbProgress,
  aSnapshot,
  aVm,
  failures,
  presences,
  runs,
  startedFrom,
} from '../../test/arbitraries.ts'
import type { Command } from '../core/control/command.ts'
import type { Observed, ObservedKind } from '../core/control/observed.ts'
import { hostId, siteId, vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { bytes, bytesPerSecond, fraction, mebibytes, ms } from '../core/units.ts'
import { JournalUnreadable } from './journal.ts'
import { fromStored, type StoredRow, toStored } from './stored-event.ts'

const of = { vm: vmId('web-1'), attempt: 2 }
const route = { ...of, source: hostId('a-1'), target: hostId('b-1') }
const options = { channels: 4, compression: 'zstd', autoConverge: true, postCopy: true } as const
const tuning = { rate: bytesPerSecond(12_500_000.125), downtimeLimit: ms(300) }
const failure = { code: 'path-lost', detail: 'Unable to write to socket: "Broken pipe"\n' } as const

const snapshot = aSnapshot({
  takenAt: instant(1_700_000_000_123.456),
  paths: [aPath('a', 'b', { capacity: bytesPerSecond(0.125), loss: fraction(0.0001), perFlow: bytesPerSecond(1 / 3) })],
  vms: [
    aVm('web-1', 'a-1', {
      dirty: { hot: mebibytes(64), period: ms(2_000), cold: bytesPerSecond(1e6) },
      disks: [aDisk('vda')],
      group: 'Läden',
    }),
  ],
  unreachable: [{ host: hostId('b-2'), why: 'no route to host' }],
  deadline: ms(1_200_000),
})

/** One of each kind at least: a kind that is added and not put here does not compile. */
const facts: { readonly [K in ObservedKind]: readonly Extract<Observed, { readonly kind: K }>[] } = {
  'evacuation-started': [startedFrom(snapshot, { policy: 'fixed:4', by: 'root@ops, process 7' })],
  tick: [{ kind: 'tick' }],
  'host-load': [
    { kind: 'host-load', hosts: [{ host: hostId('a-1'), busy: fraction(0.99), waiting: fraction(0.8) }] },
    { kind: 'host-load', hosts: [{ host: hostId('a-1'), busy: fraction(0.97), waiting: undefined }] },
  ],
  network: [
    { kind: 'network', paths: [{ from: siteId('a'), to: siteId('b'), queueing: ms(40), loss: fraction(0.001) }] },
  ],
  'controller-restarted': [{ kind: 'controller-restarted', by: 'root@ops, process 8' }],
  operator: [
    { kind: 'operator', by: 'ops', order: 'pause' },
    { kind: 'operator', by: 'ops', order: 'resume' },
    { kind: 'operator', by: 'ops', order: 'wind-down' },
    { kind: 'operator', by: 'ops', order: 'abort' },
    { kind: 'operator', by: 'ops', order: 'resolve', vm: vmId('web-1'), runsAt: 'target' },
  ],
  'definition-kept': [
    { kind: 'definition-kept', ...of, source: hostId('a-1'), driver: 'libvirt', text: '<domain>\n  "é"\0</domain>' },
  ],
  'target-ready': [{ kind: 'target-ready', ...of }],
  'memory-flowing': [{ kind: 'memory-flowing', ...of }],
  progress: [
    { kind: 'progress', ...of, progress: aProgress({ rate: bytesPerSecond(0.1 + 0.2), dirtyRate: bytesPerSecond(5) }) },
  ],
  'guest-stopped': [{ kind: 'guest-stopped', ...of }],
  'sent-whole': [{ kind: 'sent-whole', ...of }],
  'post-copy-began': [{ kind: 'post-copy-began', ...of }],
  'post-copy-broke': [{ kind: 'post-copy-broke', ...of, why: 'link down' }],
  'migration-broke': failures.map(each => ({ kind: 'migration-broke', ...of, failure: each })),
  'attempt-failed': failures.map(each => ({ kind: 'attempt-failed', ...of, failure: each })),
  'attempt-unclear': [{ kind: 'attempt-unclear', ...of, why: 'no answer within 10 s' }],
  whereabouts: presences.flatMap(source =>
    presences.map(target => ({ kind: 'whereabouts', ...of, where: { source, target } }) as const),
  ),
  landed: [
    { kind: 'landed', ...of, downtime: ms(41), sent: bytes(2 ** 53 - 1), needed: bytes(0) },
    { kind: 'landed', ...of, downtime: undefined, sent: bytes(0), needed: undefined },
  ],
  'source-ended': [{ kind: 'source-ended', ...of }],
  'source-lingers': [{ kind: 'source-lingers', ...of, why: 'does not answer' }],
  'command-failed': [{ kind: 'command-failed', ...of, command: 'adjust', why: 'refused' }],
  'site-lost': [{ kind: 'site-lost', site: siteId('a'), why: 'its power is off' }],
  'vm-forecast': [
    { kind: 'vm-forecast', ...of, mark: 0, end: { p50: 12_300, p90: 14_100 }, predicted: 9_000, rate: 11_500_000 },
    { kind: 'vm-forecast', ...of, mark: 10, end: undefined, predicted: undefined, rate: undefined },
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
    { kind: 'vm-forecast-judged', ...of, began: 0, came: undefined, said: [] },
  ],
  forecast: [
    { kind: 'forecast', mark: 50, end: { p50: 96_000, p90: 110_000 }, because: undefined },
    { kind: 'forecast', mark: 0, end: undefined, because: 'nothing goes through path a b' },
  ],
  'forecast-judged': [
    { kind: 'forecast-judged', came: 98_000, said: [{ mark: 0, at: 0, end: { p50: 96_000, p90: 110_000 } }] },
    { kind: 'forecast-judged', came: undefined, said: [] },
  ],
  'journal-failing': [{ kind: 'journal-failing', why: 'disk is full' }],
}

const commands: { readonly [K in Command['kind']]: Extract<Command, { readonly kind: K }> } = {
  prepare: { kind: 'prepare', ...route, options },
  migrate: { kind: 'migrate', ...route, options, tuning },
  adjust: { kind: 'adjust', ...route, tuning: { ...tuning, rate: undefined }, why: 'stalled' },
  'start-post-copy': { kind: 'start-post-copy', ...route, why: 'stalled' },
  'run-split': { kind: 'run-split', ...route },
  recover: { kind: 'recover', ...route },
  cancel: { kind: 'cancel', ...route, why: 'the operator' },
  finish: { kind: 'finish', ...route },
  retire: { kind: 'retire', ...route },
  'roll-back': { kind: 'roll-back', ...route, failure },
  follow: { kind: 'follow', ...route },
  reconcile: { kind: 'reconcile', ...route },
}

/** A field that is `undefined` and one that is missing mean the same to whoever reads it; JSON knows only the second. */
function known(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(known)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).filter(([, each]) => each !== undefined)
  return Object.fromEntries(fields.map(([name, each]) => [name, known(each)]))
}

const at = instant(1_700_000_000_123.456)
const stored = (event: Observed, and: readonly Command[] = []): StoredRow => ({
  seq: 7,
  ...toStored({ at, event, commands: and }),
})

describe('a stored event', () => {
  for (const [kind, each] of Object.entries(facts)) {
    test(`${kind} is the same fact when it is read back`, () => {
      assert.ok(each.length > 0)
      for (const event of each) {
        const row = stored(event)
        assert.equal(row.type, kind)
        assert.equal(row.v, kind === 'operator' ? 2 : 1)
        assert.deepEqual(fromStored(row), { seq: 7, at, event: known(event), commands: [] })
      }
    })
  }

  test('every command is the same when it is read back, in the same order', () => {
    const all: readonly Command[] = Object.values(commands)
    assert.deepEqual(fromStored(stored({ kind: 'tick' }, all)).commands, known(all))
  })

  test('any progress is the same to the last bit when it is read back', () => {
    fc.assert(
      fc.property(arbProgress, fc.double({ min: 0, max: 1e15, noNaN: true }), (progress, time) => {
        const event: Observed = { kind: 'progress', ...of, progress }
        const row = { seq: 1, ...toStored({ at: instant(time), event, commands: [] }) }
        assert.deepEqual(fromStored(row), { seq: 1, at: time, event: known(event), commands: [] })
      }),
      runs(300),
    )
  })

  const tick = stored({ kind: 'tick' })
  const unreadable: readonly (readonly [what: string, row: StoredRow, message: RegExp])[] = [
    [
      'of a newer version',
      { ...tick, v: 2 },
      /^row 7 \(tick\) is version 2, this Lifeboat knows 1: use the one that wrote it$/,
    ],
    [
      'of an unknown kind',
      { ...tick, type: 'sun-rose' },
      /^row 7 is of the unknown kind "sun-rose": written by a newer Lifeboat\?$/,
    ],
    ['of a kind that only objects have', { ...tick, type: 'constructor' }, /unknown kind "constructor"/],
    ['that is no JSON', { ...tick, body: '{"event"' }, /^row 7 \(tick\) is damaged$/],
    ['without an event', { ...tick, body: '{"commands": []}' }, /is damaged$/],
    ['without commands', { ...tick, body: '{"event": {"kind": "tick"}}' }, /is damaged$/],
    [
      'whose command has no VM',
      { ...tick, body: '{"event": {"kind": "tick"}, "commands": [{"kind": "cancel"}]}' },
      /is damaged$/,
    ],
    ['without a time', { ...tick, at: Number.NaN }, /is damaged$/],
  ]
  for (const [what, row, message] of unreadable) {
    test(`a row ${what} is unreadable`, () => {
      assert.throws(
        () => fromStored(row),
        (error: unknown) => {
          assert.ok(error instanceof JournalUnreadable, String(error))
          assert.match(error.message, message)
          return true
        },
      )
    })
  }

  test('a row whose column and body tell two kinds is unreadable', () => {
    assert.throws(() => fromStored({ ...tick, type: 'source-ended' }), JournalUnreadable)
  })
})
