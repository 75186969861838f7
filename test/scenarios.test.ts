/** Every folder of scenarios/ ends as its expect.log says, to the letter; and no policy beats the oracle there. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { rehearseRivals } from '../src/cli/rehearse-rivals.ts'
import { readScenario, scenarioFiles } from '../src/config/scenario-folder.ts'
import { defaultPolicy } from '../src/core/policy/policy-by-name.ts'

const root = 'scenarios'
const folders = readdirSync(root, { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(({ name }) => join(root, name))
  .sort()
const never = new AbortController().signal

describe('scenarios', () => {
  test('there are enough of them to mean something', () => {
    assert.ok(folders.length >= 24, `${folders.length} folders`)
  })

  for (const folder of folders) {
    test(`${folder} is decided as it was`, async () => {
      const scenario = readScenario(folder)
      const [first] = await rehearseRivals({
        scenario,
        policies: [scenario.policy.policy ?? defaultPolicy],
        limits: scenario.policy.limits,
        seeds: [1],
        wantsLog: true,
        wantsCurves: false,
        signal: never,
        onProgress: () => undefined,
      })
      const expected = readFileSync(join(folder, scenarioFiles.expected), 'utf8')
      // --accept: lifeboat simulate FOLDER --accept, after reading what changed.
      assert.equal(`${first?.log?.join('\n')}\n`, expected)
    })

    test(`${folder} says what happens and what must hold`, () => {
      const readme = join(folder, 'README.md')
      assert.ok(existsSync(readme))
      assert.match(readFileSync(readme, 'utf8'), /^\S.+\n\S.+/)
    })
  }

  test('the oracle is never beaten, by nobody, in any folder', async () => {
    const small = folders.filter(folder => !folder.endsWith('thousand-vms') && !folder.endsWith('few-huge'))
    for (const folder of small) {
      const scenario = readScenario(folder)
      const all = await rehearseRivals({
        scenario,
        policies: [
          'oracle',
          'finish-first',
          'sequential',
          'fixed:3',
          'all-at-once',
          'aimd',
          'kubevirt',
          'nova',
          'ovirt',
          'proxmox',
        ],
        limits: scenario.policy.limits,
        seeds: [1],
        wantsLog: false,
        wantsCurves: true,
        signal: never,
        onProgress: () => undefined,
      })
      const [oracle, ...rivals] = all
      assert.ok(oracle !== undefined)
      for (const { policy, report, recorded } of rivals) {
        const { safe, valueSafe, meanDurationMs, bounds } = report.summary
        // Its limits are for plain memory.
        const plain = scenario.snapshot.hosts.every(({ compressions }) => compressions === undefined)
        if (plain && meanDurationMs !== null && bounds.meanDurationMs !== null)
          assert.ok(
            meanDurationMs >= bounds.meanDurationMs - 1,
            `${folder}: ${policy} takes ${meanDurationMs} ms each, of ${bounds.meanDurationMs} at the least`,
          )
        assert.ok(safe <= oracle.report.summary.safe, `${folder}: ${policy} brings out ${safe}`)
        assert.ok(
          valueSafe <= oracle.report.summary.valueSafe + 1e-6,
          `${folder}: ${policy} brings out a value of ${valueSafe}`,
        )
        for (const [k, at] of (recorded?.landings ?? []).entries()) {
          const soonest = oracle.recorded?.landings[k] ?? Number.POSITIVE_INFINITY
          assert.ok(
            at >= soonest - 1,
            `${folder}: ${policy} lands VM ${k + 1} after ${at} ms, the oracle after ${soonest}`,
          )
        }
      }
    }
  })
})
