/** Who a VM is: its name and UUID at the target, its definition, and whether it starts with its host. */
import { few, type Table, type TargetRule, type VmRule, when } from './reason.ts'

export interface IdentityReasons {
  readonly 'name-taken': { readonly name: string; readonly by: string }
  readonly 'uuid-taken': { readonly uuid: string; readonly by: string }
  readonly 'name-twice': { readonly name: string; readonly hosts: readonly string[] }
  readonly 'runs-there': { readonly name: string }
  readonly 'definition-replaced': { readonly name: string }
  readonly transient: object
  readonly autostart: object
  readonly paused: object
  readonly migrating: object
  readonly 'name-unusable': { readonly name: string; readonly id: string }
}

export const identityTable: Table<IdentityReasons> = {
  'name-taken': {
    severity: 'blocks',
    says: ({ name, by }) => `the target has another VM named ${name} (uuid ${by})`,
    next: ({ name }) => `rename or undefine the one there: virsh domrename ${name} NEW-NAME`,
  },
  'uuid-taken': {
    severity: 'blocks',
    says: ({ uuid, by }) => `the target has its UUID ${uuid} already, under the name ${by}`,
    next: ({ by }) => `was one cloned from the other? Undefine ${by} there, or define it anew with a UUID of its own`,
  },
  'name-twice': {
    severity: 'blocks',
    says: ({ name, hosts }) => `VMs named ${name} run on ${few(hosts)}, and Lifeboat knows VMs by their names`,
    next: () => 'rename one of them (shut off: virsh domrename); until then `lifeboat evacuate` refuses to start',
  },
  'runs-there': {
    severity: 'blocks',
    says: ({ name }) => `${name} runs at the target already, with the same UUID: the same VM may be running twice`,
    next: () => 'find out which of the two is the right one before anything else, and end the other',
  },
  'definition-replaced': {
    severity: 'note',
    says: ({ name }) => `the target has a definition of ${name} that does not run; the move writes it over`,
    next: () => 'nothing, if it is a leftover of an earlier move',
  },
  transient: {
    severity: 'warns',
    says: () => 'it is transient: no host has a definition of it, and when it ends it is gone',
    next: () => 'define it, if that is not meant: virsh dumpxml NAME > f; virsh define f',
  },
  autostart: {
    severity: 'note',
    says: () => 'it starts with its host; it will at the target too',
    next: () => 'nothing: Lifeboat carries this over, libvirt by itself does not',
  },
  paused: {
    severity: 'blocks',
    says: () => 'somebody paused it, and a move would set it running',
    next: () => 'resume it: virsh resume; or leave it here on purpose (lifeboat.yaml, vms, action: stay)',
  },
  migrating: {
    severity: 'blocks',
    says: () => 'it is being migrated already',
    next: () => 'let that end (virsh domjobinfo), or call it off (virsh domjobabort)',
  },
  'name-unusable': {
    severity: 'note',
    says: ({ name, id }) => `its name ${JSON.stringify(name)} has characters Lifeboat does not use; it goes by ${id}`,
    next: () => 'nothing; virsh domrename gives it a simpler name',
  },
}

const clash: TargetRule<IdentityReasons> = (vm, { target }) => {
  const byName = target.domains.find(({ name }) => name === vm.name)
  const byUuid = target.domains.find(({ uuid }) => uuid === vm.uuid)
  const itself = byName !== undefined && byName === byUuid
  if (itself)
    return [byName.active ? { rule: 'runs-there', name: vm.name } : { rule: 'definition-replaced', name: vm.name }]
  return [
    ...(byName === undefined ? [] : [{ rule: 'name-taken' as const, name: vm.name, by: byName.uuid }]),
    ...(byUuid === undefined ? [] : [{ rule: 'uuid-taken' as const, uuid: vm.uuid, by: byUuid.name }]),
  ]
}

const transient: VmRule<IdentityReasons> = ({ persistent }, { driver }) =>
  when(!persistent && driver === 'libvirt', { rule: 'transient' })
const autostart: VmRule<IdentityReasons> = vm => when(vm.autostart, { rule: 'autostart' })
const paused: VmRule<IdentityReasons> = ({ state }) => when(state === 'paused', { rule: 'paused' })
const migrating: VmRule<IdentityReasons> = ({ state }) => when(state === 'migrating', { rule: 'migrating' })
const unusable: VmRule<IdentityReasons> = ({ name, id }) =>
  when(name !== String(id), { rule: 'name-unusable', name, id })

export const identityVmRules: readonly VmRule<IdentityReasons>[] = [transient, autostart, paused, migrating, unusable]
export const identityTargetRules: readonly TargetRule<IdentityReasons>[] = [clash]
