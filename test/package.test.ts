/** What `npm pack` makes, installed elsewhere as a user would: the command runs, and lifeboat/qmp and lifeboat/libvirt can be imported, with types. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

const run = (cwd: string, program: string, ...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 120_000 })
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

describe('the packed package', () => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-package-'))
    run('.', 'npm', 'pack', '--silent', '--pack-destination', dir)
    const [tarball = ''] = readdirSync(dir)
    writeFileSync(join(dir, 'package.json'), '{ "name": "elsewhere", "private": true, "type": "module" }')
    run(dir, 'npm', 'install', '--silent', '--no-audit', '--no-fund', '--prefer-offline', `./${tarball}`)
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('brings a command that runs', () => {
    assert.match(run(dir, 'npx', 'lifeboat', '--version'), /^\d+\.\d+\.\d+\n$/)
    assert.match(run(dir, 'npx', 'lifeboat', '--help'), /evacuate/)
  })

  /** Type-checks a program that imports the package, then runs it. @returns what it prints */
  const runs = (name: string, program: string): string => {
    writeFileSync(join(dir, name), program)
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node']
    const roots = ['--typeRoots', join(process.cwd(), 'node_modules/@types')]
    run(dir, join(process.cwd(), 'node_modules/.bin/tsc'), ...options, ...roots, name)
    return run(dir, process.execPath, name)
  }

  test('exports the QMP client, and it type-checks', () => {
    const program = `import { QmpClient, QmpInterrupted, parseQueryStatus } from 'lifeboat/qmp'
const use = async (): Promise<string> => {
  const qmp = await QmpClient.connect({ kind: 'unix', path: '/nowhere' }, {}, AbortSignal.timeout(1000))
  return (await qmp.execute('query-status', {}, parseQueryStatus, AbortSignal.timeout(1000))).status
}
use().catch((error: unknown) => console.log(error instanceof QmpInterrupted, (error as Error).name))
`
    assert.equal(runs('use-qmp.ts', program), 'false QmpConnectError\n')
  })

  test('exports the libvirt client, and it type-checks', () => {
    const program = `import { type Domain, LibvirtClient, LibvirtInterrupted } from 'lifeboat/libvirt'
const use = async (): Promise<readonly Domain[]> => {
  const uri = 'qemu:///system?socket=/nowhere'
  const libvirt = await LibvirtClient.connect(uri, {}, AbortSignal.timeout(1000))
  const all = { needResults: true, flags: 0 }
  return (await libvirt.call('connectListAllDomains', all, AbortSignal.timeout(1000))).domains
}
use().catch((error: unknown) => console.log(error instanceof LibvirtInterrupted, (error as Error).name))
`
    assert.equal(runs('use-libvirt.ts', program), 'false LibvirtConnectError\n')
  })

  test('carries no tests, and nothing that is not needed to run', () => {
    const files = run(dir, 'find', 'node_modules/lifeboat', '-type', 'f').trim().split('\n')
    assert.deepEqual(
      files.filter(file => /\.test\.|\/test\/|\/bench\/|\/src\//.test(file)),
      [],
    )
  })
})
