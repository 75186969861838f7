/**
 * Which interfaces of a host lead to the others, and which addresses stand behind their names: asked when a session begins and every
 * some minutes. Of a bridge, VLAN or bond the real devices below are counted, so that what guests and neighbours send through the same
 * card counts as others' traffic.
 */
import { bytesPerSecond } from '../core/units.ts'
import { shellQuote } from '../remote/shell-quote.ts'
import { plainAddress } from './parse-ss.ts'
import { type CountedInterfaces, isPlainInterface, sectionsOf } from './reading-script.ts'

export interface Discovered {
  readonly interfaces: CountedInterfaces
  /** For each name that was asked for, what it stands for. */
  readonly addresses: ReadonlyMap<string, readonly string[]>
}

/** Names are looked up there all at the same time. */
export const mostNames = 64
export const isNumericAddress = (address: string): boolean => /^[\d.]+$/.test(address) || address.includes(':')

export const discoverPrelude = `d() {
 for m; do :; done
 t=; command -v timeout >/dev/null 2>&1 && t='timeout 3'
 echo "$m:names"; for n; do [ "$n" = "$m" ] || $t getent ahosts "$n" 2>/dev/null </dev/null | while read -r a x; do echo "$n $a"; done & done; wait
 echo "$m:devices"; for p in /sys/class/net/*; do s=-; [ -e "$p/device" ] && { read -r s <"$p/speed"; } 2>/dev/null; : "\${s:=0}"; l=; for x in "$p"/lower_*; do [ -e "$x" ] && l="$l \${x##*/lower_}"; done; echo "\${p##*/} $s$l"; done
}
w() {
 for m; do :; done
 echo "$m:routes"; for a; do [ "$a" = "$m" ] || echo "route get $a"; done | ip -o -force -batch - 2>/dev/null
}
`

export const discoverCommand = (peers: readonly string[]): string =>
  [
    'd',
    ...peers
      .filter(peer => !isNumericAddress(peer))
      .slice(0, mostNames)
      .map(shellQuote),
  ].join(' ')

export const routesCommand = (addresses: readonly string[]): string => ['w', ...addresses.map(shellQuote)].join(' ')

export function namesFrom(text: string, mark: string): Discovered['addresses'] {
  const found = new Map<string, string[]>()
  for (const line of (sectionsOf(text, mark).get('names') ?? '').split('\n')) {
    const [name = '', address = ''] = line.trim().split(/\s+/)
    if (!/^[\da-fA-F:.%\w]+$/.test(address) || !isNumericAddress(address)) continue
    const plain = plainAddress(address)
    const known = found.get(name) ?? []
    if (!known.includes(plain)) found.set(name, [...known, plain])
  }
  return found
}

interface Device {
  readonly real: boolean
  /** @unit Mbit/s; 0 where the driver does not say */
  readonly speed: number
  readonly lower: readonly string[]
}

/** @param routes the answer to {@link routesCommand}; empty where `ip` is missing */
export function interfacesFrom(
  devices: string,
  devicesMark: string,
  routes: string,
  routesMark: string,
): CountedInterfaces {
  const all = new Map<string, Device>()
  for (const line of (sectionsOf(devices, devicesMark).get('devices') ?? '').split('\n')) {
    const [name = '', speed = '-', ...lower] = line.trim().split(/\s+/)
    if (!isPlainInterface(name)) continue
    const mbits = /^\d{1,7}$/.test(speed) ? Number(speed) : 0
    all.set(name, { real: speed !== '-', speed: mbits, lower: lower.filter(isPlainInterface) })
  }
  const used = new Set(
    [...(sectionsOf(routes, routesMark).get('routes') ?? '').matchAll(/\sdev\s+(\S+)/g)]
      .map(found => found[1] ?? '')
      .filter(isPlainInterface),
  )
  const named = used.size > 0 ? [...used] : withoutRoutes(all)
  const counted = new Map<string, CountedInterfaces extends ReadonlyMap<string, infer V> ? V : never>()
  for (const name of named.flatMap(each => below(all, each))) {
    const { real = false, speed = 0 } = all.get(name) ?? {}
    counted.set(name, real && speed > 0 ? bytesPerSecond((speed * 1e6) / 8) : undefined)
  }
  return counted
}

function withoutRoutes(all: ReadonlyMap<string, Device>): readonly string[] {
  const real = [...all].filter(([, device]) => device.real).map(([name]) => name)
  return real.length > 0 ? real : [...all.keys()].filter(name => name !== 'lo')
}

/** The real devices under it, or itself where there are none. Devices are stacked a few deep; a circle ends. */
function below(all: ReadonlyMap<string, Device>, name: string, depth = 0): readonly string[] {
  const device = all.get(name)
  if (device === undefined || device.real || depth > 8) return [name]
  const real = device.lower.flatMap(each => below(all, each, depth + 1)).filter(each => all.get(each)?.real === true)
  return real.length > 0 ? [...new Set(real)] : [name]
}
