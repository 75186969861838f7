/** A whole evacuation under libvirt, through the command line: real guests, a libvirtd for each host. The guests' own ticks are the judge. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { mebibytes, ms } from '../src/core/units.ts'
import type { HostId } from '../src/core/ids.ts'
import { connectTo } from '../src/lab/start-daemons.ts'
import { clock, smallSpec, testLab, testRoot, type TestLab, whyNoLab } from './lab-fixture.ts'
import { reportFrom, runLifeboat } from './run-lifeboat.ts'

const guests = 3

/** Persistent domains and tombstones, by name. */
async function definedAt(lab: TestLab, host: HostId): Promise<readonly string[]> {
  const signal = AbortSignal.timeout(10_000)
  const libvirt = await connectTo(testRoot, lab.record.spec, host, signal)
  try {
    const persistent = 1 << 2 // VIR_CONNECT_LIST_DOMAINS_PERSISTENT
    const { domains } = await libvirt.call('connectListAllDomains', { needResults: true, flags: persistent }, signal)
    return domains.map(({ name }) => name).sort()
  } finally {
    await libvirt.close()
  }
}

describe('evacuation under libvirt', { skip: whyNoLab({ driver: 'libvirt' }) ?? false }, () => {
  let lab: TestLab
  const lifeboat = (...args: string[]) => runLifeboat(['--config', lab.config, ...args])

  before(async () => {
    const spec = smallSpec('lvevacuate', guests)
    const small = spec.guests.map(guest => ({ ...guest, memory: mebibytes(88) }))
    lab = await testLab({ ...spec, driver: 'libvirt', guests: small })
  })
  after(async () => {
    await lab?.down()
  })

  test('brings all out: alive, defined at the target, gone at the source', async () => {
    const { code, stdout, stderr } = await lifeboat('evacuate', 'a', '--to', 'b', '--yes', '-o', 'json')
    assert.equal(code, 0, stderr)
    const report = reportFrom(stdout)
    assert.equal(report.summary.safe, guests)
    assert.ok(report.vms.every(({ downtimeMs, target }) => downtimeMs !== null && target === 'b-1'))
    assert.ok(report.summary.bytesSent > guests * mebibytes(50))
    await clock.sleep(ms(2_200), AbortSignal.timeout(10_000))
    for (const guest of lab.life.report(Number.POSITIVE_INFINITY)) {
      assert.equal(guest.verdict, 'alive', `${guest.vm} is ${guest.verdict}`)
      assert.equal(guest.repeated, 0, `${guest.vm} ran twice`)
      assert.equal(guest.missing, 0, `${guest.vm} lost ticks`)
      assert.equal(guest.host, 'b-1', `${guest.vm} ticks on ${guest.host}`)
    }
    const names = lab.record.spec.guests.map(({ vm }) => String(vm))
    const [home, away] = lab.record.spec.hosts.map(({ id }) => id)
    assert.ok(home !== undefined && away !== undefined)
    assert.deepEqual(await definedAt(lab, away), names)
    assert.deepEqual(
      await definedAt(lab, home),
      names.map(name => `${name}.evacuated`),
    )
  })

  test('what was left behind cannot be started', async () => {
    const [home] = lab.record.spec.hosts
    assert.ok(home !== undefined)
    const signal = AbortSignal.timeout(20_000)
    const libvirt = await connectTo(testRoot, lab.record.spec, home.id, signal)
    try {
      const { dom } = await libvirt.call('domainLookupByName', { name: 'vm-1.evacuated' }, signal)
      await assert.rejects(
        libvirt.call('domainCreateWithFlags', { dom, flags: 0 }, signal),
        /vm-1-was-evacuated-to-b-1/,
      )
    } finally {
      await libvirt.close()
    }
  })

  test('and they go home again, where nothing stands in their way', async () => {
    const { code, stdout, stderr } = await lifeboat('evacuate', 'b', '--to', 'a', '--yes', '-o', 'json')
    assert.equal(code, 0, stderr)
    assert.equal(reportFrom(stdout).summary.safe, guests)
    const [home] = lab.record.spec.hosts
    assert.ok(home !== undefined)
    assert.deepEqual(
      await definedAt(lab, home.id),
      lab.record.spec.guests.map(({ vm }) => String(vm)),
    )
  })
})
