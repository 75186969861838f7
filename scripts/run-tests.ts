/**
 * `npm test`: every *.test.ts beside its source and in test/, in two passes: what needs no lab side by side, then what starts guests,
 * two files at a time. A file in which something failed is tried once more by itself; what
 * failed at first is named at the end. The last line counts: `N passed, N failed`.
 *
 * Arguments are parts of file names: `npm test -- qmp journal` runs only those.
 */
import { existsSync, globSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, resolve } from 'node:path'
import { run as runTests } from 'node:test'
import { spec } from 'node:test/reporters'

const wanted = process.argv.slice(2)
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)))
  .sort()
/** They bring up labs: named so that a reader, and this script, can tell. */
const isHeavy = (file: string): boolean => file.endsWith('.lab.test.ts')

interface Counts {
  passed: number
  /** Names of those that failed. */
  readonly failed: string[]
  readonly skipped: string[]
}

/** @returns what became of each file */
async function run(these: readonly string[], concurrency: number): Promise<ReadonlyMap<string, Counts>> {
  const counts = new Map<string, Counts>(these.map(file => [resolve(file), { passed: 0, failed: [], skipped: [] }]))
  if (these.length === 0) return counts
  const nowhere: Counts = { passed: 0, failed: [], skipped: [] }
  const of = (file: string | undefined): Counts => counts.get(file ?? '') ?? nowhere
  const stream = runTests({ files: [...these], concurrency, timeout: 300_000 })
  stream.on('test:pass', ({ name, skip, details, file }) => {
    if (details.type === 'suite') return
    if (skip === undefined || skip === false) of(file).passed += 1
    else of(file).skipped.push(`${name}${typeof skip === 'string' ? `: ${skip}` : ''}`)
  })
  stream.on('test:fail', ({ name, details, file }) => {
    if (details.type !== 'suite') of(file).failed.push(name)
  })
  await new Promise<void>((ended, reject) => {
    const report = stream.compose(spec())
    report.on('end', ended).on('error', reject)
    report.pipe(process.stdout, { end: false })
  })
  if (nowhere.passed + nowhere.failed.length > 0) counts.set('of no file', nowhere)
  return counts
}

const began = performance.now()
const light = await run(
  files.filter(file => !isHeavy(file)),
  availableParallelism(),
)
/** Labs wait more than they work: two at a time, the longest files first, so that none of them is left for the end. */
const labsAtOnce = 2
const heavy = await run(
  files.filter(isHeavy).sort((a, b) => statSync(b).size - statSync(a).size),
  labsAtOnce,
)
const results = new Map([...light, ...heavy])

/** On a machine that others use too a guest may stand still for seconds: what failed is tried once more by itself, and named. */
const again: string[] = []
for (const [file, { failed: names }] of results) {
  if (names.length === 0 || !existsSync(file)) continue
  again.push(`${relative('.', file)}: ${names.join(', ')}`)
  process.stdout.write(`\ntried once more: ${relative('.', file)}\n`)
  for (const [, second] of await run([file], 1)) results.set(file, second)
}
let passed = 0
let failed = 0
const skipped: string[] = []
for (const counts of results.values()) {
  passed += counts.passed
  failed += counts.failed.length
  skipped.push(...counts.skipped)
}
if (again.length > 0) process.stdout.write(`\nfailed at first:\n${again.map(line => `  ${line}`).join('\n')}\n`)
if (skipped.length > 0) process.stdout.write(`\nskipped:\n${skipped.map(line => `  ${line}`).join('\n')}\n`)
const inCi = process.env['CI'] !== undefined
if (inCi && skipped.length > 0) {
  failed += skipped.length
  process.stdout.write('in CI nothing may be skipped: each counts as failed\n')
}
if (passed + failed === 0) {
  process.stdout.write(`no test matches ${wanted.join(' ')}\n`)
  failed = 1
}
process.stdout.write(`\n${((performance.now() - began) / 1000).toFixed(0)} s\n${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)
