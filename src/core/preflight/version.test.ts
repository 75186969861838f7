import assert from 'node:assert/strict'
import { test } from 'node:test'
import { showVersion, version, versionIn } from './version.ts'

test('as QEMU and libvirt write them', () => {
  assert.equal(versionIn('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)'), 7_002_022)
  assert.equal(versionIn('libvirtd (libvirt) 10.0.0'), 10_000_000)
  assert.equal(versionIn('8.2'), 8_002_000)
  assert.equal(versionIn('no number'), undefined)
  assert.equal(showVersion(version(9_000_000)), '9.0.0')
  assert.equal(showVersion(version(10_002_013)), '10.2.13')
  assert.throws(() => version(-1), RangeError)
  assert.throws(() => version(1.5), RangeError)
})
