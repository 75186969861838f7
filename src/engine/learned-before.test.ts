import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { aSnapshot, someVms, startedFrom } from '../../test/arbitraries.ts'
import type { Started } from '../core/control/observed.ts'
import { startEvacuation } from '../core/control/start-evacuation.ts'
import { factorsAt, uncorrected } from '../core/forecast/correction.ts'
import { evacuationId, vmId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { createJournal } from '../journal/sqlite-journal.ts'
import { learnedBefore } from './learned-before.ts'
import { journalOf } from './state-folder.ts'

let dir = ''
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-learned-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

/** A run in which everything took so many times as long as was predicted. @param vms that came home */
function aRun(stateDir: string, id: string, world: Started['world'], ratio: number, vms = 20): void {
  const file = journalOf(stateDir, evacuationId(id))
  mkdirSync(dirname(file), { recursive: true })
  const journal = createJournal(file)
  const said = [{ mark: 0, at: 0, end: { p50: 1_000, p90: 2_000 }, predicted: 1_000 }] as const
  const judged = { kind: 'vm-forecast-judged', attempt: 1, began: 0, came: 1_000 * ratio, said } as const
  const started = startedFrom(aSnapshot({ vms: someVms(1) }), { world })
  journal.append([
    { at: instant(0), event: started, commands: [] },
    ...Array.from({ length: vms }, (_, n) => ({
      at: instant(1),
      event: { ...judged, vm: vmId(`vm-${n}`) },
      commands: [],
    })),
  ])
  journal.close()
}

test('the newest runs with the same driver are learned from, others are not', () => {
  const stateDir = join(dir, 'some')
  assert.equal(learnedBefore(stateDir, 'qemu'), undefined, 'no run yet')
  aRun(stateDir, 'a-20260101-000000', 'libvirt', 9)
  assert.equal(learnedBefore(stateDir, 'qemu'), undefined)
  aRun(stateDir, 'a-20260102-000000', 'qemu', 1.5)
  assert.equal(factorsAt(learnedBefore(stateDir, 'qemu') ?? uncorrected, 0).p50, 1.5)
  assert.equal(factorsAt(learnedBefore(stateDir, 'libvirt') ?? uncorrected, 0).p50, 9)
  for (let n = 3; n <= 7; n += 1) aRun(stateDir, `a-2026010${n}-000000`, 'qemu', 2)
  assert.equal(factorsAt(learnedBefore(stateDir, 'qemu') ?? uncorrected, 0).p50, 2, 'long ago is forgotten')
})

test('runs with another driver, and such as taught nothing, take nobody’s place among the newest', () => {
  const stateDir = join(dir, 'crowded')
  aRun(stateDir, 'a-20260101-000000', 'libvirt', 3)
  for (let n = 2; n <= 9; n += 1) aRun(stateDir, `a-2026010${n}-000000`, 'qemu', 2)
  for (let n = 10; n <= 16; n += 1) aRun(stateDir, `a-202601${n}-000000`, 'libvirt', 2, 0)
  assert.equal(factorsAt(learnedBefore(stateDir, 'libvirt') ?? uncorrected, 0).p50, 3)
  assert.equal(factorsAt(learnedBefore(stateDir, 'qemu') ?? uncorrected, 0).p50, 2)
})

test('a journal that cannot be read is passed over', () => {
  const stateDir = join(dir, 'broken')
  const file = journalOf(stateDir, evacuationId('a-20260102-000000'))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, 'no journal at all')
  aRun(stateDir, 'a-20260101-000000', 'qemu', 1.5)
  assert.equal(factorsAt(learnedBefore(stateDir, 'qemu') ?? uncorrected, 0).p50, 1.5)
})

test('a run begins with what was learned, and it stands in its journal', () => {
  const correction = { ...uncorrected, 0: Array.from({ length: 20 }, () => 1.5) }
  const started = startedFrom(aSnapshot({ vms: someVms(1) }), { correction })
  assert.equal(startEvacuation(started, instant(0)).forecasting.correction, correction)
})
