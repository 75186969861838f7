import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { ConfigMissing } from '../config/load-config.ts'
import { ConfigError } from '../config/yaml-file.ts'
import { siteId } from '../core/ids.ts'
import { policyByName } from '../core/policy/policy-by-name.ts'
import { parseBytes } from '../core/units.ts'
import { NoController } from '../engine/control-socket.ts'
import { SiteHeld } from '../engine/site-lock.ts'
import { JournalBroken, JournalFull, JournalUnreadable } from '../journal/journal.ts'
import { LabAlreadyUp, LabError, LabNotFound, LabRequirement } from '../lab/lab-error.ts'
import { CliError, type ExitCode, exitCode, explainError, usageError } from './exit.ts'

const before = process.env['LIFEBOAT_DEBUG']
beforeEach(() => {
  delete process.env['LIFEBOAT_DEBUG']
})
afterEach(() => {
  delete process.env['LIFEBOAT_DEBUG']
  if (before !== undefined) process.env['LIFEBOAT_DEBUG'] = before
})

const thrownBy = (act: () => unknown): unknown => {
  try {
    act()
  } catch (error) {
    return error
  }
  return assert.fail('nothing was thrown')
}
const problem = { file: 'lifeboat.yaml', line: 3, column: 5, where: 'sites[0]', message: 'unknown key' }

test('the codes are the contract', () => {
  assert.deepEqual(exitCode, { asAsked: 0, partly: 1, usage: 2, refused: 3, infeasible: 4, interrupted: 130 })
})

const cases: readonly (readonly [what: string, error: unknown, code: ExitCode])[] = [
  ['a mistake in a flag', usageError('--vms x'), 2],
  ['an unknown policy', thrownBy(() => policyByName('fastest')), 2],
  ['a quantity without a unit', thrownBy(() => parseBytes('64')), 2],
  ['a missing configuration', new ConfigMissing('no configuration'), 2],
  ['a wrong configuration', new ConfigError([problem]), 2],
  ['a lab that cannot be made', new LabError('no'), 2],
  ['a lab that is up', new LabAlreadyUp('is up'), 2],
  ['a lab that is not there', new LabNotFound('none'), 2],
  ['a machine that lacks something', new LabRequirement('qemu'), 2],
  ['a site that somebody evacuates already', new SiteHeld(siteId('a'), undefined), 3],
  ['a refusal by a safety rule', new CliError(exitCode.refused, 'use --force'), 3],
  ['a plan that does not fit', new CliError(exitCode.infeasible, 'too much'), 4],
  ['an interrupt', new CliError(exitCode.interrupted, 'interrupted'), 130],
  ['a controller that does not run', new NoController('nobody listens'), 1],
  ['a journal that is full', new JournalFull('no room'), 1],
  ['a journal that cannot be written', new JournalBroken('no'), 1],
  ['a journal of a newer version', new JournalUnreadable('row 3'), 1],
]
for (const [what, error, code] of cases) {
  test(`${what} ends with ${code} and its own words, without a stack`, () => {
    const explained = explainError(error)
    assert.equal(explained.code, code)
    assert.ok(error instanceof Error && explained.message.endsWith(error.message))
    assert.doesNotMatch(explained.message, /\n {4}at |LIFEBOAT_DEBUG/)
  })
}

test('mistakes in a file are counted before they are told', () => {
  assert.equal(explainError(new ConfigError([problem])).message, '1 mistake:\nlifeboat.yaml:3:5: sites[0]: unknown key')
  assert.match(explainError(new ConfigError([problem, problem])).message, /^2 mistakes:\n/)
})

test('an error nobody foresaw fails the command, and says how to see where it comes from', () => {
  const error = new TypeError('x is not a function')
  const { code, message } = explainError(error)
  assert.equal(code, exitCode.partly)
  assert.equal(message, 'x is not a function\n(LIFEBOAT_DEBUG=1 shows where this comes from)')
  process.env['LIFEBOAT_DEBUG'] = '1'
  assert.match(explainError(error).message, /TypeError: x is not a function\n {4}at /)
})

test('what is thrown and is no error is told as it is', () => {
  assert.match(explainError('just a text').message, /^just a text\n/)
  assert.equal(explainError(undefined).code, exitCode.partly)
})

test('an error keeps its cause', () => {
  const cause = new Error('from below')
  const error = new CliError(exitCode.partly, 'above', { cause })
  assert.deepEqual([error.name, error.cause], ['CliError', cause])
  assert.equal(usageError('x').code, exitCode.usage)
})
