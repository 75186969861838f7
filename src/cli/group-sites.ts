/** Which URI belongs to which site: from flags like `sendai=URI,URI`, and for the rest whatever somebody answers. Pure. */
import { idRule, isId } from '../core/ids.ts'
import { usageError } from './exit.ts'

export type SiteGroups = ReadonlyMap<string, readonly string[]>

/** @throws CliError for a flag that is no NAME=URI,URI, and for a URI in two sites */
export function groupsFrom(flags: readonly string[]): SiteGroups {
  const groups = new Map<string, readonly string[]>()
  const seen = new Map<string, string>()
  for (const flag of flags) {
    const equals = flag.indexOf('=')
    const name = flag.slice(0, Math.max(0, equals)).trim()
    // URIs have no commas of their own but in a parameter, which is not split: a comma counts where a scheme follows.
    const uris = flag
      .slice(equals + 1)
      .split(/,(?=\s*[a-z][a-z0-9.+-]*:\/\/)/i)
      .map(uri => uri.trim())
      .filter(uri => uri !== '')
    if (equals < 1 || uris.length === 0)
      throw usageError(`--site "${flag}": expected NAME=URI,URI…, like sendai=qemu+ssh://root@sendai-1/system`)
    if (!isId(name)) throw usageError(`--site "${flag}": "${name}" is no name for a site; expected ${idRule}`)
    for (const uri of uris) {
      const other = seen.get(uri)
      if (other !== undefined) throw usageError(`${uri} is given twice: in site ${other} and in site ${name}`)
      seen.set(uri, name)
    }
    groups.set(name, [...(groups.get(name) ?? []), ...uris])
  }
  return groups
}

/** `sendai-1.example.org` and `sendai12` are probably in `sendai`. */
export function likelySite(hostname: string): string {
  const [label = ''] = hostname.split('.')
  const stem = label.replace(/[-_]?\d+$/, '')
  return isId(stem) ? stem : isId(label) ? label : 'site'
}

/** Names for hosts: the first label of what they call themselves, made usable and told apart. @param taken names of sites */
export function hostNames(hostnames: readonly string[], taken: ReadonlySet<string>): readonly string[] {
  const used = new Set(taken)
  return hostnames.map(hostname => {
    const [label = ''] = hostname.split('.')
    const plain = label.replaceAll(/[^\w.@:-]/g, '-').replace(/^[^A-Za-z0-9]+/, '')
    const usable = isId(plain) && plain !== 'localhost' ? plain : 'host'
    const base = taken.has(usable) ? `${usable}-host` : usable
    let name = base
    for (let n = 2; used.has(name); n += 1) name = `${base}-${n}`
    used.add(name)
    return name
  })
}

/** What to type where nobody can be asked. */
export function exampleCommand(uris: readonly string[]): string {
  const half = Math.max(1, Math.ceil(uris.length / 2))
  const sites = [uris.slice(0, half), uris.slice(half)].filter(each => each.length > 0)
  const flags = sites.map((each, at) => `--site '${at === 0 ? 'here' : 'there'}=${each.join(',')}'`)
  return `lifeboat init ${flags.join(' ')}${sites.length > 1 ? ' --safe there' : ''}`
}
