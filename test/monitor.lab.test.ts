/** The monitor on real sockets: two sites of namespaces, a WAN between them, no guests. Streams on the ports of migrations are ours, others are not. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loadConfig } from '../src/config/load-config.ts'
import { type HostId, hostId } from '../src/core/ids.ts'
import type { LinkState } from '../src/core/network/link-state.ts'
import { isKnown } from '../src/core/network/reading.ts'
import { mebibytes, megabitsPerSecond, ms, showRate } from '../src/core/units.ts'
import { changeLink, linkOf } from '../src/lab/lab-harm.ts'
import { hostAddress, hostNamespace } from '../src/lab/lab-names.ts'
import { Monitor } from '../src/monitor/monitor.ts'
import { type Monitored, monitoredFrom } from '../src/monitor/monitored-config.ts'
import { probeLink } from '../src/monitor/probe-link.ts'
import type { ProbeOptions } from '../src/monitor/probe-ends.ts'
import { probeThroughput } from '../src/monitor/throughput-probe.ts'
import { namespaceRemote } from '../src/remote/namespace.ts'
import type { Remote, RemoteProcess } from '../src/remote/remote.ts'
import { clock, smallSpec, type TestLab, testLab, testRoot, whyNoLab } from './lab-fixture.ts'
import { runLifeboat } from './run-lifeboat.ts'

const skip = whyNoLab() ?? false
const soon = (): AbortSignal => AbortSignal.timeout(60_000)
const [a1, a2, b1] = [hostId('a-1'), hostId('a-2'), hostId('b-1')]
const name = 'mon-test'
/** @unit Mbit/s */
const capacity = 50
const away = hostAddress(2, 1)
const near = (rate: number, mbits: number, within: number): boolean =>
  Math.abs(rate / megabitsPerSecond(mbits) - 1) <= within

