import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ZodError } from 'zod'
import { parseQueryMigrate } from './query-migrate.ts'

const MiB = 1_048_576
const ram = { transferred: 10 * MiB, remaining: 54 * MiB, total: 136_847_360 }

/** As QEMU 7.2 answers in the third pass of a migration under load. */
const active = {
  'expected-downtime': 300,
  status: 'active',
  'setup-time': 2,
  'total-time': 4_211,
  ram: {
    total: 136_847_360,
    'postcopy-requests': 0,
    'dirty-sync-count': 3,
    'multifd-bytes': 0,
    'pages-per-second': 3_270,
    'downtime-bytes': 0,
    'page-size': 4_096,
    remaining: 33_554_432,
    'postcopy-bytes': 0,
    mbps: 107.49,
    transferred: 56_623_104,
    'dirty-sync-missed-zero-copy': 0,
    'precopy-bytes': 56_623_104,
    duplicate: 19_000,
    'dirty-pages-rate': 2_560,
    skipped: 0,
    'normal-bytes': 55_050_240,
    normal: 13_440,
  },
}

describe('query-migrate', () => {
  test('a running migration is read with its units', () => {
    assert.deepEqual(parseQueryMigrate(active), {
      status: 'active',
      ram: {
        transferred: 56_623_104,
        remaining: 33_554_432,
        total: 136_847_360,
        duplicatePages: 19_000,
        normalBytes: 55_050_240,
        dirtySyncCount: 3,
        dirtyRate: 10 * MiB,
        pageSize: 4_096,
      },
      totalTime: 4_211,
      setupTime: 2,
      downtime: undefined,
      expectedDowntime: 300,
      cpuThrottlePercentage: undefined,
      errorDesc: undefined,
      blockedReasons: [],
    })
  })

  test('a QEMU that never migrated says nothing, and that is the status none', () => {
    const none = parseQueryMigrate({})
    assert.equal(none.status, 'none')
    assert.equal(none.ram, undefined)
    assert.deepEqual(none.blockedReasons, [])
  })

  test('the end is read: what it cost, or why it failed', () => {
    assert.equal(parseQueryMigrate({ status: 'completed', downtime: 41, 'total-time': 900 }).downtime, 41)
    const failed = parseQueryMigrate({ status: 'failed', 'error-desc': 'Unable to write to socket: Broken pipe' })
    assert.equal(failed.errorDesc, 'Unable to write to socket: Broken pipe')
  })

  test('in the first pass no dirty rate is known, whatever number stands there', () => {
    for (const passes of [0, 1]) {
      const info = parseQueryMigrate({ ram: { ...ram, 'dirty-sync-count': passes, 'dirty-pages-rate': 2_560 } })
      assert.equal(info.ram?.dirtyRate, undefined)
    }
    assert.equal(parseQueryMigrate({ ram: { ...ram, 'dirty-sync-count': 2 } }).ram?.dirtyRate, 0)
  })

  test('the dirty rate counts pages of the size that is told', () => {
    const counts = { 'dirty-sync-count': 2, 'dirty-pages-rate': 16, 'page-size': 65_536 }
    assert.equal(parseQueryMigrate({ ram: { ...ram, ...counts } }).ram?.dirtyRate, MiB)
  })

  test('an old QEMU that tells only the three sizes will do', () => {
    const { ram: read } = parseQueryMigrate({ status: 'active', ram })
    assert.deepEqual([read?.duplicatePages, read?.normalBytes, read?.dirtySyncCount, read?.pageSize], [0, 0, 0, 4_096])
  })

  test('a status and fields of a newer QEMU are no mistake', () => {
    assert.equal(parseQueryMigrate({ status: 'teleporting', ram, 'warp-factor': 9 }).status, 'teleporting')
  })

  for (const [what, raw] of [
    ['a text', 'active'],
    ['a status that is a number', { status: 3 }],
    ['a negative size', { ram: { ...ram, remaining: -1 } }],
    ['a size that is missing', { ram: { transferred: 1, remaining: 1 } }],
    ['a size that is a text', { ram: { ...ram, total: '64MiB' } }],
    ['a negative time', { downtime: -5 }],
  ] as const) {
    test(`${what} is refused`, () => assert.throws(() => parseQueryMigrate(raw), ZodError))
  }
})
