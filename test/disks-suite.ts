/**
 * Disks without shared storage, under either driver, with real guests that hash their own disks: before, during and after. One lab for all;
 * each test leaves the guests at one of two sites, alive, with what they had written.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hostId, type VmId, vmId } from '../src/core/ids.ts'
import { MigrationError } from '../src/core/migration/failure.ts'
import { plainStart } from '../src/core/migration/start-options.ts'
import { bytesPerSecond, mebibytes, ms, seconds } from '../src/core/units.ts'
import { rollBack, whereIs } from '../src/hypervisor/hand-over.ts'
import type { MigrationStatus, Sample } from '../src/hypervisor/hypervisor.ts'
import { guestFolder, libvirtFolder, vmsFolder } from '../src/lab/lab-names.ts'
import type { LabDriver } from '../src/lab/lab-spec.ts'
import { diskFile, hostDisks } from '../src/lab/make-disks.ts'
import { insistOnRequirements } from '../src/lab/requirements.ts'
import { poll } from '../src/time/with-deadline.ts'
import { clock, smallSpec, testLab, testRoot, type TestLab } from './lab-fixture.ts'
import { reportFrom, runLifeboat, startLifeboat } from './run-lifeboat.ts'

type Side = 'a' | 'b'
const slow = bytesPerSecond(6 * 1_048_576)

function whyNot(driver: LabDriver): string | undefined {
  try {
    insistOnRequirements(undefined, { driver })
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll('\n', '; ') : String(error)
  }
}

export function disksSuite(driver: LabDriver): void {
  const name = driver === 'libvirt' ? 'lvdisks' : 'qdisks'

  describe(`disks without shared storage: ${driver}`, { skip: whyNot(driver) ?? false }, () => {
    let lab: TestLab
    /** Where the guests are. */
    let from: Side = 'a'
    let to: Side = 'b'
    const hostOf = (side: Side) => hostId(`${side}-1`)
    const sides = () => ({ source: lab.hosts.get(hostOf(from)), target: lab.hosts.get(hostOf(to)) })
    const swap = (): void => {
      ;[from, to] = [to, from]
    }
    const soon = () => AbortSignal.timeout(45_000)
    const lifeboat = (...args: string[]) => runLifeboat(['--config', lab.config, ...args])
    const evacuate = ['--yes', '-o', 'json']
    const lifeOf = (vm: VmId) => {
      const life = lab.life.report(Number.POSITIVE_INFINITY).find(guest => guest.vm === vm)
      assert.ok(life !== undefined)
      return life
    }

    /** Where a guest's disks are, or would be, at a side; as this process reaches them. */
    const imagesAt = (side: Side, vm: VmId): readonly string[] => {
      const guest = lab.record.spec.guests.find(one => one.vm === vm)
      assert.ok(guest !== undefined)
      const dir = guestFolder(testRoot, name, hostOf(side), vm)
      return guest.disks.map((_, n) => diskFile(testRoot, lab.record.spec, guest, n, dir))
    }
    /** Beside the guests' disks, their bases and the CD: what a failed arrival would have left. */
    const leftAt = (side: Side): readonly string[] => {
      const folder = hostDisks(vmsFolder(testRoot, name, hostOf(side)))
      return readdirSync(folder).filter(file => file.includes('lifeboat'))
    }
    /** With the host's own mounts, where it has some. @param script finds the folder of disks in `$1` */
    const onHost = (side: Side, vm: VmId, script: string): string => {
      const argv = ['sh', '-ec', script, 'sh']
      if (driver === 'qemu')
        return execFileSync('sh', [...argv.slice(1), dirname(imagesAt(side, vm)[0] ?? '')], { encoding: 'utf8' })
      const pid = readFileSync(join(libvirtFolder(testRoot, name, hostOf(side)), 'run', 'libvirtd.pid'), 'utf8').trim()
      const pool = join(testRoot, name, 'here', '.disks')
      return execFileSync('nsenter', ['-t', pid, '-m', ...argv, pool], { encoding: 'utf8' })
    }
    const virsh = (side: Side, ...args: string[]): string => {
      const socket = join(libvirtFolder(testRoot, name, hostOf(side)), 'run', 'libvirt-sock')
      return execFileSync('virsh', ['-q', '-c', `qemu+unix:///system?socket=${socket}`, ...args], { encoding: 'utf8' })
    }

    /** Each guest reads every disk twice more, whole, where it is now, and finds what it had written. */
    async function insistOnDisks(): Promise<void> {
      const looked = lab.record.spec.guests.map(async guest => {
        const readings = () => [...lifeOf(guest.vm).disks.values()].map(disk => disk.readings)
        const written = () => [...lifeOf(guest.vm).disks.values()].reduce((sum, disk) => sum + disk.written, 0)
        const [seen, wrote] = [readings(), written()]
        const signal = soon()
        while (!readings().every((n, k) => n >= (seen[k] ?? 0) + 2)) await clock.sleep(ms(200), signal)
        const life = lifeOf(guest.vm)
        assert.equal(life.verdict, 'alive', `${guest.vm}: ${life.verdict} ${life.errors.join('; ')}`)
        assert.equal(life.host, hostOf(from))
        assert.equal(life.disks.size, guest.disks.length)
        if (guest.disks.some(({ write }) => write !== undefined)) assert.ok(written() > wrote, `${guest.vm} writes`)
      })
      await Promise.all(looked)
    }
    /** Nothing of a failed attempt is at the target; the source's disks are there. */
    async function insistOnClean(vm: VmId, signal: AbortSignal): Promise<void> {
      assert.deepEqual(leftAt(to), [])
      for (const image of imagesAt(from, vm)) assert.ok(existsSync(image), `${image} is gone`)
      const { source, target } = await whereIs(sides(), vm, signal)
      assert.deepEqual([source, target.state], [{ state: 'running', migrating: false }, 'absent'])
    }

    const begin = async (vm: VmId, rate = slow): Promise<void> => {
      const { source, target } = sides()
      const landing = await target.prepare(await source.definition(vm, soon()), plainStart, soon())
      await source.migrate(vm, landing, { rate, downtimeLimit: ms(300) }, plainStart, soon())
    }
    const until = (vm: VmId, found: (sample: Sample) => boolean): Promise<Sample> => {
      const { source } = sides()
      return poll(clock, ms(50), soon(), async signal => {
        const sample = await source.sample(vm, signal)
        return found(sample) ? sample : undefined
      })
    }
    const untilStatus = (vm: VmId, statuses: readonly MigrationStatus[]) =>
      until(vm, ({ status }) => statuses.includes(status))
    const copying = (vm: VmId) =>
      until(vm, ({ status, disk }) => status === 'active' && disk !== undefined && disk.copied > mebibytes(1))

    before(async () => {
      const spec = smallSpec(name, 3, { capacity: 400 })
      const own = { size: mebibytes(16), shared: false }
      const disks = [
        [{ ...own, write: bytesPerSecond(256 * 1024) }],
        [own, { ...own, format: 'qcow2' as const }],
        [{ ...own, format: 'qcow2' as const, overBase: true }],
      ]
      const guests = spec.guests.map((guest, n) => ({
        ...guest,
        disks: disks[n] ?? [],
        checkDisks: seconds(2),
        cd: n === 1,
      }))
      lab = await testLab({ ...spec, driver, guests })
    })
    after(async () => {
      await lab?.down()
    })
    const [first, second, third] = [vmId('vm-1'), vmId('vm-2'), vmId('vm-3')]

    test('called back in the middle of a copy: nothing is left at the target, the guest goes on at home', async () => {
      await begin(first)
      const sample = await copying(first)
      assert.ok(sample.disk !== undefined && sample.disk.total >= mebibytes(16))
      assert.ok(
        sample.sent >= sample.disk.copied && sample.total > sample.disk.total,
        'memory counts from the beginning',
      )
      assert.deepEqual((await whereIs(sides(), first, soon())).source, { state: 'running', migrating: true })
      await sides().source.cancel(first, soon())
      await untilStatus(first, ['cancelled', 'failed'])
      await rollBack(sides(), first, soon())
      await insistOnClean(first, soon())
      for (const image of imagesAt(to, first)) assert.ok(!existsSync(image), `${image} is left`)
    })

    test('a target without room refuses before anything is copied, and says how much is missing', async () => {
      onHost(to, third, 'mkdir -p "$1" && mount -t tmpfs -o size=1m lifeboat-test "$1"')
      try {
        await assert.rejects(begin(third), (error: unknown) => {
          assert.ok(error instanceof MigrationError)
          assert.equal(error.failure.code, 'target-refused')
          assert.match(
            error.message,
            /^vm-3: .* of [ab]-1 is too full: its disks need .* are free \(short by .*\); make room/,
          )
          return true
        })
        await insistOnClean(third, soon())
      } finally {
        onHost(to, third, 'umount "$1"')
      }
    })

    test('a target that fills up in the middle of a copy costs an attempt, and is named', async () => {
      onHost(to, second, 'mkdir -p "$1" && mount -t tmpfs -o size=37m lifeboat-test "$1"')
      if (driver === 'libvirt') onHost(to, second, 'head -c 1048576 /dev/zero >"$1/lab.iso"')
      try {
        await begin(second)
        onHost(to, second, 'head -c 18000000 /dev/zero >"$1/somebody-elses" || true')
        const sample = await untilStatus(second, ['failed', 'cancelled'])
        assert.match(sample.error ?? '', /disk/)
        await rollBack(sides(), second, soon())
        await insistOnClean(second, soon())
        assert.doesNotMatch(onHost(to, second, 'ls "$1"'), /vm-2-|disk-/)
      } finally {
        onHost(to, second, 'umount "$1"')
      }
    })

    test('somebody else’s image in the way is left alone', async () => {
      const [image = ''] = imagesAt(to, first)
      execFileSync('mkdir', ['-p', dirname(image)])
      writeFileSync(image, Buffer.alloc(4_000_000, 'precious '))
      try {
        await assert.rejects(begin(first), /has .* already, where disk vda would go; it is raw of .* If it may go: /)
        assert.equal(readFileSync(image).length, 4_000_000)
        await insistOnClean(first, soon())
        assert.equal(readFileSync(image).length, 4_000_000)
      } finally {
        rmSync(image)
      }
    })

    if (driver === 'libvirt') {
      test('a path that is in no pool of the target is refused, with what makes it one', async () => {
        virsh(to, 'pool-destroy', 'disks')
        try {
          await assert.rejects(
            begin(first),
            /[ab]-1 has no storage pool that holds .*vm-1-0\.img \(disk vda\).*virsh pool-define-as .*--target \S+\.disks /,
          )
        } finally {
          const xml = `<pool type='dir'><name>disks</name><target><path>${join(testRoot, name, 'here', '.disks')}</path></target></pool>`
          writeFileSync(join(testRoot, name, 'pool.xml'), xml)
          virsh(to, 'pool-create', join(testRoot, name, 'pool.xml'))
        }
      })
    }

    test('a CD that the target does not have is refused by name', async () => {
      const cd = join(hostDisks(vmsFolder(testRoot, name, hostOf(to))), 'lab.iso')
      renameSync(cd, `${cd}.away`)
      try {
        await assert.rejects(
          begin(second),
          /vm-2: .* [ab]-1 has no .*lab\.iso, which is in drive (hda|cd) and is only read/,
        )
        await insistOnClean(second, soon())
      } finally {
        renameSync(`${cd}.away`, cd)
      }
    })

    test('disks and memory together keep to one rate, which can be changed in the middle', async () => {
      await begin(second, bytesPerSecond(8 * 1_048_576))
      const began = clock.now()
      try {
        // QEMU's mirrors begin with a gulp of 16 MiB each and rest then: over all it keeps to the rate.
        const late = await until(second, ({ disk, sent }) => disk !== undefined && sent > disk.total + mebibytes(20))
        const rate = (late.sent / (clock.now() - began)) * 1000
        assert.ok(rate < 8.8 * 1_048_576, `${rate} B/s of two disks and memory at a cap of 8 MiB/s`)
        assert.ok(rate > 4 * 1_048_576, `${rate} B/s of two disks and memory at a cap of 8 MiB/s`)
        await sides().source.adjust(second, { rate: bytesPerSecond(64 * 1_048_576) }, soon())
        await until(second, ({ sent }) => sent > late.sent + mebibytes(12))
      } finally {
        await sides().source.cancel(second, soon())
        await untilStatus(second, ['cancelled', 'failed'])
        await rollBack(sides(), second, soon())
      }
      await insistOnClean(second, soon())
    })

    test('are copied whole, or only what the target does not have; the guests read what they had written', async () => {
      const { code, stdout, stderr } = await lifeboat('evacuate', from, '--to', to, ...evacuate)
      assert.equal(code, 0, stderr)
      const report = reportFrom(stdout)
      assert.equal(report.summary.safe, 3)
      const sent = (vm: VmId) => report.vms.find(one => one.vm === vm)?.bytesSent ?? 0
      assert.ok(sent(first) > mebibytes(16) + mebibytes(40), `vm-1 sent ${sent(first)}`)
      swap()
      await insistOnDisks()
      assert.deepEqual(leftAt(from), [])
      const [overlay = ''] = imagesAt(from, third)
      const script = `qemu-img info -U --output json "$1/${overlay.split('/').at(-1)}"`
      const info = JSON.parse(onHost(from, third, script)) as Record<string, unknown>
      assert.match(String(info['backing-filename']), /base-16777216\.qcow2$/)
      assert.ok(Number(info['actual-size']) < mebibytes(8), 'only the top of the chain was copied')
      // The source's stay where they are.
      for (const { vm } of lab.record.spec.guests)
        for (const image of imagesAt(to, vm)) assert.ok(existsSync(image), `${image} is gone`)
    })

    test('and go home, over their own old copies, although the controller was killed in the middle of a copy', async () => {
      const args = ['--config', lab.config, 'evacuate', from, '--to', to, '--policy', 'sequential', '--yes']
      const run = startLifeboat([...args, '--bandwidth', '120Mbit/s'])
      await run.saw(/memory flows/)
      await clock.sleep(seconds(0.7), soon())
      run.child.kill('SIGKILL')
      await run.done
      const { code, stdout, stderr } = await lifeboat('evacuate', from, '--resume', '-o', 'json')
      assert.equal(code, 0, stderr)
      const report = reportFrom(stdout)
      assert.equal(report.summary.safe, 3)
      swap()
      await insistOnDisks()
      assert.deepEqual([...leftAt('a'), ...leftAt('b')], [])
    })
  })
}
