/**
 * Mistakes that only show when two places of a file are compared: names used twice, ends of paths that do not exist, a VM on a host
 * that is not there. Looks at the raw document and takes from it what is well-formed, so that such a mistake is told together with
 * those of shape, not after they were mended.
 */
import { z } from 'zod'
import { showBytes } from '../core/units.ts'
import { rateSchema, sizeSchema } from './quantity-schema.ts'
import type { Clash } from './yaml-file.ts'

const text = z.string().optional().catch(undefined)
const size = sizeSchema.optional().catch(undefined)
const many = <T extends z.ZodType>(element: T) => z.array(element).catch([])

const host = z.looseObject({ name: text, memory: size }).catch({})
const site = z.looseObject({ name: text, hosts: many(host).default([]) }).catch({ hosts: [] })
const rate = rateSchema.optional().catch(undefined)
const path = z.looseObject({ from: text, to: text, capacity: rate, perFlow: rate }).catch({})
const power = z.looseObject({ site: text }).catch({})
const bound = z.looseObject({ targets: many(text).default([]) }).catch({ targets: [] })
const vm = z
  .looseObject({
    name: text,
    host: text,
    memory: size,
    used: size,
    targets: many(text).default([]),
    policy: bound.optional(),
  })
  .catch({ targets: [] })
const whole = z
  .looseObject({
    sites: many(site).default([]),
    paths: many(path).default([]),
    vms: many(vm).default([]),
    power: many(power).default([]),
  })
  .catch({ sites: [], paths: [], vms: [], power: [] })

type Whole = z.output<typeof whole>

/** What a file may be referred to by others. */
export interface KnownNames {
  readonly sites: ReadonlySet<string>
  readonly hosts: ReadonlySet<string>
  readonly vms: ReadonlySet<string>
  readonly paths: readonly (readonly [string, string])[]
}

/** The names in an inventory, well-formed or not; undefined where there is nothing to read. */
export function namesIn(raw: unknown): KnownNames | undefined {
  if (raw === undefined) return undefined
  const { sites, paths, vms } = whole.parse(raw)
  const named = (all: readonly { readonly name?: string | undefined }[]): ReadonlySet<string> =>
    new Set(all.flatMap(({ name }) => (name === undefined ? [] : [name])))
  return {
    sites: named(sites),
    hosts: named(sites.flatMap(({ hosts }) => hosts)),
    vms: named(vms),
    paths: paths.flatMap(({ from, to }) => (from === undefined || to === undefined ? [] : [[from, to] as const])),
  }
}

/** Names of sites and hosts are unique, and what rules bind VMs to is there; paths join what exists, none leads to itself, and each carries something. */
export function checkNames(raw: unknown): readonly Clash[] {
  const { sites, paths, vms } = whole.parse(raw)
  return [
    ...uniqueNames(sites),
    ...endsOfPaths(sites, paths),
    ...vms.flatMap(({ targets }, v) => unknownPlaces(sites, targets, ['vms', v, 'targets'])),
    ...emptyPaths(paths, 'is zero: leave it out if it is not known, leave the path out if there is none'),
  ]
}

/** As {@link checkNames}; and VMs have a name of their own and a host that is there and large enough. */
export function checkInventoryNames(raw: unknown): readonly Clash[] {
  const { sites, paths, vms, power } = whole.parse(raw)
  const known = new Set(sites.map(({ name }) => name))
  return [
    ...uniqueNames(sites),
    ...endsOfPaths(sites, paths),
    ...emptyPaths(paths, 'is zero: cut it in timeline.yaml instead'),
    ...placesOfVms(sites, vms),
    ...vms.flatMap(({ policy }, v) => unknownPlaces(sites, policy?.targets ?? [], ['vms', v, 'policy', 'targets'])),
    ...power.flatMap(({ site: name }, p) =>
      name === undefined || known.has(name)
        ? []
        : [{ path: ['power', p, 'site'], message: `no site is named "${name}"` }],
    ),
  ]
}

const emptyPaths = (paths: Whole['paths'], message: string): readonly Clash[] =>
  paths.flatMap(({ capacity, perFlow }, p) => [
    ...(capacity === 0 ? [{ path: ['paths', p, 'capacity'], message }] : []),
    ...(perFlow === 0 ? [{ path: ['paths', p, 'perFlow'], message }] : []),
  ])

function uniqueNames(sites: Whole['sites']): readonly Clash[] {
  const seen = new Map<string, string>()
  const clashes: Clash[] = []
  const see = (name: string | undefined, kind: string, at: (string | number)[]): void => {
    if (name === undefined) return
    const other = seen.get(name)
    if (other !== undefined) clashes.push({ path: at, message: `"${name}" is the name of a ${other} already` })
    seen.set(name, kind)
  }
  sites.forEach((each, s) => {
    see(each.name, 'site', ['sites', s, 'name'])
    each.hosts.forEach(({ name }, h) => see(name, 'host', ['sites', s, 'hosts', h, 'name']))
  })
  return clashes
}

const placesIn = (sites: Whole['sites']): ReadonlySet<string | undefined> =>
  new Set(sites.flatMap(each => [each.name, ...each.hosts.map(({ name }) => name)]))

const noPlace = (name: string, known: ReadonlySet<string | undefined>): string =>
  `no site or host is named "${name}"; there are: ${[...known].filter(each => each !== undefined).join(', ')}`

function unknownPlaces(
  sites: Whole['sites'],
  names: readonly (string | undefined)[],
  at: readonly (string | number)[],
): readonly Clash[] {
  const known = placesIn(sites)
  return names.flatMap((name, n) =>
    name === undefined || known.has(name) ? [] : [{ path: [...at, n], message: noPlace(name, known) }],
  )
}

function endsOfPaths(sites: Whole['sites'], paths: Whole['paths']): readonly Clash[] {
  const known = placesIn(sites)
  const clashes: Clash[] = []
  paths.forEach(({ from, to }, p) => {
    for (const [end, name] of [
      ['from', from],
      ['to', to],
    ] as const) {
      if (name === undefined || known.has(name)) continue
      clashes.push({ path: ['paths', p, end], message: noPlace(name, known) })
    }
    if (from !== undefined && from === to)
      clashes.push({ path: ['paths', p, 'to'], message: `a path from "${from}" to itself` })
  })
  return clashes
}

function placesOfVms(sites: Whole['sites'], vms: Whole['vms']): readonly Clash[] {
  const hosts = new Map(sites.flatMap(each => each.hosts.map(({ name, memory }) => [name, memory] as const)))
  const names = new Set<string>()
  const clashes: Clash[] = []
  vms.forEach(({ name, host: at, memory, used }, v) => {
    if (name !== undefined && names.has(name))
      clashes.push({ path: ['vms', v, 'name'], message: `"${name}" is the name of another VM already` })
    if (name !== undefined) names.add(name)
    if (at !== undefined && !hosts.has(at))
      clashes.push({ path: ['vms', v, 'host'], message: `no host is named "${at}"` })
    const room = hosts.get(at)
    if (memory !== undefined && room !== undefined && memory > room) {
      const message = `${showBytes(memory)} is more than its host ${at} has (${showBytes(room)})`
      clashes.push({ path: ['vms', v, 'memory'], message })
    }
    if (memory !== undefined && used !== undefined && used > memory)
      clashes.push({
        path: ['vms', v, 'used'],
        message: `${showBytes(used)} is more than its memory (${showBytes(memory)})`,
      })
  })
  return clashes
}
