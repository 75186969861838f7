/** A disk under the journal that is full before, and one that fills on the way: real tmpfs, real guests. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { localRemote } from '../src/remote/local.ts'
import { runOk } from '../src/remote/remote.ts'
import { labFolder } from '../src/lab/lab-names.ts'
import { smallSpec, type TestLab, testLab, testRoot, whyNoLab } from './lab-fixture.ts'
import { reportFrom, runLifeboat, startLifeboat } from './run-lifeboat.ts'

const name = 'full-disk'
const soon = (): AbortSignal => AbortSignal.timeout(60_000)

describe('a full disk under the journal', { skip: whyNoLab() ?? false }, () => {
  let lab: TestLab
  let state = ''
  let ballast = ''
  before(async () => {
    state = join(labFolder(testRoot, name), 'state')
    // Left by a run that was killed.
    await localRemote.run(['umount', state], {}, soon())
    lab = await testLab(smallSpec(name, 3, { capacity: 200 }))
    ballast = join(state, 'ballast')
    mkdirSync(state, { recursive: true })
    await runOk(localRemote, ['mount', '-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', state], {}, soon())
  })
  after(async () => {
    await localRemote.run(['umount', state], {}, soon())
    await lab?.down()
  })
  /** Whoever else writes at this moment takes room too, so the last bytes are tried for. */
  const fill = (leave: number): void => {
    const { bavail, bsize } = statfsSync(state)
    for (let size = bavail * bsize - leave; size > 0; size -= bsize) {
      try {
        writeFileSync(ballast, Buffer.alloc(size))
        return
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      }
    }
  }

  test('before the start: it refuses, with the numbers, and moves nothing', async () => {
    fill(1_000_000)
    const { code, stderr } = await runLifeboat(['--config', lab.config, 'evacuate', 'a', '--to', 'b', '--yes'])
    assert.equal(code, 1)
    assert.match(stderr, /only .* free in .*, the journal needs 16\.0 MiB: free some, or set another stateDir/)
    const inventory = await runLifeboat(['--config', lab.config, 'inventory'])
    assert.equal(inventory.stdout.match(/a-1 +running/g)?.length, 3)
    rmSync(ballast)
  })

  test('on the way: what runs is finished and recorded, nothing new is admitted, and it says so', async () => {
    const run = startLifeboat(['--config', lab.config, 'evacuate', 'a', '--to', 'b', '--yes', '-o', 'json'])
    await run.saw(/memory flows/)
    fill(0)
    const { code, stdout, stderr } = await run.done
    assert.equal(code, 1, stderr)
    assert.match(stderr, /nothing new is admitted: the journal cannot be written/)
    const { summary, vms } = reportFrom(stdout)
    assert.ok(summary.safe >= 1, 'what ran was not finished')
    assert.equal(summary.safe + summary.left, 3)
    assert.ok(summary.left >= 1)
    for (const vm of vms.filter(({ outcome }) => outcome === 'left'))
      assert.match(vm.reason ?? '', /journal cannot be written/)
    const inventory = await runLifeboat(['--config', lab.config, 'inventory'])
    assert.equal(inventory.stdout.match(/-1 +running/g)?.length, 3, inventory.stdout)
    assert.equal(inventory.stdout.match(/b-1 +running/g)?.length, summary.safe)
  })

  test('with room again, the rest goes', async () => {
    rmSync(ballast)
    const { code, stdout, stderr } = await runLifeboat([
      '--config',
      lab.config,
      'evacuate',
      'a',
      '--to',
      'b',
      '--yes',
      '-o',
      'json',
    ])
    assert.equal(code, 0, stderr)
    assert.equal(reportFrom(stdout).summary.safe, reportFrom(stdout).summary.vms)
  })
})
