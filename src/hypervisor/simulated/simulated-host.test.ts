/** The simulated driver under the contract of the port, in virtual time. */
import { vmId } from '../../core/ids.ts'
import { instant } from '../../core/instant.ts'
import type { Snapshot } from '../../core/inventory/snapshot.ts'
import { chanceOf } from '../../core/sim/chance.ts'
import { Kernel } from '../../core/sim/kernel.ts'
import { SimWorld } from '../../core/sim/sim-world.ts'
import { bytesPerSecond, mebibytes, megabitsPerSecond, ms } from '../../core/units.ts'
import { aDisk, aHost, aPath, aSite, aSnapshot, aVm } from '../../../test/arbitraries.ts'
import { contract } from '../contract.ts'
import { SimulatedHost } from './simulated-host.ts'
import { VirtualClock } from './virtual-clock.ts'

const vm = vmId('vm-1')
const link = { capacity: megabitsPerSecond(400), rtt: ms(10) }

contract('simulated', {
  skip: undefined,
  portless: true,
  up: async () => {
    const snapshot: Snapshot = aSnapshot({
      sites: [aSite('a'), aSite('b', { safe: true })],
      hosts: [aHost('a-1', 'a'), aHost('b-1', 'b')],
      paths: [aPath('a', 'b', link), aPath('b', 'a', link)],
      vms: [
        aVm(vm, 'a-1', {
          memory: mebibytes(144),
          used: mebibytes(64),
          dirty: { hot: mebibytes(8), period: ms(1_000), cold: bytesPerSecond(0) },
        }),
        aVm('vm-2', 'a-1', { memory: mebibytes(80), disks: [aDisk('vda', { shared: false, size: mebibytes(8) })] }),
      ],
    })
    const kernel = new Kernel(instant(0))
    const world = new SimWorld(snapshot, kernel, chanceOf(1))
    const clock = new VirtualClock(kernel)
    const [home, away] = snapshot.hosts.map(({ id }) => new SimulatedHost({ host: id, snapshot, world, clock }))
    if (home === undefined || away === undefined) throw new Error('two hosts were asked for')
    return {
      home,
      away,
      vm,
      withDisk: vmId('vm-2'),
      clock,
      breakConnections: () => Promise.resolve(world.breakConnections()),
      takeFirstPort: undefined,
      guestLives: () => Promise.resolve(world.runsOn(vm).length === 1),
      down: () => Promise.resolve(),
    }
  },
})
