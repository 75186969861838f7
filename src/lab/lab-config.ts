/** The lifeboat.yaml of a lab: its hosts as an operator would name them. */
import { join } from 'node:path'
import { stringify } from 'yaml'
import { printBytes, printFraction, printRate, printTime } from '../core/units.ts'
import {
  hostAddress,
  hostNamespace,
  labFolder,
  libvirtFolder,
  libvirtSocket,
  pkiFolder,
  vmsFolder,
} from './lab-names.ts'
import type { LabSpec } from './lab-spec.ts'
import type { HostId } from '../core/ids.ts'
import { numbered } from './network.ts'
import { sshUri } from './start-sshd.ts'

export function labConfig(root: string, spec: LabSpec): string {
  const tree = {
    stateDir: `${labFolder(root, spec.name)}/state`,
    sites: numbered(spec).map(({ site, number, hosts }) => ({
      name: site.id,
      ...(site.safe ? { safe: true } : {}),
      hosts: hosts.map(({ host, number: h }) => ({
        name: host.id,
        uri: uriOf(root, spec, host.id, hostAddress(number, h)),
        memory: printBytes(host.memory),
        migrationAddress: hostAddress(number, h),
        ...(spec.driver === 'libvirt'
          ? { shell: `pid://${join(libvirtFolder(root, spec.name, host.id), 'run', 'libvirtd.pid')}` }
          : {}),
        ...(spec.tls === true ? tlsOf(root, spec, host.id, hostAddress(number, h)) : {}),
      })),
    })),
    paths: spec.links.flatMap(({ between: [a, b], capacity, rtt, loss }) =>
      [
        [a, b],
        [b, a],
      ].map(([from, to]) => ({
        from,
        to,
        capacity: printRate(capacity),
        rtt: printTime(rtt),
        ...(loss > 0 ? { loss: printFraction(loss) } : {}),
      })),
    ),
  }
  return `# made by lifeboat lab up, for this lab only\n${stringify(tree, { lineWidth: 0 })}`
}

function uriOf(root: string, spec: LabSpec, host: HostId, address: string): string {
  if (spec.driver !== 'libvirt')
    return `qmp+netns://${hostNamespace(spec.name, host)}${vmsFolder(root, spec.name, host)}`
  if (spec.ssh === true) return sshUri(root, spec, host, address)
  return `qemu+unix:///system?socket=${libvirtSocket(root, spec.name, host)}`
}

/** Certificates are named by their folder, which is the same for all hosts of one machine. */
const tlsOf = (root: string, { name }: LabSpec, host: HostId, address: string) => ({
  peerUri: `qemu+tls://${address}/system?pkipath=${pkiFolder(root, name, host)}`,
  listenAddress: address,
  tls: true,
})
