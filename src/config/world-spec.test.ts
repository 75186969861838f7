import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pathKinds } from '../core/sim/generate.ts'
import { parseWorldSpec, worldSpecExample } from './world-spec.ts'
import { ConfigError } from './yaml-file.ts'

describe('the description of a world to generate', () => {
  const usual = {
    endangered: 1,
    safe: 1,
    hosts: 2,
    vms: 20,
    memory: { kind: 'lognormal', median: 2 * 2 ** 30, spread: 2 },
    activity: { warm: 0.3, hot: 0.1 },
    path: { kind: 'steady', capacity: 125_000_000, rtt: 20 },
    room: 1.5,
    deadline: undefined,
    seed: 1,
  }

  test('that says nothing is of the usual world', () => {
    for (const text of ['{}', '', '{ "path": {}, "activity": {} }']) assert.deepEqual(parseWorldSpec(text), usual)
  })

  test('is read whole, with units', () => {
    const text = `{ "endangered": 2, "safe": 3, "hosts": 4, "vms": 50, "memory": { "kind": "uniform", "from": "1GiB", "to": "4GiB" },
      "activity": { "warm": 0.5, "hot": 0.5 }, "path": { "kind": "saw", "capacity": "10Gbit/s", "rtt": "80ms" },
      "room": 0.8, "deadline": "20m", "seed": 7 }`
    assert.deepEqual(parseWorldSpec(text), {
      endangered: 2,
      safe: 3,
      hosts: 4,
      vms: 50,
      memory: { kind: 'uniform', from: 2 ** 30, to: 4 * 2 ** 30 },
      activity: { warm: 0.5, hot: 0.5 },
      path: { kind: 'saw', capacity: 1_250_000_000, rtt: 80 },
      room: 0.8,
      deadline: 1_200_000,
      seed: 7,
    })
  })

  test('may be partly said: the rest of a part is as usual too', () => {
    assert.deepEqual(parseWorldSpec('{ "path": { "kind": "outage" }, "activity": { "hot": 0.7 } }'), {
      ...usual,
      path: { ...usual.path, kind: 'outage' },
      activity: { warm: 0.3, hot: 0.7 },
    })
    assert.deepEqual(parseWorldSpec('{ "memory": { "kind": "lognormal", "median": "4GiB" } }').memory, {
      kind: 'lognormal',
      median: 4 * 2 ** 30,
      spread: 2,
    })
    assert.deepEqual(parseWorldSpec('{ "memory": { "kind": "fixed", "size": "4GiB" } }').memory, {
      kind: 'fixed',
      size: 4 * 2 ** 30,
    })
  })

  test('knows every kind of path', () => {
    for (const kind of pathKinds) assert.equal(parseWorldSpec(`{ "path": { "kind": "${kind}" } }`).path.kind, kind)
  })

  test('that the help shows is one', () => {
    const { vms, hosts, memory, path, seed } = parseWorldSpec(worldSpecExample)
    assert.deepEqual([vms, hosts, memory.kind, path.kind, seed], [50, 4, 'lognormal', 'step', 7])
  })

  function mistakes(text: string): readonly string[] {
    try {
      parseWorldSpec(text)
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error))
      return error.message.split('\n')
    }
    return []
  }

  test('has all its mistakes told at once, with the place in the text', () => {
    const text = `{ "vms": -1, "hosts": 0, "safe": 1.5, "seed": -1, "room": -1, "colour": "red",
  "memory": { "kind": "uniform", "from": 5, "to": "4GiB" },
  "path": { "kind": "wavy", "capacity": "fast", "loss": "1%" },
  "deadline": 20 }`
    const found = mistakes(text)
    assert.deepEqual(
      found.map(line => line.split(': ').slice(0, 2).join(': ')),
      [
        '--generate:1:3: vms',
        '--generate:1:14: hosts',
        '--generate:1:26: safe',
        '--generate:1:39: seed',
        '--generate:1:51: room',
        '--generate:1:63: colour',
        '--generate:2:34: memory.from',
        '--generate:3:13: path.kind',
        '--generate:3:29: path.capacity',
        '--generate:3:49: path.loss',
        '--generate:4:3: deadline',
      ],
    )
  })

  const single: readonly (readonly [what: string, text: string, mistake: RegExp])[] = [
    ['no endangered site', '{ "endangered": 0 }', /^--generate:1:3: endangered: .*>=1$/],
    ['more VMs than anybody has', '{ "vms": 100001 }', /^--generate:1:3: vms: .*<=100000$/],
    ['more activity than guests', '{ "activity": { "warm": 0.7, "hot": 0.4 } }', /activity: .*together at most 1$/],
    ['a negative share', '{ "activity": { "warm": -0.1 } }', /activity\.warm: .*>=0$/],
    ['a spread below one', '{ "memory": { "kind": "lognormal", "median": "1GiB", "spread": 0.5 } }', /spread: .*>=1$/],
    ['sizes of no kind', '{ "memory": { "size": "1GiB" } }', /memory\.kind: .*'fixed' \| 'uniform' \| 'lognormal'$/],
    ['a size of another kind', '{ "memory": { "kind": "fixed", "median": "1GiB", "size": "1GiB" } }', /unknown key$/],
    ['a fixed size that is missing', '{ "memory": { "kind": "fixed" } }', /memory\.size: is missing; expected a size/],
    ['a seed that is no whole number', '{ "seed": 0.5 }', /seed: .*int/],
    ['a number', '5', /^--generate:1:1: .*expected object, received number$/],
    ['a bracket that is not closed', '{ "vms": 20, ', /^--generate:1:\d+: /],
  ]
  for (const [what, text, mistake] of single) {
    test(`${what} is one mistake, told with its place`, () => {
      const found = mistakes(text)
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found[0] ?? '', mistake)
    })
  }
})
