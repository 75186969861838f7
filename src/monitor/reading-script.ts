/**
 * What is asked of a host each second, as POSIX sh, and how the answer is read. Two processes a second there (`grep`, `ss`), the rest is
 * done by the shell that is open anyway. Installs nothing, writes nothing.
 *
 * Migrations are connections to the ports that libvirt and our QEMU driver give to targets (49152 to 49215), disks copied along included.
 */
import type { HostId } from '../core/ids.ts'
import type { Instant } from '../core/instant.ts'
import type { HostReading, InterfaceCounters, NotKnown } from '../core/network/reading.ts'
import type { BytesPerSecond } from '../core/units.ts'
import { parseCpuLine, parseKibibytes, parseNetDev, parsePressure, parseUptime } from './parse-proc.ts'
import { parseSs } from './parse-ss.ts'

/** qemu.conf's `migration_port_min` and `_max`, and the range of the QEMU driver here. */
export const migrationPorts = { first: 49_152, last: 49_215 } as const

/** Interfaces that are counted, and the speed of real ones. */
export type CountedInterfaces = ReadonlyMap<string, BytesPerSecond | undefined>

/** A name that the kernel allows and a shell would read as something else is not counted. */
export const isPlainInterface = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,30}$/.test(name)

/** `ss` lies outside the path of those who are not root on some systems. */
export const readingPrelude = `LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; export PATH
r() {
 echo "$2:uptime"; { read -r u x </proc/uptime && echo "$u"; } 2>/dev/null
 echo "$2:cpu"; { read -r l </proc/stat && echo "$l"; } 2>/dev/null
 echo "$2:memory"; { while read -r k v x; do case $k in MemAvailable:) echo "$v"; break;; esac; done </proc/meminfo; } 2>/dev/null
 echo "$2:pressure"; for f in cpu memory io; do { read -r l </proc/pressure/$f && echo "$f $l"; } 2>/dev/null; done
 echo "$2:net"; grep -F -e "$1" /proc/net/dev 2>&1
 echo "$2:ss"; ss -tinH "( dport ge :${migrationPorts.first} and dport le :${migrationPorts.last} )" 2>&1
 echo "$2:code $?"
}
`

/** `grep -F` takes one pattern a line; the interface's colon is part of it, so that eth1 is not eth10. */
export const readingCommand = (interfaces: Iterable<string>): string =>
  `r '${[...interfaces]
    .filter(isPlainInterface)
    .map(name => `${name}:`)
    .join('\n')}'`

/** The answer in parts, by the marks before them. */
export function sectionsOf(text: string, mark: string): ReadonlyMap<string, string> {
  const sections = new Map<string, string>()
  const parts = text.split(new RegExp(`(?:^|\\n)${mark}:`))
  for (const part of parts.slice(1)) {
    const end = part.indexOf('\n')
    const head = end < 0 ? part : part.slice(0, end)
    const [name = '', ...rest] = head.split(' ')
    sections.set(name, rest.length > 0 ? rest.join(' ') : end < 0 ? '' : part.slice(end + 1))
  }
  return sections
}

export interface Answer {
  readonly host: HostId
  readonly mark: string
  readonly text: string
  readonly receivedAt: Instant
  readonly interfaces: CountedInterfaces
}

/** Total: whatever a host printed, a reading comes out; what was not there is not known, with the reason. */
export function readingFrom({ host, mark, text, receivedAt, interfaces }: Answer): HostReading {
  const sections = sectionsOf(text, mark)
  const section = (name: string): string => sections.get(name) ?? ''
  const missing = (file: string): NotKnown => ({ why: `${file} says nothing that is understood` })
  return {
    host,
    // Without a clock of its own the moment of the answer must do.
    hostClock: parseUptime(section('uptime')) ?? receivedAt,
    receivedAt,
    cpu: parseCpuLine(section('cpu')) ?? missing('/proc/stat'),
    memoryAvailable: parseKibibytes(section('memory')) ?? missing('/proc/meminfo'),
    pressure: parsePressure(section('pressure')) ?? { why: 'its kernel keeps no count of pressure (CONFIG_PSI)' },
    interfaces: countersFrom(section('net'), interfaces),
    flows: flowsFrom(section('ss'), section('code')),
  }
}

function countersFrom(text: string, wanted: CountedInterfaces): readonly InterfaceCounters[] | NotKnown {
  const found = parseNetDev(text).filter(({ name }) => wanted.has(name))
  if (found.length > 0) return found.map(each => ({ ...each, speed: wanted.get(each.name) }))
  const said = firstLine(text)
  return {
    why: `bytes of ${[...wanted.keys()].join(', ') || 'its interfaces'} cannot be read from /proc/net/dev${said === '' ? '' : `: ${said}`}`,
  }
}

/** @param code of `ss`, as the shell has it */
export function flowsFrom(text: string, code: string): HostReading['flows'] {
  if (code === '0') {
    // A filter that is refused by the kernel shows as words, with the code of success.
    const { flows, notUnderstood } = parseSs(text)
    if (flows.length > 0 || notUnderstood === 0) return flows
  }
  const said = firstLine(text)
  if (code === '127') return { why: 'ss is not installed (package iproute2)' }
  const denied = /permission denied|not permitted/i.test(text)
  return {
    why: `ss ${denied ? 'is not permitted' : `failed${/^\d+$/.test(code) ? ` with ${code}` : ''}`}${said === '' ? '' : `: ${said}`}`,
  }
}

const firstLine = (text: string): string =>
  (text.trim().split('\n')[0] ?? '').replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 160)
