/** `lifeboat report --xml VM`: what a VM was at its source before it left, from the journal. Works when the source, and its site, are gone. */
import { loadConfig } from '../config/load-config.ts'
import { type Kept, keptIn } from '../engine/kept-definitions.ts'
import { listEvacuations, journalOf } from '../engine/state-folder.ts'
import { parseLibvirtDefinition } from '../hypervisor/libvirt/libvirt-definition.ts'
import { usageError } from './exit.ts'
import { findPast, openPast } from './history.ts'
import { err, type Format, out, outJson } from './output.ts'

interface Found {
  readonly evacuation: string
  readonly kept: Kept
}

interface KeptOptions {
  /** As of findPast; @default the newest evacuation that knows the VM */
  readonly which: string | undefined
  readonly format: Format
}

/** @throws CliError when nothing was kept of it */
export function showKept(config: string | undefined, vm: string, { which, format }: KeptOptions): void {
  const { evacuation, kept } = which === undefined ? newest(config, vm) : ofOne(config, vm, which)
  const libvirt = kept.driver === 'libvirt' ? parseLibvirtDefinition(kept.text) : undefined
  const text = libvirt?.xml ?? kept.text
  const { source, driver } = kept
  if (format === 'json') {
    outJson({ vm, evacuation, source, driver, persistent: libvirt?.persistent, autostart: libvirt?.autostart, text })
    return
  }
  out(text.trimEnd())
  err(`# ${vm} as it was at ${source} before evacuation ${evacuation}`)
  if (libvirt !== undefined && !libvirt.persistent) err('# it was transient there: this is what it ran as')
  if (libvirt?.autostart === true) err(`# it started with its host: after "virsh define", "virsh autostart ${vm}"`)
}

function ofOne(config: string | undefined, vm: string, which: string): Found {
  const past = findPast(config, which)
  past.reader.close()
  const all = keptIn(past.rows)
  const kept = [...all.values()].find(each => each.vm === vm)
  if (kept !== undefined) return { evacuation: past.id, kept }
  const names = [...all.keys()]
  const has = names.length === 0 ? 'it keeps none: no VM got ready to leave' : `it keeps those of ${some(names)}`
  throw usageError(`evacuation ${past.id} keeps no definition of "${vm}"; ${has}`)
}

function newest(config: string | undefined, vm: string): Found {
  const { stateDir } = loadConfig(config, process.env)
  const names = new Set<string>()
  for (const id of [...listEvacuations(stateDir)].reverse()) {
    const past = openPast(journalOf(stateDir, id))
    if (past === undefined) continue
    past.reader.close()
    for (const kept of keptIn(past.rows).values()) {
      if (kept.vm === vm) return { evacuation: past.id, kept }
      names.add(kept.vm)
    }
  }
  const has = names.size === 0 ? 'none keeps any' : `they keep those of ${some([...names])}`
  throw usageError(`no evacuation in ${stateDir} keeps a definition of "${vm}"; ${has}`)
}

/** `web-2` before `web-10`. */
const order = new Intl.Collator('en', { numeric: true }).compare
const some = (names: readonly string[]): string =>
  `${names.toSorted(order).slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}`
