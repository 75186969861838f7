import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sizeIn } from './xml-size.ts'

test('sizes in libvirt’s units', () => {
  assert.equal(sizeIn('2048', undefined), 2_097_152)
  assert.equal(sizeIn(' 2 ', 'MiB'), 2_097_152)
  assert.equal(sizeIn('2', 'MB'), 2_000_000)
  assert.equal(sizeIn('1', 'GiB'), 1_073_741_824)
  assert.equal(sizeIn('7', 'b'), 7)
  for (const [number, unit] of [
    [undefined, 'KiB'],
    ['x', 'KiB'],
    ['-1', 'KiB'],
    ['1', 'stones'],
  ] as const)
    assert.equal(sizeIn(number, unit), undefined)
})
