/**
 * What VMs were at their sources, kept in the journal before anything of them left: for the tombstone, and for what the target is to
 * carry on. This process remembers those it kept itself; after a restart they are read from the journal, once.
 */
import type { Observed } from '../core/control/observed.ts'
import type { VmId } from '../core/ids.ts'
import type { Definition } from '../hypervisor/hypervisor.ts'
import type { JournalReader, Row } from '../journal/journal.ts'

export type Kept = Extract<Observed, { kind: 'definition-kept' }>

/** The newest of each VM. */
export function keptIn(rows: Iterable<Row>): ReadonlyMap<VmId, Kept> {
  const kept = new Map<VmId, Kept>()
  for (const { event } of rows) if (event.kind === 'definition-kept') kept.set(event.vm, event)
  return kept
}

export class KeptDefinitions {
  readonly #journal: Pick<JournalReader, 'read'>
  readonly #known = new Map<VmId, Definition>()
  #wasRead = false

  constructor(journal: Pick<JournalReader, 'read'>) {
    this.#journal = journal
  }

  /** @returns false when that is what was kept last: a further attempt has nothing new to keep */
  keep(definition: Definition): boolean {
    if (this.#known.get(definition.vm)?.text === definition.text) return false
    this.#known.set(definition.vm, definition)
    return true
  }

  /** @throws JournalUnreadable */
  of(vm: VmId): Definition | undefined {
    if (!this.#known.has(vm) && !this.#wasRead) {
      this.#wasRead = true
      for (const [id, { driver, text }] of keptIn(this.#journal.read(0)))
        if (!this.#known.has(id)) this.#known.set(id, { driver, vm: id, text })
    }
    return this.#known.get(vm)
  }

  /** Its copy at the source has ended: nobody will ask again. */
  forget(vm: VmId): void {
    this.#known.delete(vm)
  }
}
