/**
 * All migrations of one evacuation, in the plan's order: an immutable table that is cheap to change in one place. A change copies one
 * chunk and the list of chunks, not ten thousand entries; each chunk counts its phases, so that nobody looks through VMs that are done.
 */
import type { VmId } from '../ids.ts'
import { type Landed, type Migration, type Phase, phases } from '../migration/migration.ts'

/** About the square root of the largest fleets there are: what a change copies is then as small as it gets. */
const chunkSize = 128

interface Chunk {
  readonly items: readonly Migration[]
  readonly counts: Readonly<Record<Phase, number>>
  /** Landed, with something left at the source. */
  readonly retiring: number
}

const countOf = (items: readonly Migration[]): Record<Phase, number> => {
  const counts = Object.fromEntries(phases.map(phase => [phase, 0])) as Record<Phase, number>
  for (const { phase } of items) counts[phase] += 1
  return counts
}

const isRetiring = (m: Migration | undefined): m is Landed => m?.phase === 'landed' && !m.sourceEnded

export class MigrationTable {
  readonly size: number
  readonly chunks: readonly Chunk[]
  readonly places: ReadonlyMap<VmId, number>

  /** Of all chunks together. */
  readonly #totals: Chunk['counts']

  private constructor(chunks: readonly Chunk[], places: ReadonlyMap<VmId, number>, totals: Chunk['counts']) {
    this.chunks = chunks
    this.#totals = totals
    this.places = places
    this.size = places.size
  }

  /** @throws Error when a VM appears twice */
  static of(migrations: readonly Migration[]): MigrationTable {
    const places = new Map(migrations.map(({ vm }, at) => [vm, at]))
    if (places.size < migrations.length) throw new Error('a VM appears twice among the migrations')
    const chunks: Chunk[] = []
    for (let at = 0; at < migrations.length; at += chunkSize) {
      const items = migrations.slice(at, at + chunkSize)
      chunks.push({ items, counts: countOf(items), retiring: items.filter(isRetiring).length })
    }
    return new MigrationTable(chunks, places, countOf(migrations))
  }

  get(vm: VmId): Migration | undefined {
    const place = this.places.get(vm)
    return place === undefined ? undefined : this.chunks[Math.floor(place / chunkSize)]?.items[place % chunkSize]
  }

  /** @throws Error when the VM is not in the table */
  with(next: Migration): MigrationTable {
    const place = this.places.get(next.vm)
    const at = Math.floor((place ?? -1) / chunkSize)
    const chunk = this.chunks[at]
    if (place === undefined || chunk === undefined) throw new Error(`${next.vm} is not part of this evacuation`)
    const before = chunk.items[place % chunkSize]
    const items = chunk.items.with(place % chunkSize, next)
    const moved = (counts: Chunk['counts']): Chunk['counts'] =>
      before === undefined || before.phase === next.phase
        ? counts
        : { ...counts, [before.phase]: counts[before.phase] - 1, [next.phase]: counts[next.phase] + 1 }
    const counts = moved(chunk.counts)
    const retiring = chunk.retiring + Number(isRetiring(next)) - Number(isRetiring(before))
    return new MigrationTable(this.chunks.with(at, { items, counts, retiring }), this.places, moved(this.#totals))
  }

  /** How many are in one of these phases. */
  count(...of: readonly Phase[]): number {
    let total = 0
    for (const phase of of) total += this.#totals[phase]
    return total
  }

  /** Those in one of these phases, in order; nothing is looked through further than its last. */
  *in<P extends Phase>(...of: readonly P[]): Generator<Extract<Migration, { phase: P }>> {
    let all = this.count(...of)
    for (const { items, counts } of this.chunks) {
      if (all === 0) return
      let left = 0
      for (const phase of of) left += counts[phase]
      all -= left
      for (const m of items) {
        if (left === 0) break
        if (!isIn(m, of)) continue
        left -= 1
        yield m
      }
    }
  }

  /** Those that landed and whose stopped copy at the source is not ended yet. */
  *retiring(): Generator<Landed> {
    for (const { items, retiring } of this.chunks) if (retiring > 0) for (const m of items) if (isRetiring(m)) yield m
  }

  *values(): Generator<Migration> {
    for (const { items } of this.chunks) yield* items
  }

  *keys(): Generator<VmId> {
    yield* this.places.keys()
  }

  *[Symbol.iterator](): Generator<readonly [VmId, Migration]> {
    for (const m of this.values()) yield [m.vm, m]
  }
}

const isIn = <P extends Phase>(m: Migration, of: readonly P[]): m is Extract<Migration, { phase: P }> =>
  (of as readonly Phase[]).includes(m.phase)
