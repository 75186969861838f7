/** What answers at a URI: for `lifeboat init`, which knows nothing of the host but that. */
import { bytes, type Bytes, seconds } from '../core/units.ts'
import { showVersion, version, versionIn } from '../core/preflight/version.ts'
import { parseHostUri } from '../config/host-uri.ts'
import { LibvirtClient } from '../libvirt/public.ts'
import { runOk } from '../remote/remote.ts'
import type { Clock } from '../time/clock.ts'
import { DeadlineExceeded, withDeadline } from '../time/with-deadline.ts'
import { shellOf } from '../remote/host-shell.ts'
import { VmFolder } from './qemu/vm-folder.ts'

export interface DiscoveredHost {
  readonly uri: string
  readonly hostname: string
  readonly memory: Bytes
  /** `libvirt 9.0.0, QEMU 7.2.22` */
  readonly version: string
  readonly running: number
  readonly shutOff: number
  /** No host is in its uri: others do not learn from it where it is. */
  readonly addressUnknown: boolean
}

/** Of one host: ssh may ask a jump host first. */
const answersWithin = seconds(20)

/** @throws UriError; LibvirtError, HostUnreachable with what to do next; DeadlineExceeded */
export async function discoverHost(uri: string, clock: Clock, signal: AbortSignal): Promise<DiscoveredHost> {
  const parsed = parseHostUri(uri)
  try {
    return await withDeadline(clock, answersWithin, uri, signal, inner =>
      parsed.kind === 'libvirt' ? askLibvirt(uri, parsed.host, inner) : askQemu(uri, inner),
    )
  } catch (error) {
    if (error instanceof DeadlineExceeded)
      throw new Error(`${error.message}\nis the host up, and does a firewall drop what is sent there?`, {
        cause: error,
      })
    throw error
  }
}

async function askLibvirt(uri: string, host: string | undefined, signal: AbortSignal): Promise<DiscoveredHost> {
  const client = await LibvirtClient.connect(uri, {}, signal)
  try {
    const everything = { needResults: true, flags: 0 }
    const [{ hostname }, node, library, { domains }] = await Promise.all([
      client.call('connectGetHostname', undefined, signal),
      client.call('nodeGetInfo', undefined, signal),
      client.call('connectGetLibVersion', undefined, signal),
      client.call('connectListAllDomains', everything, signal),
    ])
    const { version: qemu } = await client.call('connectGetVersion', undefined, signal)
    const running = domains.filter(({ id }) => id >= 0).length
    return {
      uri,
      hostname,
      memory: bytes(node.memory * 1024),
      version: `libvirt ${showVersion(version(library.version))}, QEMU ${showVersion(version(qemu))}`,
      running,
      shutOff: domains.length - running,
      addressUnknown: host === undefined,
    }
  } finally {
    await client.close()
  }
}

async function askQemu(uri: string, signal: AbortSignal): Promise<DiscoveredHost> {
  const parsed = parseHostUri(uri)
  const { remote } = shellOf({ uri: parsed })
  if (remote === undefined || parsed.kind === 'libvirt') throw new Error(`${uri}: no commands can be run there`)
  try {
    const said = await runOk(
      remote,
      [
        'sh',
        '-c',
        'hostname 2>/dev/null || uname -n; cat /proc/meminfo; qemu-system-x86_64 --version 2>/dev/null; ls -d "$1"',
        'sh',
        parsed.folder,
      ],
      {},
      signal,
    )
    const { entries } = await new VmFolder(remote, parsed.folder).list(signal)
    const qemu = versionIn(/^QEMU emulator.*$/m.exec(said)?.[0] ?? '')
    const running = entries.filter(({ alive }) => alive).length
    return {
      uri,
      hostname: said.split('\n')[0]?.trim() ?? '',
      memory: bytes(Number(/^MemTotal:\s+(\d+) kB/m.exec(said)?.[1] ?? 0) * 1024),
      version: qemu === undefined ? 'QEMU of unknown version' : `QEMU ${showVersion(qemu)}`,
      running,
      shutOff: entries.length - running,
      addressUnknown: parsed.kind !== 'qmp-ssh',
    }
  } finally {
    await remote.close()
  }
}
