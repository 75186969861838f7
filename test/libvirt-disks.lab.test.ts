/**
 * Disks without shared storage under libvirt, with real guests that hash their own disks: before, during and after. One lab for all.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type HostId, hostId, vmId } from '../src/core/ids.ts'
import { bytesPerSecond, mebibytes, seconds } from '../src/core/units.ts'
import { libvirtFolder, vmsFolder } from '../src/lab/lab-names.ts'
import { hostDisks } from '../src/lab/make-disks.ts'
import { insistOnRequirements } from '../src/lab/requirements.ts'
import { clock, smallSpec, testLab, testRoot, type TestLab } from './lab-fixture.ts'
import { reportFrom, runLifeboat } from './run-lifeboat.ts'

const name = 'lvdisks'
const kib = (n: number) => bytesPerSecond(n * 1024)

function whyNot(): string | undefined {
  try {
    insistOnRequirements(undefined, 'libvirt')
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll('\n', '; ') : String(error)
  }
}

describe('disks under libvirt', { skip: whyNot() ?? false }, () => {
  let lab: TestLab
  const [a, b] = [hostId('a-1'), hostId('b-1')]
  const lifeboat = (...args: string[]) => runLifeboat(['--config', lab.config, ...args])
  const evacuate = (from: 'a' | 'b', to: 'a' | 'b', ...args: string[]) =>
    lifeboat('evacuate', from, '--to', to, '--yes', '-o', 'json', ...args)
  const soon = () => AbortSignal.timeout(30_000)
  const lifeOf = (vm: string) => {
    const life = lab.life.report(Number.POSITIVE_INFINITY).find(guest => guest.vm === vmId(vm))
    assert.ok(life !== undefined)
    return life
  }
  const disksAt = (host: HostId): readonly string[] =>
    readdirSync(hostDisks(vmsFolder(testRoot, name, host)))
      .filter(file => !file.startsWith('base-') && !file.endsWith('.iso'))
      .sort()
  /** Within the mount namespace of a host's daemon. */
  const at = (host: HostId, script: string): string => {
    const pid = readFileSync(join(libvirtFolder(testRoot, name, host), 'run', 'libvirtd.pid'), 'utf8').trim()
    const pool = join(testRoot, name, 'here', '.disks')
    return execFileSync('nsenter', ['-t', pid, '-m', 'sh', '-ec', script, 'sh', pool], { encoding: 'utf8' })
  }

  /** Each guest reads every disk twice more, whole, where it is now, and finds what it had written. */
  async function insistOnDisks(host: HostId): Promise<void> {
    for (const guest of lab.record.spec.guests) {
      const readings = () => [...lifeOf(guest.vm).disks.values()].map(disk => disk.readings)
      const written = () => [...lifeOf(guest.vm).disks.values()].reduce((sum, disk) => sum + disk.written, 0)
      const [seen, wrote] = [readings(), written()]
      while (!readings().every((n, k) => n >= (seen[k] ?? 0) + 2)) await clock.sleep(seconds(0.2), soon())
      const life = lifeOf(guest.vm)
      assert.equal(life.verdict, 'alive', `${guest.vm}: ${life.verdict} ${life.errors.join('; ')}`)
      assert.equal(life.host, host)
      assert.equal(life.disks.size, guest.disks.length)
      if (guest.disks.some(({ write }) => write !== undefined)) assert.ok(written() > wrote, `${guest.vm} writes`)
    }
  }

  before(async () => {
    const spec = smallSpec(name, 3, { capacity: 300 })
    const own = { size: mebibytes(16), shared: false }
    const disks = [
      [{ ...own, write: kib(256) }],
      [own, { ...own, size: mebibytes(8), format: 'qcow2' as const }],
      [{ ...own, format: 'qcow2' as const, overBase: true }],
    ]
    const guests = spec.guests.map((guest, n) => ({ ...guest, disks: disks[n] ?? [], checkDisks: seconds(2) }))
    lab = await testLab({ ...spec, driver: 'libvirt', guests })
  })
  after(async () => {
    await lab?.down()
  })

  test('are copied whole, or only what the target does not have; the guests read what they had written', async () => {
    const { code, stdout, stderr } = await evacuate('a', 'b')
    assert.equal(code, 0, stderr)
    const report = reportFrom(stdout)
    assert.equal(report.summary.safe, 3)
    const sent = new Map(report.vms.map(vm => [String(vm.vm), vm.bytesSent]))
    assert.ok((sent.get('vm-1') ?? 0) > mebibytes(16) + mebibytes(40), `vm-1 sent ${sent.get('vm-1')}`)
    await insistOnDisks(b)
    // Nothing but the disks themselves: no marker is left.
    assert.deepEqual(disksAt(b), ['vm-1-0.img', 'vm-2-0.img', 'vm-2-1.qcow2', 'vm-3-0.qcow2'])
    const info = JSON.parse(at(b, 'qemu-img info -U --output json "$1/vm-3-0.qcow2"')) as Record<string, unknown>
    assert.equal(info['backing-filename'], join(testRoot, name, 'here', '.disks', `base-${mebibytes(16)}.qcow2`))
    assert.ok(Number(info['actual-size']) < mebibytes(8), 'only the top of the chain was copied')
    // The source's stay where they are.
    assert.deepEqual(disksAt(a), disksAt(b))
  })
})
