/** The loop, with hosts whose shell is a program of ours: what a host says decides what is known, and no host stops another. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { aHost, aSite } from '../../test/arbitraries.ts'
import { hostId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { networkMap } from '../core/network/network-map.ts'
import { localRemote } from '../remote/local.ts'
import type { Remote } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { Monitor, type MonitoredHost } from './monitor.ts'

const clock: Clock = {
  now: () => instant(performance.timeOrigin + performance.now()),
  sleep: (span, signal) => sleep(span, undefined, { signal }),
}
const [a1, b1] = [hostId('a-1'), hostId('b-1')]
const map = networkMap({
  takenAt: instant(0),
  sites: [aSite('a'), aSite('b', { safe: true })],
  hosts: [aHost('a-1', 'a'), aHost('b-1', 'b')],
  paths: [],
  vms: [],
  unreachable: [],
  power: [],
  deadline: undefined,
})

let dir = ''
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-monitor-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

/** This machine with an `ss` of ours before the real one. */
function withSs(script: string): Remote {
  const path = mkdtempSync(join(dir, 'path-'))
  writeFileSync(join(path, 'ss'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(path, 'ss'), 0o755)
  const env = ['env', `PATH=${path}:${process.env['PATH'] ?? ''}`]
  return { ...localRemote, start: (argv, signal) => localRemote.start([...env, ...argv], signal) }
}

async function watched(hosts: readonly MonitoredHost[], settled: (monitor: Monitor) => boolean): Promise<Monitor> {
  const stop = new AbortController()
  const monitor = new Monitor({ clock, map, hosts, onSeen: () => undefined })
  const running = monitor.run(stop.signal)
  for (let n = 0; n < 100 && !settled(monitor); n += 1) await sleep(100)
  stop.abort(new Error('over'))
  await running
  assert.ok(settled(monitor), JSON.stringify(monitor.links()))
  return monitor
}
const linkOf = (monitor: Monitor) => monitor.links().find(({ link }) => link.name === 'a → b')

describe('a monitor', () => {
  test('knows a migration by the address behind a name', async () => {
    const ss = withSs(
      'echo "ESTAB 0 0 127.0.0.1:40000 [::ffff:127.0.0.1]:49152"; echo "  rtt:40/1 minrtt:30 bytes_sent:$(date +%s)000 bytes_acked:1"',
    )
    const monitor = await watched(
      [
        { host: a1, remote: ss, address: '10.0.0.1' },
        { host: b1, remote: { why: 'no shell' }, address: 'localhost' },
      ],
      each => linkOf(each)?.flows === 1,
    )
    assert.equal(linkOf(monitor)?.queueingDelay, 10)
    assert.deepEqual(linkOf(monitor)?.remarks, [])
  })

  test('says whose name nobody can look up', async () => {
    const monitor = await watched(
      [
        { host: a1, remote: localRemote, address: '10.0.0.1' },
        { host: b1, remote: { why: 'no shell' }, address: 'no-such-name.invalid' },
      ],
      each => (linkOf(each)?.remarks.length ?? 0) > 0 && typeof linkOf(each)?.inUse === 'number',
    )
    assert.deepEqual(linkOf(monitor)?.remarks, [
      "migrations to b-1 count as others': no host that is read can look up its address no-such-name.invalid; set migrationAddress",
    ])
  })

  test('goes on beside a host that hangs, one that floods, and one that is not there', async () => {
    const gone: Remote = { ...localRemote, start: () => Promise.reject(new Error('no route to host')) }
    for (const [bad, says] of [
      [withSs('sleep 60'), /no answer within 5\.0 s/],
      [withSs('yes ESTAB'), /more than 1\.00 MiB in one answer/],
      [gone, /no route to host/],
    ] as const) {
      const monitor = await watched(
        [
          { host: a1, remote: bad, address: '10.0.0.1' },
          { host: b1, remote: localRemote, address: '10.0.0.2' },
        ],
        each => {
          const [a, b] = each.hosts()
          return a?.silent !== undefined && (b?.readings ?? 0) >= 1
        },
      )
      assert.match(monitor.hosts()[0]?.silent?.why ?? '', says)
      assert.equal(monitor.hosts()[1]?.silent, undefined)
    }
  })
})
