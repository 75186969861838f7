import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Observed } from '../core/control/observed.ts'
import { hostId, vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import type { Row } from '../journal/journal.ts'
import { KeptDefinitions, keptIn } from './kept-definitions.ts'

const rowsOf = (...events: readonly Observed[]): readonly Row[] =>
  events.map((event, at) => ({ seq: at + 1, at: instant(at), event, commands: [] }))
const kept = (vm: string, text: string, attempt = 1): Observed => ({
  kind: 'definition-kept',
  vm: vmId(vm),
  attempt,
  source: hostId('a-1'),
  driver: 'libvirt',
  text,
})
const definition = (vm: string, text: string) => ({ driver: 'libvirt', vm: vmId(vm), text })

/** Counts how often it is read. */
function journalOf(...events: readonly Observed[]) {
  const journal = {
    reads: 0,
    read: () => {
      journal.reads += 1
      return rowsOf(...events)
    },
  }
  return journal
}

test('the newest definition of each VM counts', () => {
  const found = keptIn(rowsOf(kept('web', 'old'), { kind: 'tick' }, kept('db', 'its'), kept('web', 'new', 2)))
  assert.deepEqual(
    [...found].map(([vm, { text, attempt }]) => [vm, text, attempt]),
    [
      ['web', 'new', 2],
      ['db', 'its', 1],
    ],
  )
})

test('a further attempt keeps only what has changed', () => {
  const all = new KeptDefinitions(journalOf())
  assert.equal(all.keep(definition('web', 'one')), true)
  assert.equal(all.keep(definition('web', 'one')), false)
  assert.equal(all.keep(definition('web', 'two')), true)
  assert.equal(all.of(vmId('web'))?.text, 'two')
})

test('what an earlier process kept is read from the journal, once; what this one kept goes before', () => {
  const journal = journalOf(kept('web', 'before'), kept('db', 'before'))
  const all = new KeptDefinitions(journal)
  all.keep(definition('web', 'after'))
  assert.deepEqual(all.of(vmId('web')), definition('web', 'after'))
  assert.equal(journal.reads, 0)
  assert.deepEqual(all.of(vmId('db')), definition('db', 'before'))
  assert.equal(all.of(vmId('nobody')), undefined)
  all.forget(vmId('web'))
  assert.equal(all.of(vmId('web')), undefined, 'its copy at the source has ended')
  assert.equal(journal.reads, 1)
})
