/** The walls of the house: who may import whom. Reads every import of src/ and fails on a cycle, an outside import in core, an arrow that points the wrong way. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

/** Each room, and the rooms it may import from. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  time: ['core'],
  config: ['core', 'libvirt'],
  qmp: ['core', 'time'],
  libvirt: ['core', 'time'],
  remote: ['core', 'time', 'libvirt', 'config'],
  monitor: ['core', 'time', 'config', 'remote'],
  hypervisor: ['core', 'time', 'config', 'qmp', 'libvirt', 'remote'],
  journal: ['core', 'config'],
  engine: ['core', 'time', 'config', 'qmp', 'remote', 'monitor', 'hypervisor', 'journal'],
  lab: ['core', 'time', 'config', 'libvirt', 'remote', 'hypervisor'],
  oracle: ['core'],
  cli: ['oracle', 'core', 'time', 'config', 'qmp', 'remote', 'monitor', 'hypervisor', 'journal', 'engine', 'lab'],
}

const files = globSync('src/**/*.ts').sort()
const importsOf = (file: string): readonly string[] =>
  [...readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(match => match[1] ?? '')
const isTest = (file: string): boolean => file.endsWith('.test.ts')
const roomOf = (file: string): string => file.split('/')[1] ?? ''
const resolved = (file: string, name: string): string => normalize(join(dirname(file), name))

test('core imports nothing but core', () => {
  for (const file of files.filter(name => name.startsWith('src/core/') && !isTest(name))) {
    for (const name of importsOf(file)) {
      assert.ok(name.startsWith('.'), `${file} imports ${name}`)
      assert.ok(resolved(file, name).startsWith('src/core/'), `${file} imports ${name}`)
    }
  }
})

test('every arrow between rooms points the allowed way', () => {
  for (const file of files.filter(name => !isTest(name))) {
    const room = roomOf(file)
    const allowed = mayImport[room]
    assert.ok(allowed !== undefined, `${file}: the room ${room} is not on the plan; add it to ARCHITECTURE.md and here`)
    for (const name of importsOf(file).filter(text => text.startsWith('.'))) {
      const target = roomOf(resolved(file, name))
      assert.ok(
        target === room || allowed.includes(target),
        `${file} imports ${name}: ${room} may not import ${target}`,
      )
    }
  }
})

test('no file imports itself round a corner', () => {
  const done = new Set<string>()
  const walk = (file: string, way: readonly string[]): void => {
    assert.ok(!way.includes(file), `a cycle: ${[...way.slice(way.indexOf(file)), file].join(' -> ')}`)
    if (done.has(file)) return
    for (const name of importsOf(file)) if (name.startsWith('.')) walk(resolved(file, name), [...way, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
})

test('relative imports name the file with its ending, and no file is named for nothing', () => {
  for (const file of files) {
    assert.doesNotMatch(file, /\/(index|utils?|helpers?|types|common|misc)\.ts$/)
    for (const name of importsOf(file)) if (name.startsWith('.')) assert.match(name, /\.ts$/, `${file} imports ${name}`)
  }
})
