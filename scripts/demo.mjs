/**
 * `npm run demo -- …`: makes the checkout ready for what these arguments ask for, then runs `lifeboat demo` with them. libvirt, ssh and
 * openssl are installed only where they are needed.
 */
import { spawn, spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const args = process.argv.slice(2)
const isAsked = (flag, value) =>
  args.some((arg, at) =>
    value === undefined ? arg === flag : arg === `${flag}=${value}` || (arg === flag && args[at + 1] === value),
  )
const extras = [
  ...(isAsked('--driver', 'libvirt') ? ['libvirt'] : []),
  ...(isAsked('--ssh') ? ['ssh'] : []),
  ...(isAsked('--tls') ? ['tls'] : []),
]
const setup = spawnSync(process.execPath, [join(root, 'scripts/setup.mjs'), 'lab', ...extras], { stdio: 'inherit' })
if (setup.status !== 0) process.exit(setup.status ?? 1)

const demo = spawn(join(root, 'node_modules/.bin/node'), [join(root, 'bin/lifeboat.js'), 'demo', ...args], {
  stdio: 'inherit',
})
// A terminal's Ctrl-C reaches the demo too, which takes down what it made; this process waits for that.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => demo.kill('SIGTERM'))
demo.on('error', error => {
  console.error(`demo: ${error.message}`)
  process.exit(1)
})
demo.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
