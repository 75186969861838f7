/** A whole evacuation under libvirt, through the command line: real guests, a libvirtd for each host. The guests' own ticks are the judge. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { mebibytes, ms } from '../src/core/units.ts'
import { type HostId, vmId } from '../src/core/ids.ts'
import { connectTo } from '../src/lab/start-daemons.ts'
import { childAt, parseXml } from '../src/hypervisor/libvirt/xml.ts'
import { policyKey, policyUri } from '../src/hypervisor/libvirt/domain-policy.ts'
import type { LibvirtClient } from '../src/libvirt/public.ts'
import { clock, smallSpec, testLab, testRoot, type TestLab, whyNoLab } from './lab-fixture.ts'
import { reportFrom, runLifeboat, startLifeboat } from './run-lifeboat.ts'

const guests = 3

type Asked = (libvirt: LibvirtClient, signal: AbortSignal) => Promise<unknown>
/** Asks one host's daemon, as virsh would. */
async function at<A extends Asked>(lab: TestLab, host: HostId, ask: A): Promise<Awaited<ReturnType<A>>>
async function at(lab: TestLab, host: HostId, ask: Asked): Promise<unknown> {
  const signal = AbortSignal.timeout(20_000)
  const libvirt = await connectTo(testRoot, lab.record.spec, host, signal)
  try {
    return await ask(libvirt, signal)
  } finally {
    await libvirt.close()
  }
}

/** Persistent domains and tombstones, by name. */
const definedAt = (lab: TestLab, host: HostId): Promise<readonly string[]> =>
  at(lab, host, async (libvirt, signal) => {
    const persistent = 1 << 2 // VIR_CONNECT_LIST_DOMAINS_PERSISTENT
    const { domains } = await libvirt.call('connectListAllDomains', { needResults: true, flags: persistent }, signal)
    return domains.map(({ name }) => name).sort()
  })

const autostartOf = (lab: TestLab, host: HostId, name: string): Promise<boolean> =>
  at(lab, host, async (libvirt, signal) => {
    const { dom } = await libvirt.call('domainLookupByName', { name }, signal)
    return (await libvirt.call('domainGetAutostart', { dom }, signal)).autostart
  })

const inactive = 1 << 1 // VIR_DOMAIN_XML_INACTIVE
const xmlOf = (lab: TestLab, host: HostId, name: string): Promise<string> =>
  at(lab, host, async (libvirt, signal) => {
    const { dom } = await libvirt.call('domainLookupByName', { name }, signal)
    return (await libvirt.call('domainGetXmlDesc', { dom, flags: inactive }, signal)).xml
  })

type Shown = readonly {
  readonly vm: string
  readonly host: string
  readonly policy: Readonly<Record<string, { readonly value: unknown; readonly from: { readonly by: string } }>>
}[]

