/** The raw QEMU driver under the contract, with a real guest between two namespaced hosts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { hostId, vmId } from '../src/core/ids.ts'
import { bytesPerSecond, mebibytes, ms } from '../src/core/units.ts'
import { contract } from '../src/hypervisor/contract.ts'
import { hostNamespace } from '../src/lab/lab-names.ts'
import { localRemote } from '../src/remote/local.ts'
import { clock, smallSpec, testLab, whyNoLab } from './lab-fixture.ts'

const name = 'contract'
const noSignal = new AbortController().signal

/** `ss -K` closes sockets of the kernel's own accord (needs CONFIG_INET_DIAG_DESTROY). */
const breakConnections = async (): Promise<void> => {
  for (const host of ['a-1', 'b-1']) {
    const argv = ['ip', 'netns', 'exec', hostNamespace(name, hostId(host)), 'ss', '-K', '-t', 'state', 'established']
    const { code, stderr } = await localRemote.run(argv, {}, noSignal)
    if (code !== 0) throw new Error(stderr)
  }
}

contract('qemu', {
  skip: whyNoLab(),
  up: async () => {
    const spec = smallSpec(name, 2)
    // QEMU measures the dirty rate of no guest under 128 MiB.
    const [plain, withDisk] = spec.guests
    if (plain === undefined || withDisk === undefined) throw new Error('two guests were asked for')
    const own = { size: mebibytes(8), shared: false }
    const measured = {
      ...plain,
      memory: mebibytes(144),
      fill: mebibytes(24),
      dirty: { hot: mebibytes(8), period: ms(1000), cold: bytesPerSecond(0) },
    }
    const guests = [measured, { ...withDisk, disks: [own] }]
    const lab = await testLab({ ...spec, guests })
    const vm = vmId('vm-1')
    return {
      home: lab.hosts.get(hostId('a-1')),
      away: lab.hosts.get(hostId('b-1')),
      vm,
      withDisk: vmId('vm-2'),
      clock,
      breakConnections,
      takeFirstPort: async () => {
        const script = `
          const { createServer } = require('node:net')
          let waiting = 24
          for (let n = 0; n < 24; n += 1) createServer().listen(49152 + n, '0.0.0.0', () => (waiting -= 1) || console.log('listening'))`
        const holders = ['a-1', 'b-1'].map(host =>
          spawn('ip', ['netns', 'exec', hostNamespace(name, hostId(host)), process.execPath, '-e', script]),
        )
        await Promise.all(holders.map(child => once(child.stdout, 'data')))
        return async () => {
          for (const child of holders) child.kill()
          await Promise.all(holders.map(child => once(child, 'exit')))
        }
      },
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
