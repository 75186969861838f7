import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { plainStart, type StartOptions } from '../../core/migration/start-options.ts'
import { fraction, mebibytes, bytesPerSecond } from '../../core/units.ts'
import { paramsByName } from '../../libvirt/public.ts'
import { compressionsOf, type Destination, flagsOf, paramsOf, refusalOf, resumesPostCopy } from './migration-params.ts'

const to: Destination = {
  connect: 'qemu+tcp://b/system',
  migrate: 'tcp://10.0.0.2',
  host: 'b',
  copy: { targets: [], incremental: false },
}
const traits = { persistent: true, overrulesSafety: false }
const start = (change: Partial<StartOptions> = {}): StartOptions => ({ ...plainStart, ...change })
const [old, new_] = [9_000_000, 9_004_000]

/** include/libvirt/libvirt-domain.h. */
const bit = { undefine: 4, unsafe: 9, compressed: 11, autoConverge: 13, postCopy: 15, tls: 16, parallel: 17 } as const
const has = (flags: number, name: keyof typeof bit): boolean => (flags & (1 << bit[name])) !== 0
const namesIn = (flags: number) => (Object.keys(bit) as (keyof typeof bit)[]).filter(name => has(flags, name))

describe('what libvirt is told at the start', () => {
  test('nothing that was not asked for', () => {
    assert.deepEqual(namesIn(flagsOf(start(), { persistent: false, overrulesSafety: false }, to)), [])
    assert.deepEqual([...paramsByName(paramsOf(to, undefined, start()))], [['migrate_uri', 'tcp://10.0.0.2']])
  })

  test('each choice is a flag, with its numbers', () => {
    const options = start({
      channels: 4,
      autoConverge: true,
      throttle: { initial: fraction(0.304), step: fraction(0) },
    })
    assert.deepEqual(namesIn(flagsOf(options, traits, to)), ['undefine', 'autoConverge', 'parallel'])
    const params = paramsByName(paramsOf(to, bytesPerSecond(mebibytes(30)), options))
    assert.equal(params.get('parallel.connections'), 4)
    assert.equal(params.get('auto_converge.initial'), 30)
    assert.equal(params.get('auto_converge.increment'), 1)
    assert.equal(params.get('bandwidth'), 30)
    assert.deepEqual(namesIn(flagsOf(start({ compression: 'xbzrle' }), traits, to)), ['undefine', 'compressed'])
    // Whole pages are squeezed by the threads of several connections, also where there is one.
    const squeezed = start({ compression: 'zstd' })
    assert.deepEqual(namesIn(flagsOf(squeezed, traits, to)), ['undefine', 'compressed', 'parallel'])
    assert.equal(paramsByName(paramsOf(to, undefined, squeezed)).get('parallel.connections'), 1)
    assert.equal(paramsByName(paramsOf(to, undefined, squeezed)).get('compression'), 'zstd')
  })

  test('memory is encrypted, and the address chosen, as the target wants', () => {
    const encrypted: Destination = { ...to, listen: '10.0.0.2', tls: { name: 'b.example' } }
    assert.ok(has(flagsOf(start(), traits, encrypted), 'tls'))
    const params = paramsByName(paramsOf(encrypted, undefined, start()))
    assert.equal(params.get('listen_address'), '10.0.0.2')
    assert.equal(params.get('tls.destination'), 'b.example')
    assert.equal(paramsByName(paramsOf({ ...to, tls: {} }, undefined, start())).has('tls.destination'), false)
  })
})

describe('what a libvirt cannot is known before it is asked', () => {
  test('by its version', () => {
    assert.deepEqual(compressionsOf(undefined), ['none'])
    assert.deepEqual(compressionsOf(old), ['none', 'xbzrle'])
    assert.deepEqual(compressionsOf(new_), ['none', 'xbzrle', 'zlib', 'zstd'])
    assert.equal(resumesPostCopy(8_004_000), false)
    assert.equal(resumesPostCopy(8_005_000), true)
    assert.match(
      refusalOf(start({ compression: 'zstd' }), old) ?? '',
      /libvirt 9\.0\.0 does not compress with zstd .*knows none, xbzrle/,
    )
    assert.equal(refusalOf(start({ compression: 'zstd' }), new_), undefined)
  })

  test('and by what does not go together', () => {
    assert.match(refusalOf(start({ compression: 'xbzrle', channels: 2 }), new_) ?? '', /one connection, not over 2/)
    assert.match(refusalOf(start({ postCopy: true, channels: 2 }), new_) ?? '', /post-copy/)
    assert.match(refusalOf(start({ postCopy: true, compression: 'zlib' }), new_) ?? '', /post-copy/)
    assert.equal(refusalOf(start({ postCopy: true, compression: 'xbzrle' }), old), undefined)
    assert.equal(refusalOf(start({ autoConverge: true, channels: 8 }), old), undefined)
  })
})
