/** Names and addresses in a lab, all made from its name and the places of its sites and hosts. Nothing of it is in the root namespace. */
import { join } from 'node:path'
import type { HostId, SiteId, VmId } from '../core/ids.ts'

/** Everything a lab makes that has a name outside its folder begins with this. No lab's name has a dot, so no two get mixed up. */
export const prefixOf = (lab: string): string => `lb.${lab}.`
export const hostNamespace = (lab: string, host: HostId): string => `${prefixOf(lab)}host.${host}`
export const gatewayNamespace = (lab: string, site: SiteId): string => `${prefixOf(lab)}gw.${site}`
export const wanNamespace = (lab: string): string => `${prefixOf(lab)}wan`

/** @param site from 1 @param host from 1, within its site */
export const hostAddress = (site: number, host: number): string => `10.77.${site}.${host}`
export const siteSubnet = (site: number): string => `10.77.${site}.0/24`
export const gatewayAddress = (site: number): string => `10.77.${site}.254`
/** Between a gateway and the wan namespace. */
export const underlayAddress = (site: number, end: 'gateway' | 'wan'): string =>
  `10.78.${site}.${end === 'gateway' ? 1 : 2}`
/** On the WAN, where gateways see each other. */
export const transitAddress = (site: number): string => `10.79.0.${site}`
export const transitMac = (site: number): string => `02:4c:42:00:00:${site.toString(16).padStart(2, '0')}`

export const labFolder = (root: string, lab: string): string => join(root, lab)
export const vmsFolder = (root: string, lab: string, host: HostId): string => join(labFolder(root, lab), 'hosts', host)
export const guestFolder = (root: string, lab: string, host: HostId, vm: VmId): string =>
  join(vmsFolder(root, lab, host), vm)
export const serialLog = (root: string, lab: string, host: HostId, vm: VmId): string =>
  join(guestFolder(root, lab, host, vm), 'serial.log')

/** What one host's libvirtd has in place of the machine's own folders: `etc`, `run`, `lib`, `log`, `cache`. */
export const libvirtFolder = (root: string, lab: string, host: HostId): string =>
  join(labFolder(root, lab), 'libvirt', host)
/** Reached from outside the host's mount namespace too, since it lies in the lab's folder. */
export const libvirtSocket = (root: string, lab: string, host: HostId): string =>
  join(libvirtFolder(root, lab, host), 'run', 'libvirt-sock')
/**
 * A libvirt guest's definition is the same on every host, so its files have one path on all of them: within a host's mount namespace
 * this is the host's own folder of VMs. Elsewhere it is empty.
 */
export const hereFolder = (root: string, lab: string): string => join(labFolder(root, lab), 'here')
/** Keys made for the lab, and the ssh that has them. */
export const sshFolder = (root: string, lab: string): string => join(labFolder(root, lab), 'ssh')
/** `ssh` that enters the site's network first: a lab's addresses are nowhere else. */
export const sshProgram = (root: string, lab: string, host: HostId): string => join(sshFolder(root, lab), host, 'ssh')
/** Certificates of one host, under the names that QEMU and libvirt look for. */
export const pkiFolder = (root: string, lab: string, host: HostId): string => join(labFolder(root, lab), 'pki', host)
export const relaySocket = (root: string, lab: string): string => join(labFolder(root, lab), 'relay.sock')
export const configFile = (root: string, lab: string): string => join(labFolder(root, lab), 'lifeboat.yaml')
