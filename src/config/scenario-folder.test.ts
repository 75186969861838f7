/** A scenario folder: what must be there, what may be, and that all mistakes of all files are told together. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { noPolicyFile } from './policy-file.ts'
import { readIfThere, readScenario, scenarioFiles } from './scenario-folder.ts'
import { ConfigError } from './yaml-file.ts'

const inventory = `sites:
  - name: sendai
    hosts:
      - { name: sendai-1, memory: 8GiB }
  - name: osaka
    safe: true
    hosts:
      - { name: osaka-1, memory: 8GiB }
paths:
  - { from: sendai, to: osaka, capacity: 1Gbit/s }
vms:
  - { name: web-1, host: sendai-1, memory: 1GiB }
`
let folder = ''
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'lifeboat-scenario-'))
})
after(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true })
})
const write = (files: Partial<Record<keyof typeof scenarioFiles, string>>): void => {
  for (const [kind, name] of Object.entries(scenarioFiles)) {
    const text = files[kind as keyof typeof scenarioFiles]
    if (text !== undefined) writeFileSync(join(folder, name), text)
  }
}
/** The problems as `FILE:LINE:COLUMN PLACE: MESSAGE`, files as they are called in the folder. */
function mistakes(path = folder): readonly string[] {
  try {
    readScenario(path)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems.map(({ file, line, column, where, message }) => {
      const name = file.startsWith(`${folder}/`) ? file.slice(folder.length + 1) : file
      return `${name}:${line}:${column} ${where}: ${message}`
    })
  }
  throw new assert.AssertionError({ message: 'found no mistake' })
}

describe('a scenario folder', () => {
  test('is its inventory, its timeline and its policy', () => {
    write({
      inventory,
      timeline: '- { at: 1m, cut: [sendai, osaka] }\n- { at: 2m, fail: web-1, how: path-lost }\n',
      policy: 'policy: fixed:2\nmaxParallel: 3\nbandwidth: 800Mbit/s\n',
    })
    const { name, snapshot, timeline, policy } = readScenario(folder)
    assert.equal(name, folder.split('/').at(-1))
    assert.deepEqual([snapshot.sites.length, snapshot.vms[0]?.id, snapshot.paths[0]?.capacity], [2, 'web-1', 1.25e8])
    assert.deepEqual(timeline, [
      { at: 60_000, jitter: 0, what: { kind: 'cut', path: ['sendai', 'osaka'] } },
      { at: 120_000, jitter: 0, what: { kind: 'fail', vm: 'web-1', how: 'path-lost', times: 1 } },
    ])
    assert.deepEqual(policy, { policy: 'fixed:2', limits: { maxParallel: 3, bandwidth: 1e8 } })
  })

  test('needs nothing but an inventory', () => {
    write({ inventory })
    const { timeline, policy } = readScenario(folder)
    assert.deepEqual([timeline, policy], [[], noPolicyFile])
  })

  test('may have a timeline and a policy in which nothing stands', () => {
    write({ inventory, timeline: '# calm\n', policy: '' })
    const { timeline, policy } = readScenario(folder)
    assert.deepEqual([timeline, policy], [[], noPolicyFile])
  })

  test('has the name of its last part, however many slashes follow', () => {
    mkdirSync(join(folder, 'fibre-cut'))
    writeFileSync(join(folder, 'fibre-cut', 'inventory.yaml'), inventory)
    for (const end of ['', '/', '//']) assert.equal(readScenario(join(folder, 'fibre-cut') + end).name, 'fibre-cut')
  })
})

