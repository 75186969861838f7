/** Compiles src/ to dist/ for the packed package: Node does not run TypeScript below node_modules. */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'

rmSync('dist', { recursive: true, force: true })
const { status } = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' })
process.exit(status ?? 1)
