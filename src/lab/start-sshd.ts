/**
 * An sshd for each host of a lab, in the namespaces of its libvirtd: who logs in finds that one at libvirt's own place. Host keys and the
 * one key that may log in are made for the lab and lie in its folder; nothing of this machine's own ssh counts.
 *
 * Hosts have the lab's key too, at `/etc/ssh` (start-daemons.ts), as hosts that evacuate each other over ssh must: the source's daemon
 * starts its own ssh to reach the target's.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HostId } from '../core/ids.ts'
import { ms, seconds } from '../core/units.ts'
import { LibvirtClient } from '../libvirt/public.ts'
import { localRemote } from '../remote/local.ts'
import { runOk } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { withDeadline } from '../time/with-deadline.ts'
import { LabError } from './lab-error.ts'
import { gatewayNamespace, hostAddress, sshFolder, sshProgram } from './lab-names.ts'
import type { KnownProcess } from './lab-record.ts'
import type { LabSpec } from './lab-spec.ts'
import { numbered } from './network.ts'
import { findProgram } from './requirements.ts'
import { spawnDaemon } from './spawn-daemon.ts'

const readyWithin = seconds(30)
const askEvery = ms(100)

interface Placed {
  readonly host: HostId
  readonly address: string
  readonly gateway: string
}
const placed = (spec: LabSpec): readonly Placed[] =>
  numbered(spec).flatMap(({ site, number, hosts }) =>
    hosts.map(({ host, number: h }) => ({
      host: host.id,
      address: hostAddress(number, h),
      gateway: gatewayNamespace(spec.name, site.id),
    })),
  )

/** How this machine reaches a host's libvirtd: as an operator does, but for the program, which enters the lab's network. */
export function sshUri(root: string, { name }: LabSpec, host: HostId, address: string): string {
  const own = sshFolder(root, name)
  const params = {
    keyfile: join(own, 'id'),
    known_hosts: join(own, 'known_hosts'),
    command: sshProgram(root, name, host),
  }
  const query = Object.entries(params).map(
    ([key, value]) => `${key}=${encodeURIComponent(value).replaceAll('%2F', '/')}`,
  )
  return `qemu+ssh://root@${address}/system?${query.join('&')}`
}

/** Where hosts have their `/etc/ssh`. */
export const hostsSshFolder = (root: string, lab: string): string => join(sshFolder(root, lab), 'etc')

/** @returns the public half */
async function newKey(path: string, comment: string, signal: AbortSignal): Promise<string> {
  await runOk(localRemote, ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path], {}, signal)
  return readFileSync(`${path}.pub`, 'utf8').trim()
}

const settings = (root: string, lab: string): string => {
  const own = sshFolder(root, lab)
  return `Host *
  User root
  IdentityFile "${join(own, 'id')}"
  IdentitiesOnly yes
  UserKnownHostsFile "${join(own, 'known_hosts')}"
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
`
}

const serverSettings = (own: string, host: HostId, address: string): string =>
  [
    `ListenAddress ${address}`,
    `HostKey "${join(own, host, 'host_key')}"`,
    `AuthorizedKeysFile "${join(own, 'authorized_keys')}"`,
    'PidFile none',
    'UsePAM no',
    // The lab's folder may lie in one that everybody may write to.
    'StrictModes no',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    // Evacuations begin many connections at the same time.
    'MaxStartups 100',
    '',
  ].join('\n')

/** Before the daemons start: they are to find their `/etc/ssh`. */
export async function writeKeys(root: string, spec: LabSpec, signal: AbortSignal): Promise<void> {
  const own = sshFolder(root, spec.name)
  mkdirSync(own, { recursive: true, mode: 0o700 })
  const hosts = placed(spec)
  const user = await newKey(join(own, 'id'), `lifeboat lab ${spec.name}`, signal)
  writeFileSync(join(own, 'authorized_keys'), `${user}\n`, { mode: 0o600 })
  const known: string[] = []
  for (const { host, address, gateway } of hosts) {
    mkdirSync(join(own, host))
    known.push(`${address},${host} ${await newKey(join(own, host, 'host_key'), host, signal)}`)
    writeFileSync(join(own, host, 'sshd_config'), serverSettings(own, host, address))
    const program = sshProgram(root, spec.name, host)
    const lines = ['#!/bin/sh', `exec ip netns exec '${gateway}' ssh -F '${join(own, 'config')}' "$@"`, '']
    writeFileSync(program, lines.join('\n'))
    chmodSync(program, 0o755)
  }
  writeFileSync(join(own, 'known_hosts'), `${known.join('\n')}\n`)
  const named = hosts.map(({ host, address }) => `Host ${host}\n  HostName ${address}\n`).join('')
  writeFileSync(join(own, 'config'), named + settings(root, spec.name))
  mkdirSync(hostsSshFolder(root, spec.name))
  writeFileSync(join(hostsSshFolder(root, spec.name), 'ssh_config'), settings(root, spec.name))
}

const logOf = (root: string, lab: string, host: HostId): string => join(sshFolder(root, lab), host, 'sshd.log')

/** @param daemons the libvirtd of each host, whose namespaces it shares. @throws LabError with what ssh said */
export async function startSshds(
  root: string,
  spec: LabSpec,
  daemons: ReadonlyMap<HostId, KnownProcess>,
  keep: (started: readonly KnownProcess[]) => void,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const { host } of placed(spec)) {
    const daemon = daemons.get(host)
    if (daemon !== undefined) keep([await startSshd(root, spec, host, daemon, signal)])
  }
  await Promise.all(placed(spec).map(({ host, address }) => waitForSshd(root, spec, host, address, clock, signal)))
}

async function startSshd(
  root: string,
  spec: LabSpec,
  host: HostId,
  daemon: KnownProcess,
  signal: AbortSignal,
): Promise<KnownProcess> {
  const program = findProgram('sshd') ?? '/usr/sbin/sshd'
  const config = join(sshFolder(root, spec.name), host, 'sshd_config')
  // Where sshd confines what is not yet authenticated: its package's service makes it, and nobody else does.
  const script = 'mkdir -p -m 755 /run/sshd; exec "$1" -D -e -f "$2"'
  const enter = ['nsenter', '-t', String(daemon.pid), '-m', '-u', '-n', 'sh', '-c', script, 'sh', program, config]
  const started = await spawnDaemon(enter, logOf(root, spec.name, host), `sshd of ${host}`, signal)
  if (started === undefined) throw silent(root, spec, host, 'it ended at once')
  return started
}

const silent = (root: string, { name }: LabSpec, host: HostId, why: string, cause?: unknown): LabError =>
  new LabError(`the sshd of ${host} lets nobody in: ${why}; see ${logOf(root, name, host)}`, { cause })

/** Seen through to the libvirtd behind it. */
async function waitForSshd(
  root: string,
  spec: LabSpec,
  host: HostId,
  address: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await withDeadline(clock, readyWithin, `sshd of ${host}`, signal, async inner => {
    for (;;) {
      try {
        const libvirt = await LibvirtClient.connect(sshUri(root, spec, host, address), {}, inner)
        await libvirt.close()
        return
      } catch (error) {
        signal.throwIfAborted()
        if (inner.aborted) throw silent(root, spec, host, `no answer in ${readyWithin} ms`, error)
        if (error instanceof Error && /permission denied|verification failed|not found/i.test(error.message))
          throw silent(root, spec, host, error.message, error)
      }
      await clock.sleep(askEvery, inner).catch((error: unknown) => {
        if (signal.aborted) throw error
      })
    }
  })
}