describe('evacuation under libvirt', { skip: whyNoLab({ driver: 'libvirt' }) ?? false }, () => {
  let lab: TestLab
  let home: HostId
  let away: HostId
  const lifeboat = (...args: string[]) => runLifeboat(['--config', lab.config, ...args])
  const policyOf = async (vm: string) => {
    const { stdout, stderr } = await lifeboat('policy', 'show', vm, '-o', 'json')
    assert.notEqual(stdout, '', stderr)
    const [shown] = JSON.parse(stdout) as Shown
    assert.ok(shown !== undefined)
    const values = Object.entries(shown.policy).map(([field, { value }]) => [field, value] as const)
    return { host: shown.host, policy: shown.policy, says: new Map(values) }
  }

  before(async () => {
    const spec = smallSpec('lvevacuate', guests)
    const small = spec.guests.map(guest => ({ ...guest, memory: mebibytes(88) }))
    lab = await testLab({ ...spec, driver: 'libvirt', guests: small })
    const [first, second] = lab.record.spec.hosts.map(({ id }) => id)
    assert.ok(first !== undefined && second !== undefined)
    home = first
    away = second
  })
  after(async () => {
    await lab?.down()
  })

  const said = ['--value', '3', '--group', 'db', '--max-downtime', '500ms', '--allow', 'post-copy']
  test('policies are written into domains, shown with where they come from, and unreadable ones told', async () => {
    const wrong = await lifeboat('policy', 'set', 'vm-1', 'vm-9', 'web-*', '--target', 'mars', 'b')
    assert.equal(wrong.code, 2)
    for (const name of ['mars', 'vm-9', 'web-\\*']) assert.match(wrong.stderr, new RegExp(`"${name}"`))
    assert.equal((await policyOf('vm-1')).says.get('value'), 1, 'nothing was written')

    const set = await lifeboat('policy', 'set', 'vm-1', ...said, '--anti-affinity', 'db & co', '--target', 'b')
    assert.equal(set.code, 0, set.stderr)
    assert.match(set.stdout, /^vm-1 at a-1: value 1 \(default\) → 3, .*max downtime 300ms \(default\) → 500ms/)
    await at(lab, home, async (libvirt, signal) => {
      const { dom } = await libvirt.call('domainLookupByName', { name: 'vm-3' }, signal)
      const metadata = '<policy value="many" colour="red" group="by hand"/>'
      const args = { dom, type: 2, metadata, key: policyKey, uri: policyUri, flags: 3 }
      await libvirt.call('domainSetMetadata', args, signal)
      const { dom: second } = await libvirt.call('domainLookupByName', { name: 'vm-2' }, signal)
      await libvirt.call('domainSetAutostart', { dom: second, autostart: true }, signal)
    })
    const { policy } = await policyOf('vm-1')
    assert.deepEqual(policy['maxDowntime'], { value: '500ms', from: { by: 'vm' } })
    assert.deepEqual(policy['action'], { value: 'move', from: { by: 'default' } })
    const plan = await lifeboat('plan', 'a', '--to', 'b')
    assert.equal(plan.code, 0)
    assert.match(plan.stderr, /VM vm-3 on a-1: .*value="many"/)
    assert.match(plan.stderr, /VM vm-3 on a-1: .*colour/)
    assert.match(plan.stdout, /3 VMs to move/)
    const { says } = await policyOf('vm-3')
    assert.deepEqual([says.get('value'), says.get('group')], [1, 'by hand'])
  })

  test('where metadata may not be written the error names VM, host and what to do, and the VM runs on', async () => {
    const readOnly = `${lab.config}.read-only`
    writeFileSync(readOnly, readFileSync(lab.config, 'utf8').replaceAll(/libvirt-sock\b/g, 'libvirt-sock-ro'))
    const refused = await runLifeboat(['--config', readOnly, 'policy', 'set', 'vm-*', '--value', '9', '-o', 'json'])
    assert.equal(refused.code, 1)
    for (const vm of ['vm-1', 'vm-2', 'vm-3'])
      assert.match(refused.stderr, new RegExp(`the policy of ${vm} at a-1 was not written: .*read only.* Next: `))
    const codes = (JSON.parse(refused.stdout) as readonly { readonly code: string }[]).map(({ code }) => code)
    assert.deepEqual(codes, ['not-allowed', 'not-allowed', 'not-allowed'])
    assert.equal((await policyOf('vm-1')).says.get('value'), 3)
    const presence = await lab.hosts.get(home).presence(vmId('vm-1'), AbortSignal.timeout(5_000))
    assert.deepEqual(presence, { state: 'running', migrating: false })
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
    assert.deepEqual(await definedAt(lab, away), names)
    assert.deepEqual(
      await definedAt(lab, home),
      names.map(name => `${name}.evacuated`),
    )
  })

  test('policy and autostart went with them; autostart is off where it was off', async () => {
    const { host, says } = await policyOf('vm-1')
    const parts = ['value', 'group', 'maxDowntime', 'allow', 'targets', 'antiAffinity'].map(part => says.get(part))
    assert.deepEqual([host, ...parts], ['b-1', 3, 'db', '500ms', ['post-copy'], ['b'], 'db & co'])
    const defined = parseXml(await xmlOf(lab, away, 'vm-1'))
    assert.equal(childAt(defined, 'metadata', 'lifeboat:policy')?.attributes.get('value'), '3', 'also as it is defined')
    assert.deepEqual([await autostartOf(lab, away, 'vm-1'), await autostartOf(lab, away, 'vm-2')], [false, true])
  })

  test('what was left behind cannot be started, never starts with its host, and says where the VM went', async () => {
    await at(lab, home, async (libvirt, signal) => {
      await assert.rejects(libvirt.call('domainLookupByName', { name: 'vm-2' }, signal), /no domain with matching name/)
      const { dom } = await libvirt.call('domainLookupByName', { name: 'vm-2.evacuated' }, signal)
      await assert.rejects(
        libvirt.call('domainCreateWithFlags', { dom, flags: 0 }, signal),
        /vm-2-was-evacuated-to-b-1/,
      )
    })
    assert.equal(await autostartOf(lab, home, 'vm-2.evacuated'), false)
    const tombstone = parseXml(await xmlOf(lab, home, 'vm-2.evacuated'))
    assert.match(childAt(tombstone, 'title')?.text ?? '', /vm-2 was evacuated to b-1/)
    const kept = childAt(tombstone, 'metadata', 'lifeboat:evacuated')?.text ?? ''
    const { stdout, stderr } = await lifeboat('report', '--xml', 'vm-2')
    assert.equal(stdout.trim(), kept.trim(), stderr)
    assert.equal(childAt(parseXml(kept), 'name')?.text, 'vm-2')
    assert.match(stderr, /virsh autostart vm-2/)
    const nobody = await lifeboat('report', '--xml', 'vm-9')
    assert.equal(nobody.code, 2)
    assert.match(nobody.stderr, /vm-1, vm-2, vm-3/)
  })

  test('and they go home again, where nothing stands in their way, though the controller dies half-way', async () => {
    const bound = await lifeboat('plan', 'b', '--to', 'a')
    assert.equal(bound.code, 4, 'vm-1 may go to b only')
    assert.match(bound.stdout, /its policy allows only b/)
    const unset = await lifeboat('policy', 'unset', 'vm-*')
    assert.equal(unset.code, 0, unset.stderr)
    assert.equal(childAt(parseXml(await xmlOf(lab, away, 'vm-1')), 'metadata', 'lifeboat:policy'), undefined)

    // The second controller has only the journal to make the tombstones from.
    const first = startLifeboat(['--config', lab.config, 'evacuate', 'b', '--to', 'a', '--yes', '-o', 'ndjson'])
    await first.saw(/"memory-flowing"/)
    first.child.kill('SIGKILL')
    await first.done
    const { code, stdout, stderr } = await lifeboat('evacuate', 'b', '--resume', '-o', 'json')
    assert.equal(code, 0, stderr)
    assert.equal(reportFrom(stdout).summary.safe, guests)
    const names = lab.record.spec.guests.map(({ vm }) => String(vm))
    assert.deepEqual(await definedAt(lab, home), names)
    assert.deepEqual(
      await definedAt(lab, away),
      names.map(name => `${name}.evacuated`),
    )
    assert.deepEqual([await autostartOf(lab, home, 'vm-1'), await autostartOf(lab, home, 'vm-2')], [false, true])
  })

  test('domains that somebody ends while they are queued are given up with the reason, and hinder nobody', async () => {
    // So slow that the first is still under way when the others are ended, on a machine that is busy with more than this.
    const slowly = ['--policy', 'sequential', '--bandwidth', '50Mbit/s']
    const run = startLifeboat([
      '--config',
      lab.config,
      'evacuate',
      'a',
      '--to',
      'b',
      '--yes',
      '-o',
      'ndjson',
      ...slowly,
    ])
    const flows = /"memory-flowing","vm":"(vm-[12])"/ // whose target is ready first, of the two that are made ready at once
    await run.saw(flows)
    const first = flows.exec(run.soFar())?.[1] ?? ''
    const [second, third] = [first === 'vm-1' ? 'vm-2' : 'vm-1', 'vm-3']
    await at(lab, home, async (libvirt, signal) => {
      for (const name of [second, third]) {
        const { dom } = await libvirt.call('domainLookupByName', { name }, signal)
        await libvirt.call('domainDestroyFlags', { dom, flags: 0 }, signal)
        if (name === third) await libvirt.call('domainUndefineFlags', { dom, flags: 0 }, signal)
      }
    })
    assert.equal((await run.done).code, 1)
    const report = reportFrom((await lifeboat('report', '-o', 'json')).stdout)
    const became = new Map(report.vms.map(({ vm, outcome, reason }) => [String(vm), `${outcome}: ${reason ?? ''}`]))
    assert.match(became.get(first) ?? '', /^safe/)
    const ended = (seen: string) => `lost: not-there: it does not run at a-1 any more (${seen}): somebody ended`
    assert.ok(became.get(second)?.startsWith(ended('shut off')), became.get(second))
    assert.ok(became.get(third)?.startsWith(ended('no such domain')), became.get(third))
  })
})
