/** `npm run check`: types, lint, format, import boundaries. All are run; the exit code is 1 if any failed. */
import { spawnSync } from 'node:child_process'

const checks: readonly (readonly [what: string, command: readonly string[]])[] = [
  ['types', ['tsc', '-p', '.']],
  ['lint', ['oxlint', '--type-aware', '--deny-warnings']],
  ['format', ['biome', 'format', '--log-level=warn', '.']],
  ['imports', ['node', '--test', '--test-reporter=dot', 'test/import-boundaries.test.ts']],
]
let failed = 0
for (const [what, [program = '', ...args]] of checks) {
  const began = performance.now()
  const { status, stdout, stderr } = spawnSync(`node_modules/.bin/${program}`, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1_048_576,
  })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  process.stdout.write(`${status === 0 ? 'ok    ' : 'FAILED'} ${what} (${seconds} s)\n`)
  if (status === 0) continue
  failed += 1
  process.stdout.write(`${stdout}${stderr}\n`)
}
process.exit(failed === 0 ? 0 : 1)
