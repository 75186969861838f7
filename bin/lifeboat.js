#!/usr/bin/env -S node --max-semi-space-size=2
/**
 * Starts lifeboat on Node 24, whatever Node the machine has: its own, which came with the package, if this one is older.
 * Plain JavaScript, for it must run on any Node from 18.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const needed = 24
const source = new URL('../src/cli/main.ts', import.meta.url)
/** Of memory for what is short-lived: V8 would take three times 16 MiB. As in the first line, where Node reads it. @unit MiB */
const smallYoungSpace = '--max-semi-space-size=2'
const fromSource = existsSync(source)
const main = fromSource ? source : new URL('../dist/cli/main.js', import.meta.url)
/**
 * In a checkout types are stripped once, not at every start: half the time, and 28 MiB less. Not in the temporary folder, which is
 * Node's default: there others could write what root runs.
 */
const cache = fileURLToPath(new URL('../node_modules/.cache/lifeboat', import.meta.url))

if (Number(process.versions.node.split('.')[0]) >= needed) {
  if (fromSource) module.enableCompileCache(cache)
  await import(main.href)
} else startOnOwnNode()

function startOnOwnNode() {
  const own = findOwnNode()
  if (own === undefined) {
    process.stderr.write(
      `lifeboat: needs Node.js ${needed} or later; this is ${process.version}, and the one that comes with lifeboat is not installed.\n` +
        `Install lifeboat without --omit=optional, or run it with a newer Node.js.\n`,
    )
    process.exit(2)
  }
  const env = fromSource ? { NODE_COMPILE_CACHE: cache, ...process.env } : process.env
  const child = spawn(own, [smallYoungSpace, fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit', env })
  // A terminal's Ctrl-C reaches the child by itself; signals sent to this process alone are passed on.
  process.on('SIGINT', () => undefined)
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function findOwnNode() {
  try {
    return createRequire(import.meta.url).resolve(`node-linux-${process.arch}/bin/node`)
  } catch {
    return undefined
  }
}
