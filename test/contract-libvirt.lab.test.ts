/** The libvirt driver under the contract, with a real guest between two hosts, each with a libvirtd of its own: over every way to a daemon. */
import { after, describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { type HostId, hostId, siteId, vmId } from '../src/core/ids.ts'
import { mebibytes } from '../src/core/units.ts'
import { contract, type ContractHarness } from '../src/hypervisor/contract.ts'
import { LibvirtHost } from '../src/hypervisor/libvirt/libvirt-host.ts'
import type { Reached } from '../src/hypervisor/libvirt/libvirt-target.ts'
import { gatewayNamespace, hostAddress, hostNamespace, libvirtSocket, pkiFolder } from '../src/lab/lab-names.ts'
import { localRemote } from '../src/remote/local.ts'
import { sshUri } from '../src/lab/start-sshd.ts'
import { clock, contractGuest, livesOn, smallSpec, testLab, testRoot, type TestLab, whyNoLab } from './lab-fixture.ts'
import { openTunnel, type Tunnel } from './lab-tunnel.ts'

const name = 'lvcontract'
const ways = { driver: 'libvirt', ssh: true, tls: true } as const
const skip = whyNoLab(ways)
const vm = vmId('vm-1')
const withDisk = vmId('vm-2')
const places = [
  { host: hostId('a-1'), site: siteId('a'), address: hostAddress(1, 1) },
  { host: hostId('b-1'), site: siteId('b'), address: hostAddress(2, 1) },
] as const
type Place = (typeof places)[number]

/** One lab for all of them: it is brought up by who comes first. */
let lab: Promise<TestLab> | undefined
const theLab = (): Promise<TestLab> => {
  const spec = smallSpec(name, 2)
  const disks = [{ size: mebibytes(8), shared: false }]
  const guests = spec.guests.map((guest, n) => (n === 0 ? contractGuest(guest) : { ...guest, disks }))
  lab ??= testLab({ ...spec, ...ways, guests })
  return lab
}
const tunnels: Tunnel[] = []
async function tunnelTo({ site, address }: Place, port: number): Promise<number> {
  const tunnel = await openTunnel(gatewayNamespace(name, site), address, port)
  tunnels.push(tunnel)
  return tunnel.port
}

interface Way {
  /** How this process reaches a daemon. */
  readonly uri: (place: Place) => Promise<string>
  /** How another host does, and how memory goes. */
  readonly reached: (place: Place) => Pick<Reached, 'connectUri' | 'tls' | 'listenAddress'>
}
const byTcp = ({ address }: Place) => ({ connectUri: `qemu+tcp://${address}/system` })
const pki = (host: HostId): string => pkiFolder(testRoot, name, host)

const overUnix: Way = {
  uri: async ({ host }) => `qemu+unix:///system?socket=${libvirtSocket(testRoot, name, host)}`,
  reached: byTcp,
}
const overSsh: Way = {
  uri: async ({ host, address }) => sshUri(testRoot, smallSpec(name, 1), host, address),
  reached: ({ address }) => ({ connectUri: `qemu+ssh://root@${address}/system` }),
}
const overTcp: Way = {
  uri: async place => `qemu+tcp://127.0.0.1:${await tunnelTo(place, 16_509)}/system`,
  reached: byTcp,
}
const overTls: Way = {
  uri: async place => `qemu+tls://127.0.0.1:${await tunnelTo(place, 16_514)}/system?pkipath=${pki(place.host)}`,
  reached: ({ host, address }) => ({
    connectUri: `qemu+tls://${address}/system?pkipath=${pki(host)}`,
    listenAddress: address,
    tls: {},
  }),
}

/** Of migrations and of daemons, as a router that lost its state does. */
const breakConnections = async (): Promise<void> => {
  for (const { host } of places) {
    const argv = ['ip', 'netns', 'exec', hostNamespace(name, host), 'ss', '-K', '-t', 'state', 'established']
    const { code, stderr } = await localRemote.run(argv, {}, AbortSignal.timeout(10_000))
    if (code !== 0) throw new Error(stderr)
  }
}

function harness({ uri, reached }: Way, brief: boolean): ContractHarness {
  return {
    skip,
    brief,
    // The target's daemon chooses the port, when memory is about to flow.
    portless: true,
    selfCompleting: true,
    up: async () => {
      const here = await theLab()
      const open = async (place: Place): Promise<LibvirtHost> =>
        new LibvirtHost({
          host: place.host,
          uri: await uri(place),
          ...reached(place),
          migrationAddress: place.address,
          memory: undefined,
          clock,
        })
      const [first, second] = [await open(places[0]), await open(places[1])]
      // Where the contract before this one has left it.
      const there = await second.presence(vm, AbortSignal.timeout(10_000))
      const [home, away] = there.state === 'running' ? [second, first] : [first, second]
      return {
        home,
        away,
        vm,
        withDisk,
        clock,
        breakConnections,
        takeFirstPort: undefined,
        guestLives: () => livesOn(here, vm),
        down: async () => {
          await Promise.all([first.close(), second.close()])
          for (const tunnel of tunnels.splice(0)) await tunnel[Symbol.asyncDispose]()
        },
      }
    },
  }
}

contract('libvirt over a unix socket', harness(overUnix, false))
contract('libvirt over ssh, hosts among each other too', harness(overSsh, false))
contract('libvirt over TCP', harness(overTcp, true))
contract('libvirt over TLS, memory too', harness(overTls, true))

describe('all of them', { skip: skip ?? false }, () => {
  after(async () => {
    await (await lab)?.down()
  })
  test('moved one guest, which ran once at every moment', async () => {
    const [life] = (await theLab()).life.report(Number.POSITIVE_INFINITY)
    assert.equal(life?.repeated, 0)
    assert.equal(life.missing, 0)
  })
})
