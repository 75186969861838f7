/** A series as one line of blocks: enough to see whether it rises, stands or breaks. */
const blocks = '▁▂▃▄▅▆▇█'
/** Nothing is known of that time. */
const gap = '·'

/**
 * @param values oldest first
 * @param most what a full block stands for; the highest value where it is left out or lower than that
 * @param width at most so many columns; of longer series several values become one, the highest
 */
export function sparkline(values: readonly (number | undefined)[], width: number, most?: number): string {
  const columns = joined(values, Math.max(1, Math.floor(width)))
  const top = columns.reduce<number>((highest, value) => Math.max(highest, value ?? 0), most ?? 0)
  return columns
    .map(value => {
      if (value === undefined || !(value >= 0)) return gap
      const level = top > 0 ? Math.round((value / top) * (blocks.length - 1)) : 0
      return blocks[Math.min(level, blocks.length - 1)] ?? gap
    })
    .join('')
}

function joined(values: readonly (number | undefined)[], width: number): readonly (number | undefined)[] {
  if (values.length <= width) return values
  const each = values.length / width
  return Array.from({ length: width }, (_, n) => {
    const part = values.slice(Math.floor(n * each), Math.floor((n + 1) * each))
    const known = part.filter(value => value !== undefined)
    return known.length === 0 ? undefined : Math.max(...known)
  })
}
