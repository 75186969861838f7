/** The lab itself: its WAN is what it claims to be, labs do not touch each other, and nothing is left behind whatever was killed. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hostId, siteId, vmId } from '../src/core/ids.ts'
import { fraction, megabitsPerSecond, ms } from '../src/core/units.ts'
import { changeLink, killHost, killVm, linkOf, linkStats } from '../src/lab/lab-harm.ts'
import { labDown } from '../src/lab/lab-down.ts'
import { hostAddress, hostNamespace, labFolder } from '../src/lab/lab-names.ts'
import { namespacesOf } from '../src/lab/network.ts'
import { commandLineOf, processesNaming } from '../src/lab/processes.ts'
import { namespaceRemote } from '../src/remote/namespace.ts'
import { clock, smallSpec, type TestLab, testLab, testRoot, whyNoLab } from './lab-fixture.ts'
import { runLifeboat, startLifeboat } from './run-lifeboat.ts'

const soon = (): AbortSignal => AbortSignal.timeout(60_000)
const skip = whyNoLab() ?? false

describe('the WAN of a lab', { skip }, () => {
  const name = 'wan-test'
  let lab: TestLab
  before(async () => {
    lab = await testLab(smallSpec(name, 0, { capacity: 50, rtt: 40 }))
  })
  after(async () => {
    await lab?.down()
  })
  const away = hostAddress(2, 1)
  const inHost = (host: string, argv: readonly string[]) =>
    namespaceRemote(hostNamespace(name, hostId(host))).run(argv, {}, soon())
  const ping = async (count: number): Promise<{ readonly lost: number; readonly rtt: number }> => {
    const { stdout } = await inHost('a-1', ['ping', '-q', '-i', '0.01', '-W', '1', '-c', String(count), away])
    const lost = Number(/([\d.]+)% packet loss/.exec(stdout)?.[1] ?? 100) / 100
    return { lost, rtt: Number(/= [\d.]+\/([\d.]+)/.exec(stdout)?.[1] ?? Number.NaN) }
  }
  const change = (to: Parameters<typeof changeLink>[3]) =>
    changeLink(testRoot, lab.record, linkOf(lab.record, 'a', 'b'), to, soon())

  /** One TCP stream from a-1 to b-1 for a while, by Node itself. @returns bytes per second that arrived */
  const throughput = async (milliseconds: number): Promise<number> => {
    const server = `const net=require('node:net');let n=0,first=0,last=0;net.createServer(s=>{s.on('data',c=>{if(!first)first=performance.now();last=performance.now();n+=c.length});s.on('close',()=>{console.log(n/((last-first)/1000));process.exit()})}).listen(7000,'0.0.0.0',()=>console.error('ready'))`
    const client = `const s=require('node:net').connect(7000,'${away}',()=>{const b=Buffer.alloc(65536);const go=()=>{while(!s.destroyed&&s.write(b));};s.on('drain',go);go();setTimeout(()=>s.destroy(),${milliseconds})})`
    const receiving = inHost('b-1', [process.execPath, '-e', server])
    await clock.sleep(ms(700), soon())
    await inHost('a-1', [process.execPath, '-e', client])
    return Number((await receiving).stdout)
  }

  test('has the round trip it was given', async () => {
    const { rtt, lost } = await ping(20)
    assert.ok(rtt > 38 && rtt < 60, `${rtt} ms, asked for 40`)
    assert.equal(lost, 0)
  })

  test('carries its capacity, and no more; a new capacity counts at once', async () => {
    const fifty = await throughput(4_000)
    assert.ok(fifty > megabitsPerSecond(35) && fifty <= megabitsPerSecond(51), `${(fifty * 8) / 1e6} of 50 Mbit/s`)
    await change({ capacity: megabitsPerSecond(10) })
    const ten = await throughput(4_000)
    assert.ok(ten > megabitsPerSecond(7) && ten <= megabitsPerSecond(10.3), `${(ten * 8) / 1e6} of 10 Mbit/s`)
    await change({ capacity: megabitsPerSecond(50) })
  })

  test('loses what it is told to lose, and nothing when that is over', async () => {
    await change({ loss: fraction(0.2) })
    const { lost } = await ping(200)
    assert.ok(lost > 0.2 && lost < 0.55, `${lost} of round trips lost at 20 % a direction, 36 % expected`)
    await change({ loss: fraction(0) })
    assert.equal((await ping(20)).lost, 0)
  })

  test('a cut carries nothing, and says so; healed, it carries again', async () => {
    await change({ cut: true })
    assert.equal((await ping(5)).lost, 1)
    assert.ok((await linkStats(testRoot, lab.record, soon())).every(({ cut }) => cut))
    await change({ cut: false })
    assert.equal((await ping(5)).lost, 0)
  })

  test('a longer round trip counts at once', async () => {
    await change({ rtt: ms(120) })
    const { rtt } = await ping(10)
    assert.ok(rtt > 117 && rtt < 145, `${rtt} ms, asked for 120`)
  })
})

