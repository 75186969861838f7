/** HiGHS (WebAssembly), as the one thing this room needs of it: the optimum of a program in LP format. */
import packaged from 'highs'

/** The package's types describe its CommonJS face; imported as a module, its default export is the loader itself. */
const loader = packaged as unknown as typeof packaged.default

/**
 * @param patience for one solve @unit s
 * @returns solves; undefined when there is no solution, or none within the patience
 */
export async function loadHighs(patience: number): Promise<(program: string) => number | undefined> {
  const highs = await loader()
  return program => {
    const { Status, ObjectiveValue } = highs.solve(program, { time_limit: patience, mip_rel_gap: 0 })
    return Status === 'Optimal' ? ObjectiveValue : undefined
  }
}