describe('the monitor', { skip }, () => {
  let lab: TestLab
  let monitored: Monitored
  /** A folder with some programs and no others: what a host's PATH is. */
  let tools = ''
  before(async () => {
    lab = await testLab(smallSpec(name, 0, { capacity, rtt: 40, hosts: 2 }))
    monitored = monitoredFrom(loadConfig(lab.config, {}).config)
    tools = mkdtempSync(join(tmpdir(), 'lifeboat-tools-'))
  })
  after(async () => {
    await lab?.down()
    rmSync(tools, { recursive: true, force: true })
  })

  const remote = (host: HostId): Remote => namespaceRemote(hostNamespace(name, host))
  /** The same host for somebody who has only these programs; `ss` may be one that says no. */
  const poorer = (host: HostId, programs: readonly string[], ss?: string): Remote => {
    const path = mkdtempSync(join(tools, 'path-'))
    for (const each of programs) symlinkSync(`/usr/bin/${each}`, join(path, each))
    if (ss !== undefined) {
      writeFileSync(join(path, 'ss'), ss)
      chmodSync(join(path, 'ss'), 0o755)
    }
    const real = remote(host)
    const env = (argv: readonly string[]): readonly string[] => ['env', `PATH=${path}`, ...argv]
    return {
      ...real,
      run: (argv, options, signal) => real.run(env(argv), options, signal),
      start: (argv, signal) => real.start(env(argv), signal),
    }
  }

  /** Runs `use` beside a monitor of the lab's hosts, some of them reached otherwise. */
  async function watching(
    otherwise: ReadonlyMap<HostId, Remote>,
    use: (monitor: Monitor) => Promise<void>,
  ): Promise<void> {
    const stop = new AbortController()
    const hosts = monitored.hosts.map(each => ({ ...each, remote: otherwise.get(each.host) ?? each.remote }))
    const monitor = new Monitor({ clock, map: monitored.map, hosts, onSeen: () => undefined })
    const running = monitor.run(stop.signal)
    try {
      await use(monitor)
    } finally {
      stop.abort(new Error('over'))
      await running
    }
  }
  const linkFrom = (monitor: Monitor, which = 'a → b'): LinkState => {
    const found = monitor.links().find(({ link }) => link.name === which)
    assert.ok(found)
    return found
  }
  async function until(what: string, holds: () => boolean): Promise<void> {
    for (let n = 0; n < 120; n += 1) {
      if (holds()) return
      await clock.sleep(ms(100), soon())
    }
    assert.fail(`not within 12 s: ${what}`)
  }
  /** Bytes from a-1 to b-1 on this port, until the returned function is called. */
  async function stream(port: number): Promise<() => void> {
    const processes: RemoteProcess[] = []
    processes.push(await remote(b1).start(['nc', '-l', away, String(port)], soon()))
    processes[0]?.stdout.resume()
    await clock.sleep(ms(300), soon())
    processes.push(
      await remote(a1).start(
        ['bash', '-c', `exec 3<>/dev/tcp/${away}/${port}; exec head -c 200000000 /dev/zero >&3`],
        soon(),
      ),
    )
    return () => {
      for (const each of processes) each.kill()
    }
  }
  const leftOvers = async (): Promise<string> =>
    (await remote(a1).run(['ss', '-tnH'], {}, soon())).stdout +
    (await remote(b1).run(['ss', '-tlnH'], {}, soon())).stdout

  test('at rest: the round trip by echoes, no loss, next to nothing in use', async () => {
    await watching(new Map(), async monitor => {
      await until(
        'echoes and readings',
        () => isKnown<number>(linkFrom(monitor).rtt) && isKnown<number>(linkFrom(monitor).inUse),
      )
      const { rtt, loss, inUse, byUs, flows } = linkFrom(monitor)
      assert.ok(isKnown<number>(rtt) && rtt > 38 && rtt < 60, JSON.stringify(rtt))
      assert.deepEqual(loss, { share: 0, from: 'ping' })
      assert.ok(isKnown<number>(inUse) && inUse < megabitsPerSecond(1), JSON.stringify(inUse))
      assert.deepEqual([byUs, flows], [0, 0])
      for (const host of monitor.hosts()) {
        assert.deepEqual([host.silent, host.dropped], [undefined, {}], host.host)
        assert.ok(isKnown<number>(host.cpuBusy) && isKnown<number>(host.memoryAvailable))
      }
    })
  })

  test("a migration's stream is ours, fills the path, and shows its capacity, its queue and what one flow gets; another's is not", async () => {
    await watching(new Map(), async monitor => {
      await until('readings', () => isKnown<number>(linkFrom(monitor).inUse))
      const stopOurs = await stream(49_152)
      try {
        await until('a full path', () => {
          const { measured } = linkFrom(monitor)
          return isKnown(measured) && measured.bound === 'full' && near(measured.rate, capacity, 0.1)
        })
        const { inUse, byUs, byOthers, flows, queueingDelay, bestFlow, minRtt, measured } = linkFrom(monitor)
        assert.equal(flows, 1)
        assert.ok(isKnown<number>(inUse) && isKnown<number>(byUs) && isKnown<number>(byOthers))
        assert.ok(near(byUs, capacity, 0.15) && near(inUse, capacity, 0.15), `${showRate(byUs)} of ${showRate(inUse)}`)
        assert.ok(byOthers < megabitsPerSecond(capacity * 0.1), showRate(byOthers))
        assert.ok(
          isKnown<number>(queueingDelay) && queueingDelay > 10 && queueingDelay < 300,
          JSON.stringify(queueingDelay),
        )
        assert.ok(isKnown<number>(minRtt) && minRtt > 38 && minRtt < 50, JSON.stringify(minRtt))
        assert.ok(isKnown<number>(bestFlow) && near(bestFlow, capacity, 0.15), JSON.stringify(bestFlow))
        assert.ok(isKnown(measured) && measured.how === 'in-use')
        const used = await probeLink(
          monitor,
          linkFrom(monitor).link,
          { bytes: mebibytes(1), time: ms(1_000) },
          clock,
          soon(),
        )
        assert.ok('why' in used && /1 migrations use it/.test(used.why), 'a path in use is not probed')
      } finally {
        stopOurs()
      }
      const stopTheirs = await stream(7_000)
      try {
        await until("others' traffic", () => {
          const { byOthers, byUs } = linkFrom(monitor)
          return isKnown<number>(byOthers) && near(byOthers, capacity, 0.2) && byUs === 0
        })
      } finally {
        stopTheirs()
      }
    })
  })

  test('without ss, or where it is denied, bytes are counted and the rest is said not to be known; without ping too', async () => {
    const programs = ['sh', 'grep', 'getent', 'env']
    const denied = '#!/bin/sh\necho "Cannot open netlink socket: Operation not permitted" >&2\nexit 255\n'
    const otherwise = new Map([
      [a1, poorer(a1, programs)],
      [a2, poorer(a2, programs, denied)],
    ])
    await watching(otherwise, async monitor => {
      await until(
        'readings of both',
        () => linkFrom(monitor).remarks.length === 2 && isKnown<number>(linkFrom(monitor).inUse),
      )
      const stop = await stream(49_153)
      try {
        await until('bytes', () => {
          const { inUse } = linkFrom(monitor)
          return isKnown<number>(inUse) && near(inUse, capacity, 0.15)
        })
      } finally {
        stop()
      }
      const { byUs, byOthers, bestFlow, rtt, remarks } = linkFrom(monitor)
      for (const value of [byUs, byOthers, bestFlow]) assert.ok(!isKnown<object | number>(value))
      assert.deepEqual(remarks, [
        'a-1: ss is not installed (package iproute2); byte counts only',
        'a-2: ss is not permitted: Cannot open netlink socket: Operation not permitted; byte counts only',
      ])
      assert.deepEqual(rtt, { why: 'ping is not installed on a-1' })
      const link = linkFrom(monitor).link
      const { hosts } = monitored
      const [from, to] = [otherwise.get(a1), hosts.find(({ host }) => host === b1)?.remote]
      assert.ok(from !== undefined && to !== undefined && isKnown(to))
      const probe = await probeLink(monitor, link, { bytes: mebibytes(1), time: ms(1_000) }, clock, soon())
      assert.ok(
        'why' in probe && /a-1 has nothing to send bytes with: install one of bash/.test(probe.why),
        JSON.stringify(probe),
      )
    })
  })

  test('a session that is killed in the middle is opened again, and the other hosts are read all the while', async () => {
    const shells: RemoteProcess[] = []
    const real = remote(a1)
    const spied: Remote = {
      ...real,
      start: async (argv, signal) => {
        const started = await real.start(argv, signal)
        shells.push(started)
        return started
      },
    }
    await watching(new Map([[a1, spied]]), async monitor => {
      const host = (id: HostId) => monitor.hosts().find(each => each.host === id)
      await until('two readings', () => (host(a1)?.readings ?? 0) >= 1 && (host(b1)?.readings ?? 0) >= 1)
      const before = host(b1)?.readings ?? 0
      shells[0]?.kill()
      await until('silence', () => host(a1)?.silent !== undefined)
      assert.match(host(a1)?.silent?.why ?? '', /namespace .*a-1: its shell ended with 137/)
      assert.match(linkFrom(monitor).remarks.join(), /a-1 is not read: .*ended with 137/)
      await until('another shell', () => host(a1)?.silent === undefined && shells.length === 2)
      const read = host(a1)?.readings ?? 0
      await until('new readings', () => (host(a1)?.readings ?? 0) > read)
      assert.ok((host(b1)?.readings ?? 0) > before + 1, 'the others went on')
      assert.deepEqual(host(a1)?.dropped, {})
    })
  })

  describe('a throughput probe', () => {
    const probe = (change: Partial<ProbeOptions> = {}) =>
      probeThroughput(
        {
          from: { host: a1, remote: remote(a1) },
          to: { host: b1, remote: remote(b1), address: away },
          most: { bytes: mebibytes(32), time: ms(5_000) },
          restRtt: undefined,
          clock,
          ...change,
        },
        soon(),
      )

    for (const [mbits, rtt] of [
      [50, 40],
      [15, 80],
      [10, 10],
      [100, 10],
    ] as const) {
      test(`finds ${mbits} Mbit/s within a fifth, and backs off at the first sign of a queue`, async () => {
        await changeLink(
          testRoot,
          lab.record,
          linkOf(lab.record, 'a', 'b'),
          { capacity: megabitsPerSecond(mbits), rtt: ms(rtt) },
          soon(),
        )
        const found = await probe()
        assert.ok(near(found.rate, mbits, 0.2), `${showRate(found.rate)} of ${mbits} Mbit/s`)
        assert.deepEqual([found.bound, found.stoppedBy], ['full', 'queueing'])
        assert.ok(found.sent < mebibytes(12) && found.took < 3_000, `${found.sent} bytes in ${found.took} ms`)
        await clock.sleep(ms(500), soon())
        assert.equal(await leftOvers(), '')
      })
    }

    test('that is not allowed enough bytes says at least', async () => {
      await changeLink(
        testRoot,
        lab.record,
        linkOf(lab.record, 'a', 'b'),
        { capacity: megabitsPerSecond(capacity), rtt: ms(40) },
        soon(),
      )
      const found = await probe({ most: { bytes: mebibytes(0.25), time: ms(5_000) } })
      assert.deepEqual([found.bound, found.stoppedBy], ['at-least', 'byte-limit'])
      assert.ok(found.sent <= mebibytes(0.3))
    })

    test('with every other tool that is here', async () => {
      const common = ['sh', 'head', 'ss', 'sleep', 'env', 'grep']
      for (const program of ['nc', 'python3'] as const) {
        const found = await probe({
          from: { host: a1, remote: poorer(a1, [...common, program]) },
          to: { host: b1, remote: poorer(b1, [...common, program]), address: away },
        }).catch((error: unknown) => String(error))
        // Not every machine has a python3 in /usr/bin.
        if (typeof found === 'string' && program === 'python3' && /nothing to|nothing can/.test(found)) continue
        assert.ok(typeof found !== 'string' && near(found.rate, capacity, 0.25), `${program}: ${JSON.stringify(found)}`)
      }
      await clock.sleep(ms(500), soon())
      assert.equal(await leftOvers(), '')
    })

    test('that cannot see a queue, cannot listen, or reaches nobody, says on which host and what would help', async () => {
      const noSs = poorer(a1, ['sh', 'bash', 'head', 'sleep', 'env'])
      await assert.rejects(
        probe({ from: { host: a1, remote: noSs } }),
        /ProbeImpossible.*a-1: ss is not installed .*could not see a queue/,
      )
      const deaf = poorer(b1, ['sh', 'bash', 'env'])
      await assert.rejects(
        probe({ to: { host: b1, remote: deaf, address: away } }),
        /b-1 has nothing to take bytes with: install one of python3, socat, ncat or nc/,
      )
      const elsewhere = { host: b1, remote: remote(b1), address: '10.99.9.9' }
      await assert.rejects(probe({ to: elsewhere }), /nothing can listen on b-1 at 10\.99\.9\.9/)
      await clock.sleep(ms(500), soon())
      assert.equal(await leftOvers(), '')
    })

    test('that is broken off leaves nothing behind', async () => {
      const stop = new AbortController()
      const probing = probeThroughput(
        {
          from: { host: a1, remote: remote(a1) },
          to: { host: b1, remote: remote(b1), address: away },
          most: { bytes: mebibytes(64), time: ms(5_000) },
          restRtt: undefined,
          clock,
        },
        stop.signal,
      )
      // It sends by then, and has not found out yet: the quickest took 0.9 s.
      const refused = assert.rejects(probing, /enough/)
      await clock.sleep(ms(300), soon())
      stop.abort(new Error('enough'))
      await refused
      await clock.sleep(ms(500), soon())
      assert.equal(await leftOvers(), '')
    })
  })

  test('lifeboat links --probe says first what it may send, then shows every path; the next one knows what was before', async () => {
    const first = await runLifeboat(['--config', lab.config, 'links', '--probe', '--probe-bytes', '16MiB'])
    assert.equal(first.code, 0, first.stderr)
    assert.match(
      first.stderr,
      /probing 2 paths, one after the other: at most 16\.0 MiB and 5\.0 s each, 32\.0 MiB in all/,
    )
    assert.match(first.stderr, /a → b: [\d.]+ Mbit\/s \(.*ended by queueing\)/)
    assert.match(first.stdout, /^a → b +50\.0 Mbit\/s +[45]\d\.\d Mbit\/s/m)
    assert.match(first.stdout, /^b-2 .*GiB/m)
    const second = await runLifeboat(['--config', lab.config, 'links', '-o', 'json'])
    assert.equal(second.code, 0, second.stderr)
    const { links } = JSON.parse(second.stdout) as {
      readonly links: readonly {
        readonly name: string
        readonly prior: {
          readonly capacity?: { readonly rate: number; readonly bound: string }
          readonly rtt?: number
        } | null
      }[]
    }
    const prior = links.find(each => each.name === 'a → b')?.prior
    assert.ok(
      prior?.capacity !== undefined && near(prior.capacity.rate, capacity, 0.2) && prior.capacity.bound === 'full',
      JSON.stringify(prior),
    )
    assert.ok(prior.rtt !== undefined && prior.rtt > 38 && prior.rtt < 50)
  })
})
