/** The libvirt driver under the contract, with a real guest between two hosts, each with a libvirtd of its own. */
import { hostId, vmId } from '../src/core/ids.ts'
import { bytesPerSecond, mebibytes, ms } from '../src/core/units.ts'
import { contract } from '../src/hypervisor/contract.ts'
import { insistOnRequirements } from '../src/lab/requirements.ts'
import { clock, smallSpec, testLab } from './lab-fixture.ts'

const noSignal = new AbortController().signal

function whyNot(): string | undefined {
  try {
    insistOnRequirements(undefined, 'libvirt')
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll('\n', '; ') : String(error)
  }
}

contract('libvirt', {
  skip: whyNot(),
  // The target's daemon chooses the port, when memory is about to flow.
  portless: true,
  selfCompleting: true,
  unbreakable: true,
  up: async () => {
    const spec = smallSpec('lvcontract', 2)
    // QEMU samples too few pages of a guest of this size to meet a small hot set each time.
    const [plain, withDisk] = spec.guests
    if (plain === undefined || withDisk === undefined) throw new Error('two guests were asked for')
    const own = { size: mebibytes(8), shared: false }
    const measured = {
      ...plain,
      memory: mebibytes(152),
      fill: mebibytes(32),
      dirty: { hot: mebibytes(24), period: ms(1000), cold: bytesPerSecond(0) },
    }
    const guests = [measured, { ...withDisk, disks: [own] }]
    const lab = await testLab({ ...spec, driver: 'libvirt', guests })
    const vm = vmId('vm-1')
    return {
      home: lab.hosts.get(hostId('a-1')),
      away: lab.hosts.get(hostId('b-1')),
      vm,
      withDisk: vmId('vm-2'),
      clock,
      breakConnections: undefined,
      takeFirstPort: undefined,
      guestLives: async () => {
        const before = lab.life.report(0).find(guest => guest.vm === vm)?.last ?? 0
        await clock.sleep(ms(2_200), noSignal)
        const now = lab.life.report(Number.POSITIVE_INFINITY).find(guest => guest.vm === vm)
        return now !== undefined && now.last > before && now.repeated === 0
      },
      down: () => lab.down(),
    }
  },
})
