/** The demo as a newcomer runs it, and as an impatient one does. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { labFolder } from '../src/lab/lab-names.ts'
import { namespacesOf } from '../src/lab/network.ts'
import { processesNaming } from '../src/lab/processes.ts'
import { testRoot, whyNoLab } from './lab-fixture.ts'
import { reportFrom, startLifeboat } from './run-lifeboat.ts'

const name = 'demo-test'
const args = [
  'demo',
  '--name',
  name,
  '--root',
  testRoot,
  '--vms',
  '3',
  '--memory',
  '80MiB',
  '--fill',
  '8MiB',
  '--wan',
  '300Mbit/s',
]

const assertNothingLeft = (): void => {
  assert.deepEqual(namespacesOf(name), [])
  assert.deepEqual(processesNaming(labFolder(testRoot, name)), [])
  assert.ok(!existsSync(labFolder(testRoot, name)))
}

describe('the demo', { skip: whyNoLab() ?? false }, () => {
  test('evacuates, proves, reports, and leaves nothing; with -o json only the report is on standard output', async () => {
    const { code, stdout, stderr } = await startLifeboat([...args, '-o', 'json']).done
    assert.equal(code, 0, stderr)
    const { summary, world } = reportFrom(stdout)
    assert.equal(world, 'qemu')
    assert.equal(summary.safe, 3)
    assert.match(stderr, /All 3 guests went on: no tick missing, none repeated/)
    assertNothingLeft()
    const kept = /lifeboat report (\S+\.db)/.exec(stderr)?.[1] ?? ''
    const again = await startLifeboat(['report', kept, '-o', 'json']).done
    assert.deepEqual(JSON.parse(again.stdout), JSON.parse(stdout), 'the journal that was kept tells the same')
  })

  test('interrupted while guests boot, it takes down what it made', async () => {
    const run = startLifeboat(args)
    await run.saw(/guests ready 1/)
    run.child.kill('SIGINT')
    const { code } = await run.done
    assert.equal(code, 130)
    assertNothingLeft()
  })

  test('interrupted in the middle of the evacuation, it lets what runs finish and takes everything down', async () => {
    const run = startLifeboat(args)
    await run.saw(/memory flows/)
    run.child.kill('SIGINT')
    const { code, stderr } = await run.done
    assert.equal(code, 130, stderr)
    assertNothingLeft()
  })
})
