/** `lifeboat simulate` as a user types it. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Report } from '../src/core/report/report.ts'
import { type Ran, startLifeboat } from './run-lifeboat.ts'

const simulate = (...args: readonly string[]): Promise<Ran> => startLifeboat(['simulate', ...args]).done

describe('lifeboat simulate', () => {
  let root: string
  const folder = (name: string, files: Readonly<Record<string, string>>): string => {
    const path = join(root, name)
    mkdirSync(path, { recursive: true })
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
    return path
  }
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'lifeboat-simulate-'))
  })
  after(() => rmSync(root, { recursive: true, force: true }))

  test('ends with the report, and says by its exit code whether all are safe', async () => {
    const calm = await simulate('scenarios/calm-path')
    assert.equal(calm.code, 0)
    assert.match(calm.stdout, /safe 8 of 8/)
    assert.match(calm.stdout, /J 1\.\d\d/)
    const full = await simulate('scenarios/does-not-fit')
    assert.equal(full.code, 1)
    assert.match(full.stdout, /web-5\s+left .* needs 4\.00 GiB of memory, 1\.00 GiB free \(short by 3\.00 GiB\)/)
  })

  test('with -o json it is one report for one policy, and an array for several policies or runs', async () => {
    const one = JSON.parse((await simulate('scenarios/calm-path', '-o', 'json')).stdout) as Report
    assert.deepEqual([one.world, one.policy, one.seed, one.summary.safe], ['simulated', 'sequential', 1, 8])
    const three = JSON.parse(
      (await simulate('scenarios/calm-path', '--policies', 'sequential,fixed:2,oracle', '-o', 'json')).stdout,
    ) as readonly Report[]
    assert.deepEqual(
      three.map(({ policy }) => policy),
      ['sequential', 'fixed:2', 'oracle (exact)'],
    )
    const runs = JSON.parse(
      (await simulate('scenarios/calm-path', '--runs', '4', '--seed', '7', '-o', 'json')).stdout,
    ) as readonly Report[]
    assert.deepEqual(
      runs.map(({ seed }) => seed),
      [7, 8, 9, 10],
    )
    assert.ok(new Set(runs.map(({ summary }) => summary.makespanMs)).size > 1, 'luck differs from seed to seed')
  })

  test('sets policies side by side, and several runs with their interval', async () => {
    const { stdout, code } = await simulate('scenarios/calm-path', '--policies', 'sequential,all-at-once,oracle')
    assert.equal(code, 0)
    assert.match(stdout, /^policy +safe +value +makespan +mean duration/m)
    for (const policy of ['sequential', 'all-at-once', 'oracle \\(exact\\)'])
      assert.match(stdout, new RegExp(`^${policy} `, 'm'))
    const many = await simulate('scenarios/calm-path', '--runs', '5')
    assert.match(many.stdout, /seeds 1 to 5, mean ± 95 % interval/)
    assert.match(many.stdout, /min \d\d s ± /)
  })

  test('--log prints what expect.log holds, and nothing else; the same again and again', async () => {
    const expected = readFileSync('scenarios/cut-30s/expect.log', 'utf8')
    assert.equal((await simulate('scenarios/cut-30s', '--log')).stdout, expected)
    assert.equal((await simulate('scenarios/cut-30s', '--log')).stdout, expected)
    assert.notEqual((await simulate('scenarios/cut-30s', '--log', '--seed', '2')).stdout, expected)
  })

  test('--accept writes the log, --check holds the next run against it', async () => {
    const place = folder('accepted', { 'inventory.yaml': readFileSync('scenarios/calm-path/inventory.yaml', 'utf8') })
    const without = await simulate(place, '--check')
    assert.deepEqual([without.code, without.stderr.includes('--accept writes it')], [2, true])
    assert.equal((await simulate(place, '--accept')).code, 0)
    assert.equal((await simulate(place, '--check')).code, 0)
    const differs = await simulate(place, '--check', '--policy', 'fixed:2')
    assert.equal(differs.code, 1)
    assert.match(differs.stdout, /expect\.log:1: differs\n {2}expected: .*finish-first\n {2}decided: {2}.*fixed:2\n/)
  })

  test('takes several folders, and is as bad as the worst of them', async () => {
    const { code, stdout } = await simulate('scenarios/calm-path', 'scenarios/cut-30s', '--check')
    assert.equal(code, 0)
    assert.equal(stdout.match(/as expected/g)?.length, 2)
    const mixed = await simulate('scenarios/calm-path', 'scenarios/does-not-fit', '-o', 'json')
    assert.equal(mixed.code, 1)
    assert.equal((JSON.parse(mixed.stdout) as readonly Report[]).length, 2)
  })

  test('all mistakes of a folder are told at once, with file and line, and nothing is run', async () => {
    const place = folder('wrong', {
      'inventory.yaml': `sites:
  - name: a
    hosts: [ { name: a-1, memory: 4GiB } ]
  - { name: b, safe: true, hosts: [ { name: b-1, memory: 4GiB } ] }
paths:
  - { from: a, to: a, capacity: 1Gbit/s }
  - { from: a, to: b, capacity: -1Gbit/s }
vms:
  - { name: big, host: a-1, memory: 8GiB }
  - { name: lost, host: nowhere, memory: 1GiB, colour: red }
`,
      'timeline.yaml': `- { at: 2m, cut: [a, b] }
- { at: 1m, heal: [a, b] }
- { at: 3m, powerOff: mars }
- { at: 4m, path: [a, b], capacity: 0Mbit/s }
- { at: 5, dirty: big, hot: 1GiB, period: 1s, cold: 0B/s }
`,
      'policy.yaml': 'policy: fastest\n',
    })
    const { code, stderr, stdout } = await simulate(place)
    assert.equal(code, 2)
    assert.equal(stdout, '')
    for (const mistake of [
      /inventory\.yaml:6:\d+: paths\[0\]\.to: a path from "a" to itself/,
      /inventory\.yaml:7:\d+: paths\[1\]\.capacity: .*negative/,
      /inventory\.yaml:9:\d+: vms\[0\]\.memory: 8\.00 GiB is more than its host a-1 has \(4\.00 GiB\)/,
      /inventory\.yaml:10:\d+: vms\[1\]\.host: no host is named "nowhere"/,
      /inventory\.yaml:10:\d+: vms\[1\]\.colour: unknown key/,
      /timeline\.yaml:2:\d+: \[1\]\.at: 1m comes after 2m/,
      /timeline\.yaml:3:\d+: \[2\]\.powerOff: the inventory has no site named "mars"/,
      /timeline\.yaml:4:\d+: \[3\]\.capacity: is zero/,
      /timeline\.yaml:5:\d+: \[4\]\.at: the bare number 5 has no unit/,
      /policy\.yaml:1:\d+: policy: unknown policy "fastest"/,
    ])
      assert.match(stderr, mistake)
    assert.match(stderr, /\b10 mistakes:/)
  })

  test('what is no scenario, no policy and no combination is refused with the next step', async () => {
    for (const [args, message] of [
      [['nowhere'], /nowhere:1:1: is no folder/],
      [[root], /inventory\.yaml:1:1: is not there/],
      [['scenarios/calm-path', '--policy', 'fastest'], /unknown policy "fastest".*there are: finish-first, sequential/],
      [['scenarios/calm-path', '--policy', 'toString'], /unknown policy "toString"/],
      [['scenarios/calm-path', '--policy', 'fixed:2', '--policies', 'fixed:3'], /one of them/],
      [['scenarios/calm-path', '--policies', 'fixed:2,fixed:3', '--log'], /are for one policy/],
      [['scenarios/calm-path', '--policy', 'oracle', '--accept'], /are for one policy/],
      [['scenarios/calm-path', '--runs', '0'], /whole number, 1 or more/],
      [['scenarios/calm-path', '-o', 'xml'], /expected one of text, json/],
      [['scenarios/calm-path', '--plot', join(root, 'no', 'such', 'folder.svg')], /--plot .*ENOENT/],
      [[join(root, 'x'), '--generate', '{ "vms": -1 }'], /--generate:1:\d+: vms: /],
      [[join(root, 'x'), '--generate', '{ "vms": 3, "colour": 1 }'], /colour: unknown key/],
      [[], /missing required argument 'folder'/],
    ] as const) {
      const { code, stderr } = await simulate(...args)
      assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
      assert.match(stderr, message)
    }
  })

  test('--generate makes a folder that can be run again, and never overwrites one', async () => {
    const place = join(root, 'made')
    const spec = '{ "vms": 6, "hosts": 2, "path": { "kind": "step", "capacity": "2Gbit/s" }, "seed": 3 }'
    const made = await simulate(place, '--generate', spec, '--log')
    assert.ok(existsSync(join(place, 'inventory.yaml')) && existsSync(join(place, 'timeline.yaml')))
    assert.equal((await simulate(place, '--log')).stdout, made.stdout)
    const again = await simulate(place, '--generate', spec)
    assert.equal(again.code, 3)
    assert.match(again.stderr, /is not empty; nothing was generated/)
  })

  test('--plot draws a picture that stands on its own', async () => {
    const file = join(root, 'plot.svg')
    await simulate('scenarios/step-down', '--policies', 'sequential,aimd,oracle', '--plot', file)
    const svg = readFileSync(file, 'utf8')
    assert.match(svg, /^<svg xmlns=/)
    assert.ok(!/href=|<script|url\(/.test(svg))
    for (const words of ['VMs safe', 'sequential: path sendai → osaka', 'aimd: each VM', 'oracle (exact): 8 of 8'])
      assert.ok(svg.includes(words), words)
  })

  test('interrupted, it prints what there is and leaves with 130', async () => {
    const run = startLifeboat([
      'simulate',
      'scenarios/thousand-vms',
      '--runs',
      '200',
      '--policies',
      'fixed:10,fixed:20',
    ])
    await new Promise(resolve => setTimeout(resolve, 4_000))
    run.child.kill('SIGINT')
    const { code, stdout, stderr } = await run.done
    assert.equal(code, 130)
    assert.match(stdout, /^fixed:10 /m)
    assert.match(stderr, /interrupted after \d+ of 400 runs/)
  })
})
