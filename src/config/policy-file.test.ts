import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { policyNames } from '../core/policy/policy-by-name.ts'
import { noPolicyFile, parsePolicyFile } from './policy-file.ts'
import { ConfigError } from './yaml-file.ts'

describe('a policy.yaml', () => {
  test('is a policy and what bounds it, with units', () => {
    assert.deepEqual(parsePolicyFile('policy: fixed:4\nmaxParallel: 3\nbandwidth: 800Mbit/s\n', 'policy.yaml'), {
      policy: 'fixed:4',
      limits: { maxParallel: 3, bandwidth: 100_000_000 },
    })
  })

  test('may leave out whatever it likes', () => {
    for (const text of ['', '# as it comes\n', '{}\n', '~\n'])
      assert.deepEqual(parsePolicyFile(text, 'policy.yaml'), noPolicyFile)
    assert.deepEqual(parsePolicyFile('maxParallel: 1\n', 'policy.yaml'), {
      policy: undefined,
      limits: { maxParallel: 1, bandwidth: undefined },
    })
  })

  test('may name every policy there is', () => {
    for (const name of policyNames.map(each => each.replace('N', '12')))
      assert.equal(parsePolicyFile(`policy: ${name}\n`, 'policy.yaml').policy, name)
  })

  test('has all its mistakes told at once', () => {
    assert.throws(
      () => parsePolicyFile('policy: fastest\nmaxParallel: 0\nbandwidth: 800\ncolour: red\n', 'policy.yaml'),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError, String(error))
        const [policy, ...others] = error.message.split('\n')
        assert.match(
          policy ?? '',
          /^policy\.yaml:1:1: policy: unknown policy "fastest"; there are: finish-first, sequential, /,
        )
        assert.deepEqual(others, [
          'policy.yaml:2:1: maxParallel: Too small: expected number to be >=1',
          'policy.yaml:3:1: bandwidth: the bare number 800 has no unit; expected a rate like 100Mbit/s',
          'policy.yaml:4:1: colour: unknown key',
        ])
        return true
      },
    )
  })

  const single: readonly (readonly [what: string, text: string, mistake: RegExp])[] = [
    ['a policy of no VMs at a time', 'policy: fixed:0\n', /^policy\.yaml:1:1: policy: .*N is a whole number from 1/],
    ['a policy that is a number', 'policy: 4\n', /policy: .*expected string, received number$/],
    ['half a VM in parallel', 'maxParallel: 1.5\n', /maxParallel: .*int/],
    ['a negative bandwidth', 'bandwidth: -1Mbit/s\n', /bandwidth: "-1Mbit\/s" is negative/],
    ['a list', '- policy: sequential\n', /^policy\.yaml:1:1: .*expected object, received array$/],
    ['a bracket that is not closed', 'policy: [\n', /^policy\.yaml:2:1: /],
  ]
  for (const [what, text, mistake] of single) {
    test(`${what} is one mistake, told with its place`, () => {
      assert.throws(() => parsePolicyFile(text, 'policy.yaml'), { name: 'ConfigError', message: mistake })
    })
  }
})
