/** The lifeboat.yaml of a lab: its hosts as an operator would name them. */
import { stringify } from 'yaml'
import { printBytes, printFraction, printRate, printTime } from '../core/units.ts'
import { hostAddress, hostNamespace, labFolder, libvirtSocket, vmsFolder } from './lab-names.ts'
import type { LabGuest, LabSpec } from './lab-spec.ts'
import { defaultVmPolicy } from '../core/inventory/vm.ts'
import type { HostId } from '../core/ids.ts'
import { numbered } from './network.ts'

export function labConfig(root: string, spec: LabSpec): string {
  const tree = {
    stateDir: `${labFolder(root, spec.name)}/state`,
    sites: numbered(spec).map(({ site, number, hosts }) => ({
      name: site.id,
      ...(site.safe ? { safe: true } : {}),
      hosts: hosts.map(({ host, number: h }) => ({
        name: host.id,
        uri: uriOf(root, spec, host.id),
        memory: printBytes(host.memory),
        migrationAddress: hostAddress(number, h),
        ...(spec.driver === 'libvirt' ? { shell: `netns://${hostNamespace(spec.name, host.id)}` } : {}),
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
    ...(spec.driver === 'libvirt' ? { vms: spec.guests.flatMap(ruleOf) } : {}),
  }
  return `# made by lifeboat lab up, for this lab only\n${stringify(tree, { lineWidth: 0 })}`
}

const uriOf = (root: string, { name, driver }: LabSpec, host: HostId): string =>
  driver === 'libvirt'
    ? `qemu+unix:///system?socket=${libvirtSocket(root, name, host)}`
    : `qmp+netns://${hostNamespace(name, host)}${vmsFolder(root, name, host)}`

/** What a raw QEMU host has in its definitions; a libvirt domain has no place for it. */
function ruleOf({ vm, value, group, policy }: LabGuest): readonly object[] {
  const rule = {
    ...(value === 1 ? {} : { value }),
    ...(group === undefined ? {} : { group }),
    ...(policy.maxDowntime === defaultVmPolicy.maxDowntime ? {} : { maxDowntime: printTime(policy.maxDowntime) }),
    ...(policy.allow.length === 0 ? {} : { allow: [...policy.allow] }),
    ...(policy.action === 'move' ? {} : { action: policy.action }),
  }
  return Object.keys(rule).length === 0 ? [] : [{ match: vm, ...rule }]
}
