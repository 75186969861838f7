/** What a bench is, and the little statistics they share. */
import type { Column } from '../src/cli/render/table.ts'

export interface BenchResult {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly string[])[]
  /** For bench/results/: numbers with their unit in the name. */
  readonly figures: Readonly<Record<string, unknown>>
  /** One sentence: what was asked for, what was reached. */
  readonly verdict: string
}
export interface Bench {
  readonly question: string
  run(onProgress: (line: string) => void): Promise<BenchResult>
}

/** @param values at least one */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}
export const percent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)} %`