describe('a scenario folder with mistakes', () => {
  test('that is not there, or is a file, is told as that', () => {
    write({ inventory })
    const message = 'is no folder; a scenario is a folder with an inventory.yaml'
    for (const name of ['gone', 'inventory.yaml', 'inventory.yaml/deeper'])
      assert.deepEqual(mistakes(join(folder, name)), [`${name}:1:1 : ${message}`])
  })

  test('without an inventory says which file it missed, and what that is for', () => {
    write({ timeline: '[]', policy: '' })
    const [first, ...more] = mistakes()
    assert.match(first ?? '', /^inventory\.yaml:1:1 : is not there; it says what the world is /)
    assert.deepEqual(more, [])
  })

  test('in any file has those of all three told together, each with the name of its file', () => {
    write({
      inventory: inventory.replace('memory: 1GiB', 'memory: 1').replace('safe: true', 'safe: perhaps'),
      timeline: '- { at: 1m, cut: [sendai, kyoto] }\n- { at: 30s, fail: web-2, how: path-lost }\n',
      policy: 'policy: fastest\nmaxParallel: 0\n',
    })
    const found = mistakes()
    assert.deepEqual(
      found.map(line => line.split(' ').slice(0, 2).join(' ')),
      [
        'inventory.yaml:6:5 sites[1].safe:',
        'inventory.yaml:12:36 vms[0].memory:',
        'timeline.yaml:1:13 [0].cut:',
        'timeline.yaml:2:5 [1].at:',
        'timeline.yaml:2:14 [1].fail:',
        'policy.yaml:1:1 policy:',
        'policy.yaml:2:1 maxParallel:',
      ],
    )
  })

  test('in its timeline or its policy alone is refused for them', () => {
    write({ inventory, timeline: '- { at: 1m, powerOff: kyoto }\n' })
    assert.deepEqual(mistakes(), ['timeline.yaml:1:13 [0].powerOff: the inventory has no site named "kyoto"'])
    write({ timeline: '[]\n', policy: 'maxParallel: 0\n' })
    assert.deepEqual(mistakes(), ['policy.yaml:1:1 maxParallel: Too small: expected number to be >=1'])
  })

  test('in the inventory alone has no others made up: what the inventory names is known, mistakes and all', () => {
    write({
      inventory: inventory.replace('capacity: 1Gbit/s', 'capacity: 1').replace('memory: 8GiB', 'memory: 8'),
      timeline:
        '- { at: 1m, cut: [sendai, osaka] }\n- { at: 2m, hostDown: sendai-1 }\n- { at: 3m, fail: web-1, how: path-lost }\n',
    })
    assert.deepEqual(
      mistakes().map(line => line.split(' ').slice(0, 2).join(' ')),
      ['inventory.yaml:4:27 sites[0].hosts[0].memory:', 'inventory.yaml:10:32 paths[0].capacity:'],
    )
  })

  test('whose inventory is no YAML hears nothing about names in its timeline, which may be right', () => {
    write({
      inventory: `${inventory}vms: [\n`,
      timeline: '- { at: 1m, cut: [sendai, osaka] }\n- { at: 2m, powerOff: sendai }\n',
    })
    const found = mistakes()
    assert.ok(found.length > 0)
    for (const mistake of found) assert.match(mistake, /^inventory\.yaml:\d+:\d+ : /)
  })

  test('whose inventory is no YAML still hears about the units and the order of its timeline, and about its policy', () => {
    write({
      inventory: 'sites: [',
      timeline: '- { at: 60, powerOff: sendai }\n- { at: 2m, powerOff: x }\n- { at: 1m, powerOff: x }\n',
      policy: 'bandwidth: 5\n',
    })
    assert.deepEqual(
      mistakes()
        .map(line => line.split(' ').slice(0, 2).join(' '))
        .filter(line => !line.startsWith('inventory.yaml')),
      ['timeline.yaml:1:5 [0].at:', 'timeline.yaml:3:5 [2].at:', 'policy.yaml:1:1 bandwidth:'],
    )
  })

  test('whose file cannot be read is told the reason, beside the mistakes of the others', () => {
    write({ inventory: inventory.replace('memory: 1GiB', 'memory: 1'), policy: 'policy: fastest\n' })
    mkdirSync(join(folder, 'timeline.yaml'))
    const found = mistakes()
    assert.deepEqual(
      found.map(line => line.split(':')[0]),
      ['inventory.yaml', 'timeline.yaml', 'policy.yaml'],
    )
    assert.match(found[1] ?? '', /^timeline\.yaml:1:1 : cannot be read: EISDIR/)
  })

  test('whose inventory cannot be read is told the reason, not that it is missing', () => {
    mkdirSync(join(folder, 'inventory.yaml'))
    assert.match(mistakes().join('\n'), /^inventory\.yaml:1:1 : cannot be read: EISDIR/)
  })
})

test('a file that is not there is nothing to read, one beneath a file neither', () => {
  write({ inventory })
  assert.equal(readIfThere(join(folder, 'gone')), undefined)
  assert.equal(readIfThere(join(folder, 'inventory.yaml', 'gone')), undefined)
  assert.equal(readIfThere(join(folder, 'inventory.yaml')), inventory)
  assert.throws(() => readIfThere(folder), ConfigError)
})
