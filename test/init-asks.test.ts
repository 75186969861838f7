/** `lifeboat init` on a terminal asks for what the flags do not say. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../src/config/load-config.ts'

/** util-linux's script(1) gives a command a terminal. */
const noTerminal = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0 ? false : 'no script(1) here'

/** Types each answer when its question has come. @returns everything that was on the terminal */
async function onTerminal(
  command: string,
  answers: readonly (readonly [question: RegExp, answer: string])[],
): Promise<string> {
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NO_COLOR: '1' },
    timeout: 30_000,
  })
  const left = [...answers]
  let seen = ''
  let unread = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text
    unread += text
    const [next] = left
    if (next === undefined || !next[0].test(unread)) return
    left.shift()
    unread = ''
    child.stdin.write(`${next[1]}\r`)
  })
  await once(child, 'close')
  assert.deepEqual(left, [], seen)
  return seen
}

test('init asks for sites, proposes one, and asks which are safe', { skip: noTerminal }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-init-'))
  try {
    for (const host of ['one', 'two', 'three']) mkdirSync(join(folder, host))
    const file = join(folder, 'lifeboat.yaml')
    const uris = ['one', 'two'].map(host => `qmp+local://${folder}/${host}`)
    const command = `${process.execPath} bin/lifeboat.js init --site osaka=qmp+local://${folder}/three ${uris.join(' ')} -o ${file}`
    const seen = await onTerminal(command, [
      [/In which site is .*one\)/, 'not a name'],
      [/In which site is .*one\)/, 'sendai'],
      [/In which site is .*two\).*\[.+\]/, 'sendai'],
      [/Which sites are safe, of osaka, sendai\?/, 'osaka'],
    ])
    assert.match(seen, /A name has letters, digits/)
    assert.match(seen, /Next: lifeboat check/)
    const { config } = loadConfig(file, {})
    assert.deepEqual(
      config.sites.map(({ name, safe, hosts }) => [name, safe, hosts.length]),
      [
        ['osaka', true, 1],
        ['sendai', false, 2],
      ],
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