describe('labs', { skip }, () => {
  const leftOf = (name: string): readonly string[] => [
    ...namespacesOf(name),
    ...processesNaming(labFolder(testRoot, name)).map(({ what, pid }) => `${what} ${pid}`),
    ...(existsSync(labFolder(testRoot, name)) ? [labFolder(testRoot, name)] : []),
  ]
  const up = (name: string) => [
    'lab',
    'up',
    '--name',
    name,
    '--root',
    testRoot,
    '--vms',
    '2',
    '--hosts',
    '1',
    '--memory',
    '80MiB',
  ]

  test('two side by side do not collide, and each is taken down alone', async () => {
    const [one, two] = await Promise.all([testLab(smallSpec('twin-1', 1)), testLab(smallSpec('twin-2', 1))])
    try {
      await changeLink(testRoot, one.record, linkOf(one.record, 'a', 'b'), { cut: true }, soon())
      assert.ok((await linkStats(testRoot, two.record, soon())).every(({ cut }) => !cut))
      await one.down()
      assert.deepEqual(leftOf('twin-1'), [])
      await clock.sleep(ms(2_500), soon())
      const [guest] = two.life.report(Number.POSITIVE_INFINITY)
      assert.equal(guest?.verdict, 'alive')
      assert.ok((guest?.ticks ?? 0) >= 2)
    } finally {
      await two.down()
    }
    assert.deepEqual(leftOf('twin-2'), [])
  })

  test('one that is up already is not made again, and stays as it is', async () => {
    const name = 'once'
    const first = await runLifeboat(up(name))
    assert.equal(first.code, 0, first.stderr)
    const second = await runLifeboat(up(name))
    assert.equal(second.code, 2)
    assert.match(second.stderr, /is up already.*lab down --name once/s)
    const status = await runLifeboat(['lab', 'status', '--name', name, '--root', testRoot])
    assert.equal(status.code, 0, status.stdout)
    assert.match(status.stdout, /vm-1 .* alive/)
    const down = await runLifeboat(['lab', 'down', '--name', name, '--root', testRoot])
    assert.equal(down.code, 0, down.stderr)
    assert.deepEqual(leftOf(name), [])
  })

  for (const [when, pattern] of [
    ['while its network is made', /network/],
    ['while guests boot', /guests ready 1/],
  ] as const) {
    test(`killed ${when}, it is found by its record and taken down`, async () => {
      const name = 'killed'
      const making = startLifeboat(up(name))
      await making.saw(pattern)
      making.child.kill('SIGKILL')
      await making.done
      const down = await runLifeboat(['lab', 'down', '--name', name, '--root', testRoot])
      assert.equal(down.code, 0, down.stderr)
      assert.deepEqual(leftOf(name), [])
    })
  }

  test('interrupted while it is made, it takes itself down', async () => {
    const name = 'broken-off'
    const making = startLifeboat(up(name))
    // Guests take a second or more from here; on a fast machine the first is ready a moment before the last.
    await making.saw(/network: /)
    making.child.kill('SIGINT')
    const { code } = await making.done
    assert.notEqual(code, 0)
    assert.deepEqual(leftOf(name), [])
  })

  test('a guest, a host and the relay can die; down works all the same, and touches nobody else', async () => {
    const lab = await testLab(smallSpec('harm', 2, { hosts: 2 }))
    const bystander = processesNaming(testRoot).length
    const signal = soon()
    await killVm(testRoot, lab.record, vmId('vm-1'), clock, signal)
    assert.equal((await lab.hosts.get(hostId('a-1')).presence(vmId('vm-1'), signal)).state, 'absent')
    await killHost(testRoot, lab.record, hostId('a-2'), clock, signal)
    assert.equal((await lab.hosts.get(hostId('a-2')).presence(vmId('vm-2'), signal)).state, 'unreachable')
    const relay = lab.record.processes.find(({ what }) => what === 'relay')
    if (relay !== undefined) {
      assert.ok(commandLineOf(relay.pid).some(word => word.includes('relay-main')))
      process.kill(relay.pid, 'SIGKILL')
      await assert.rejects(linkStats(testRoot, lab.record, signal), /its relay was ended/)
    }
    await lab.down()
    assert.deepEqual(leftOf('harm'), [])
    assert.ok(bystander > 0)
  })

  test('a record that is damaged is no reason to leave things standing', async () => {
    const lab = await testLab(smallSpec('damaged', 1))
    const { writeFileSync } = await import('node:fs')
    writeFileSync(join(labFolder(testRoot, 'damaged'), 'record.json'), '{"half')
    await lab.life.stop()
    await lab.hosts.close()
    await labDown(testRoot, 'damaged', clock, soon())
    assert.deepEqual(leftOf('damaged'), [])
  })

  test('a scenario folder is acted out under its own names', async () => {
    const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs')
    const { tmpdir } = await import('node:os')
    const folder = mkdtempSync(join(tmpdir(), 'lifeboat-scenario-'))
    writeFileSync(
      join(folder, 'inventory.yaml'),
      `sites:
  - { name: sendai, hosts: [{ name: sendai-1, memory: 1GiB }] }
  - { name: osaka, safe: true, hosts: [{ name: osaka-1, memory: 1GiB }] }
paths: [{ from: sendai, to: osaka, capacity: 200Mbit/s, rtt: 10ms }]
vms: [{ name: web-1, host: sendai-1, memory: 80MiB, used: 60MiB, value: 7 }]
`,
    )
    try {
      const made = await runLifeboat(['lab', 'up', folder, '--name', 'acted', '--root', testRoot])
      assert.equal(made.code, 0, made.stderr)
      const config = join(labFolder(testRoot, 'acted'), 'lifeboat.yaml')
      const exported = await runLifeboat(['--config', config, 'inventory', 'export'])
      assert.equal(exported.code, 0, exported.stderr)
      assert.match(exported.stdout, /name: web-1/)
      assert.match(exported.stdout, /value: 7/)
      assert.match(exported.stdout, /capacity: 200Mbit\/s/)
      const again = join(folder, 'again.yaml')
      writeFileSync(again, exported.stdout)
      const { parseInventory } = await import('../src/config/inventory-file.ts')
      const snapshot = parseInventory(exported.stdout, again)
      assert.deepEqual(
        snapshot.sites.map(({ id }) => id),
        [siteId('sendai'), siteId('osaka')],
      )
      assert.deepEqual(
        snapshot.vms.map(({ id, value }) => [id, value]),
        [[vmId('web-1'), 7]],
      )
    } finally {
      await runLifeboat(['lab', 'down', '--name', 'acted', '--root', testRoot])
      rmSync(folder, { recursive: true })
    }
    assert.deepEqual(leftOf('acted'), [])
  })
})
