/**
 * `npm test`: every *.test.ts beside its source and in test/, in two passes: what needs no lab side by side, then what starts guests,
 * one file after the other, because two cores carry one lab at a time. The last line counts: `N passed, N failed`.
 *
 * Arguments are parts of file names: `npm test -- qmp journal` runs only those.
 */
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const wanted = process.argv.slice(2)
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)))
  .sort()
/** They bring up labs: named so that a reader, and this script, can tell. */
const isHeavy = (file: string): boolean => file.endsWith('.lab.test.ts')

let passed = 0
let failed = 0
const skipped: string[] = []

async function pass(these: readonly string[], concurrency: number): Promise<void> {
  if (these.length === 0) return
  const stream = run({ files: [...these], concurrency, timeout: 300_000 })
  stream.on('test:pass', ({ name, skip, details }) => {
    if (details.type === 'suite') return
    if (skip === undefined || skip === false) passed += 1
    else skipped.push(`${name}${typeof skip === 'string' ? `: ${skip}` : ''}`)
  })
  stream.on('test:fail', ({ details }) => {
    if (details.type !== 'suite') failed += 1
  })
  await new Promise<void>((resolve, reject) => {
    const report = stream.compose(spec())
    report.on('end', resolve).on('error', reject)
    report.pipe(process.stdout, { end: false })
  })
}

const began = performance.now()
await pass(
  files.filter(file => !isHeavy(file)),
  availableParallelism(),
)
await pass(files.filter(isHeavy), 1)
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
