/** A guest's network cards must find at the target what they were plugged into. */
import { few, type Table, type TargetRule, type VmRule } from './reason.ts'
import type { VmNic } from './vm-profile.ts'

export interface NetworkReasons {
  readonly 'network-missing': { readonly mac: string; readonly network: string; readonly has: readonly string[] }
  readonly 'network-inactive': { readonly mac: string; readonly network: string }
  readonly 'network-autostart': { readonly network: string }
  readonly 'network-differs': { readonly network: string; readonly source: string; readonly target: string }
  readonly 'network-local': { readonly network: string; readonly forward: string }
  readonly 'networks-unknown': { readonly network: string }
  readonly 'portgroup-missing': {
    readonly network: string
    readonly portgroup: string
    readonly has: readonly string[]
  }
  readonly 'bridge-missing': { readonly mac: string; readonly bridge: string }
  readonly 'bridge-unknown': { readonly mac: string; readonly bridge: string }
  readonly 'filter-missing': { readonly mac: string; readonly filter: string }
  readonly 'nic-passthrough': { readonly mac: string; readonly type: string }
  readonly 'nic-user': { readonly mac: string }
}

export const networkTable: Table<NetworkReasons> = {
  'network-missing': {
    severity: 'blocks',
    says: ({ mac, network, has }) =>
      `its network card ${mac} is on network ${network}, which the target does not have${has.length === 0 ? '' : `; it has ${few(has)}`}`,
    next: ({ network }) =>
      `define it there: virsh net-dumpxml ${network} here, virsh net-define and net-start there; or use another target`,
  },
  'network-inactive': {
    severity: 'blocks',
    says: ({ mac, network }) => `its network card ${mac} is on network ${network}, which is not active at the target`,
    next: ({ network }) => `virsh net-start ${network} there`,
  },
  'network-autostart': {
    severity: 'note',
    says: ({ network }) => `network ${network} does not start with the target host`,
    next: ({ network }) => `virsh net-autostart ${network}`,
  },
  'network-differs': {
    severity: 'warns',
    says: ({ network, source, target }) =>
      `network ${network} is another thing at the target: ${source} here, ${target} there`,
    next: () => 'make sure that the guest keeps its address and finds its neighbours there',
  },
  'network-local': {
    severity: 'warns',
    says: ({ network, forward }) =>
      `network ${network} is the host's own (${forward}): open connections of the guest break, and its neighbours stay behind`,
    next: () => 'use a bridge into a network that both sites share, if its connections must live on',
  },
  'networks-unknown': {
    severity: 'warns',
    says: ({ network }) => `it is on network ${network}, and the target does not tell its networks`,
    next: () => 'is the network driver of libvirt (virtnetworkd) running there?',
  },
  'portgroup-missing': {
    severity: 'blocks',
    says: ({ network, portgroup, has }) =>
      `network ${network} has no port group ${portgroup} at the target${has.length === 0 ? '' : `; it has ${few(has)}`}`,
    next: ({ network, portgroup }) => `add port group ${portgroup} to it there: virsh net-edit ${network}`,
  },
  'bridge-missing': {
    severity: 'blocks',
    says: ({ mac, bridge }) => `its network card ${mac} is on ${bridge}, and the target has no such interface`,
    next: ({ bridge }) => `make ${bridge} there, in the same layer 2 network; or use another target`,
  },
  'bridge-unknown': {
    severity: 'note',
    says: ({ mac, bridge }) => `its network card ${mac} is on ${bridge}; whether the target has it is not known`,
    next: () => 'look there by hand (ip link); with qemu+ssh, or `shell` in lifeboat.yaml, Lifeboat looks itself',
  },
  'filter-missing': {
    severity: 'blocks',
    says: ({ mac, filter }) => `its network card ${mac} is behind the filter ${filter}, which the target does not have`,
    next: ({ filter }) => `virsh nwfilter-dumpxml ${filter} here, virsh nwfilter-define there`,
  },
  'nic-passthrough': {
    severity: 'blocks',
    says: ({ mac, type }) => `its network card ${mac} is a piece of its host (${type})`,
    next: () => 'unplug it (virsh detach-interface), or pair it with a virtio card (<teaming>) that QEMU falls back to',
  },
  'nic-user': {
    severity: 'warns',
    says: ({ mac }) => `its network card ${mac} is QEMU's own network (user): its open connections break`,
    next: () => 'nothing, if the guest has no connections that matter',
  },
}

/** What a network gives a guest that another host's cannot carry on. */
const localForwards: readonly string[] = ['nat', 'route', 'open', 'isolated']

const nics =
  (
    type: string,
    look: (
      nic: VmNic,
      name: string,
      facts: Parameters<TargetRule<NetworkReasons>>[1],
    ) => ReturnType<TargetRule<NetworkReasons>>,
  ): TargetRule<NetworkReasons> =>
  (vm, facts) =>
    vm.nics.flatMap(nic => (nic.type === type && nic.source !== undefined ? look(nic, nic.source, facts) : []))

const network = nics('network', ({ mac, portgroup }, name, { source, target: { networks } }) => {
  if (networks === undefined) return [{ rule: 'networks-unknown', network: name }]
  const there = networks.find(each => each.name === name)
  if (there === undefined)
    return [{ rule: 'network-missing', mac, network: name, has: networks.map(each => each.name) }]
  if (!there.active) return [{ rule: 'network-inactive', mac, network: name }]
  const here = source.networks?.find(each => each.name === name)
  const { forward, portgroups } = there
  return [
    ...(there.autostart ? [] : [{ rule: 'network-autostart' as const, network: name }]),
    ...(portgroup === undefined || portgroups.includes(portgroup)
      ? []
      : [{ rule: 'portgroup-missing' as const, network: name, portgroup, has: portgroups }]),
    ...(here !== undefined && here.forward !== forward
      ? [{ rule: 'network-differs' as const, network: name, source: here.forward, target: forward }]
      : localForwards.includes(forward)
        ? [{ rule: 'network-local' as const, network: name, forward }]
        : []),
  ]
})

const interfaceRule = (type: string) =>
  nics(type, ({ mac }, bridge, { target: { interfaces } }) => {
    if (interfaces === undefined) return [{ rule: 'bridge-unknown', mac, bridge }]
    return interfaces.includes(bridge) ? [] : [{ rule: 'bridge-missing', mac, bridge }]
  })

const filters: TargetRule<NetworkReasons> = (vm, { target }) =>
  vm.nics.flatMap(({ mac, filter }) =>
    filter === undefined || target.filters === undefined || target.filters.includes(filter)
      ? []
      : [{ rule: 'filter-missing', mac, filter }],
  )

/** Pieces of the host: libvirt asks QEMU about them where QEMU can say, and refuses them elsewhere (qemuMigrationSrcIsAllowed). */
const passthrough: VmRule<NetworkReasons> = vm =>
  vm.nics
    .filter(({ type, teamed }) => (type === 'hostdev' || type === 'vdpa') && !teamed && vm.rehearsal?.allowed !== true)
    .map(({ mac, type }) => ({ rule: 'nic-passthrough', mac, type }))

const user: VmRule<NetworkReasons> = vm =>
  vm.nics.filter(({ type }) => type === 'user').map(({ mac }) => ({ rule: 'nic-user', mac }))

export const networkVmRules: readonly VmRule<NetworkReasons>[] = [passthrough, user]
export const networkTargetRules: readonly TargetRule<NetworkReasons>[] = [
  network,
  interfaceRule('bridge'),
  interfaceRule('direct'),
  filters,
]
