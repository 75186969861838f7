/** `lifeboat report --xml` from journals alone: no host is asked, and none needs to be there any more. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Observed } from '../src/core/control/observed.ts'
import { evacuationId, hostId, vmId } from '../src/core/ids.ts'
import { instant } from '../src/core/instant.ts'
import { journalOf } from '../src/engine/state-folder.ts'
import { printLibvirtDefinition } from '../src/hypervisor/libvirt/libvirt-definition.ts'
import { createJournal } from '../src/journal/sqlite-journal.ts'
import { aSnapshot, someVms, startedFrom } from './arbitraries.ts'
import { runLifeboat } from './run-lifeboat.ts'

const xml = (vm: string, note: string): string =>
  `<domain type='kvm'>\n  <name>${vm}</name>\n  <!-- ${note} -->\n</domain>\n`
const kept = (vm: string, driver: string, text: string): Observed => ({
  kind: 'definition-kept',
  vm: vmId(vm),
  attempt: 1,
  source: hostId('a-1'),
  driver,
  text,
})
const libvirt = (vm: string, note: string, autostart: boolean, persistent = true): Observed => {
  const uuid = '0c0ffee0-0000-4000-8000-000000000001'
  return kept(
    vm,
    'libvirt',
    printLibvirtDefinition({ name: vm, uuid, persistent, autostart, xml: xml(vm, note), disks: [] }),
  )
}

describe('report --xml', () => {
  const [older, newer] = ['a-20260101-000000', 'a-20260202-000000']
  let dir = ''
  const report = (...args: string[]) => runLifeboat(['--config', join(dir, 'lifeboat.yaml'), 'report', ...args])

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-report-'))
    const site = (name: string) =>
      `  - { name: ${name}, hosts: [{ name: ${name}-1, uri: "qemu+ssh://gone.invalid/system" }] }`
    writeFileSync(join(dir, 'lifeboat.yaml'), `stateDir: ${dir}\nsites:\n${site('a')}\n${site('b')}\n`)
    const stories: readonly (readonly [id: string, facts: readonly Observed[]])[] = [
      [older, [libvirt('vm-1', 'first', true), libvirt('vm-1', 'changed', true), libvirt('vm-2', 'old', false)]],
      [newer, [libvirt('vm-2', 'new', false, false), kept('vm-3', 'qemu', '{ "version": 1, "name": "vm-3" }\n')]],
    ]
    for (const [id, facts] of stories) {
      const file = journalOf(dir, evacuationId(id))
      mkdirSync(dirname(file), { recursive: true })
      const journal = createJournal(file)
      const started = { ...startedFrom(aSnapshot({ vms: someVms(3) })), id: evacuationId(id) }
      journal.append([started, ...facts].map((event, n) => ({ at: instant(n + 1), event, commands: [] })))
      journal.close()
    }
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('prints what libvirt had, of the newest evacuation that knows the VM, and what its XML does not say', async () => {
    const { code, stdout, stderr } = await report('--xml', 'vm-1')
    assert.equal(code, 0, stderr)
    assert.equal(stdout, xml('vm-1', 'changed'))
    assert.match(stderr, /vm-1 as it was at a-1 before evacuation a-20260101-000000/)
    assert.match(stderr, /virsh autostart vm-1/)
    const transient = await report('--xml', 'vm-2')
    assert.equal(transient.stdout, xml('vm-2', 'new'))
    assert.match(transient.stderr, /transient/)
    assert.doesNotMatch(transient.stderr, /autostart/)
  })

  test('of a named evacuation, by --run or as the argument', async () => {
    for (const args of [
      ['--xml', 'vm-2', '--run', older],
      [older, '--xml', 'vm-2'],
    ])
      assert.equal((await report(...args)).stdout, xml('vm-2', 'old'))
    const both = await report(older, '--xml', 'vm-2', '--run', newer)
    assert.equal(both.code, 2)
  })

  test('of a QEMU host it is the definition, and with -o json all that is known', async () => {
    assert.equal((await report('--xml', 'vm-3')).stdout, '{ "version": 1, "name": "vm-3" }\n')
    const { stdout } = await report('--xml', 'vm-1', '-o', 'json')
    const { text, ...rest } = JSON.parse(stdout) as Record<string, unknown>
    assert.equal(text, xml('vm-1', 'changed'))
    assert.deepEqual(rest, {
      vm: 'vm-1',
      evacuation: older,
      source: 'a-1',
      driver: 'libvirt',
      persistent: true,
      autostart: true,
    })
  })

  test('of a VM that nobody kept says whose there are', async () => {
    const nowhere = await report('--xml', 'vm-9')
    assert.equal(nowhere.code, 2)
    assert.match(
      nowhere.stderr,
      /no evacuation in .* keeps a definition of "vm-9"; they keep those of vm-1, vm-2, vm-3/,
    )
    const notThere = await report('--xml', 'vm-1', '--run', newer)
    assert.equal(notThere.code, 2)
    assert.match(notThere.stderr, /a-20260202-000000 keeps no definition of "vm-1"; it keeps those of vm-2, vm-3/)
    assert.equal(notThere.stdout, '')
  })
})
