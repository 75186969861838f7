/** The command line where no host is needed: mistakes, and what is said about them. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runLifeboat } from './run-lifeboat.ts'

describe('the command line', () => {
  let dir = ''
  let config = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-cli-'))
    config = join(dir, 'lifeboat.yaml')
    mkdirSync(join(dir, 'sendai-1'))
    writeFileSync(
      config,
      `stateDir: ${dir}/state
sites:
  - name: sendai
    hosts: [{ name: sendai-1, uri: "qmp+local://${dir}/sendai-1", memory: 8GiB }]
  - name: osaka
    safe: true
    hosts: [{ name: osaka-1, uri: "qmp+netns://no-such-namespace${dir}/osaka-1", memory: 8GiB }]
`,
    )
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  const refused: readonly (readonly [args: string, code: number, says: RegExp])[] = [
    ['frobnicate', 2, /unknown command 'frobnicate'/],
    ['plan', 2, /missing required argument 'site'/],
    ['plan nowhere', 2, /no site is named "nowhere".*has: sendai, osaka/],
    ['plan sendai --to nowhere', 2, /no site is named "nowhere"/],
    ['plan sendai --to sendai', 2, /sendai cannot be evacuated to itself/],
    ['plan osaka', 2, /osaka is marked safe.*--to/],
    [
      'plan sendai --policy fastest',
      2,
      /unknown policy "fastest"; there are: finish-first, sequential, fixed:N, all-at-once/,
    ],
    ['plan sendai --policy fixed:0', 2, /N is a whole number from 1/],
    ['check nowhere', 2, /no site is named "nowhere".*has: sendai, osaka/],
    ['check sendai --to sendai', 2, /sendai cannot be evacuated to itself/],
    ['check -o ndjson', 2, /-o ndjson: expected one of text, json/],
    ['init', 2, /name your hosts: lifeboat init qemu\+ssh/],
    ['init qemu:///system', 2, /no terminal to ask on.*--site[\s\S]*lifeboat init --site 'here=qemu:\/\/\/system'/],
    ['init --safe b,c --site a=qemu:///system', 2, /--safe b, c: no such site; there are: a/],
    ['init --safe b qemu:///system', 2, /no terminal to ask on/],
    ['init --site a', 2, /--site "a": expected NAME=URI/],
    ['init --site a=qemu:///system --safe b -o /nowhere/x', 2, /--safe b: no such site; there are: a/],
    ['evacuate sendai --wings 2', 2, /unknown option '--wings'/],
    ['evacuate sendai --bandwidth 100', 2, /--bandwidth.*"100" has no unit; expected a rate like 100Mbit\/s/],
    ['evacuate sendai --max-parallel 0', 2, /--max-parallel.*whole number, 1 or more/],
    ['evacuate sendai --resume', 2, /no evacuation of sendai to resume.*evacuate sendai --to/],
    ['evacuate sendai --plan /nowhere/plan.json', 2, /--plan \/nowhere\/plan.json cannot be read.*plan SITE -o json/s],
    ['evacuate sendai --resume --plan p.json', 2, /--resume goes on with the plan it began with/],
    ['plan sendai --check package.json', 2, /package.json:1:1: .*moves: is missing: the list of who goes where/],
    ['evacuate sendai -o xml', 2, /-o xml: expected one of text, json, ndjson/],
    ['links --every 6h', 2, /--every says how often to probe: use it with --watch --probe/],
    ['links --watch --probe --every 3s', 2, /--every 3\.0 s: .*at most one a minute/],
    ['links --probe --probe-bytes 64', 2, /--probe-bytes.*"64" has no unit/],
    ['links -o ndjson', 2, /-o ndjson: expected one of text, json/],
    ['report', 2, /no evacuation to show; there is none in/],
    ['report --xml vm-1', 2, /no evacuation in .*state keeps a definition of "vm-1"; none keeps any/],
    ['policy set web-1', 2, /nothing to set: name at least one part/],
    ['policy set', 2, /missing required argument 'vm'/],
    ['policy set web-1 --value -1', 2, /--value.*expected a number, 0 or more/],
    ['policy set web-1 --max-downtime 500', 2, /--max-downtime.*"500" has no unit/],
    ['policy set web-1 --allow post-copy,teleport', 2, /--allow.*"teleport" is none of post-copy, stop-copy/],
    ['policy set web-1 --stay --move', 2, /--stay.*cannot be used with.*--move/],
    [
      'policy set web-1 --target mars',
      2,
      /nothing was written:\n.*no site or host is named "mars".*osaka-1\n.*"web-1"/,
    ],
    ['policy show web-1', 2, /no running VM is named "web-1"; these hosts do not answer: osaka-1/],
    ['explain vm-1', 2, /no evacuation to show/],
    ['pause', 2, /no evacuation to show/],
    ['lab up --memory 96', 2, /--memory.*"96" has no unit; expected a size like 64MiB/],
    ['lab down --name never-was', 2, /no lab named "never-was"/],
    ['demo --driver xen', 2, /Allowed choices are qemu/],
  ]
  for (const [args, code, says] of refused) {
    test(`lifeboat ${args}`, async () => {
      const ran = await runLifeboat(['--config', config, ...args.split(' ')])
      assert.match(ran.stderr, says)
      assert.equal(ran.code, code, ran.stderr)
      assert.equal(ran.stdout, '')
      assert.doesNotMatch(ran.stderr, /\n\s+at /, 'a stack trace is no message')
    })
  }

  test('every mistake of a configuration is told at once, with line and column', async () => {
    const bad = join(dir, 'bad.yaml')
    writeFileSync(
      bad,
      `sites:
  - name: a
    hosts:
      - { name: a-1, uri: "qmp+local:///vms", memory: 8 }
      - { name: a-1, uri: "http://x" }
paths:
  - { from: a, to: nowhere, capacity: 1Gbit }
polcy: { name: sequential }
`,
    )
    const { code, stderr } = await runLifeboat(['--config', bad, 'inventory'])
    assert.equal(code, 2)
    assert.match(stderr, /6 mistakes/)
    for (const says of [
      /bad\.yaml:4:\d+: sites\[0\]\.hosts\[0\]\.memory: the bare number 8 has no unit/,
      /bad\.yaml:5:\d+: sites\[0\]\.hosts\[1\]\.name: "a-1" is the name of a host already/,
      /bad\.yaml:5:\d+: sites\[0\]\.hosts\[1\]\.uri: .*unknown scheme "http"/,
      /bad\.yaml:7:\d+: paths\[0\]\.to: no site or host is named "nowhere"/,
      /bad\.yaml:7:\d+: paths\[0\]\.capacity: .*unknown unit "Gbit"/,
      /bad\.yaml:8:1: polcy: unknown key/,
    ])
      assert.match(stderr, says)
  })

  test('a site without VMs needs no evacuation, and no answer to a question; one with a silent host is not said to be empty', async () => {
    const empty = await runLifeboat(['--config', config, 'evacuate', 'sendai', '--to', 'osaka'])
    assert.equal(empty.code, 0, empty.stderr)
    assert.match(empty.stdout, /^No VM runs in sendai: nothing to do\.$/m)
    for (const command of [['plan'], ['evacuate', '--dry-run']]) {
      const planned = await runLifeboat(['--config', config, ...command, 'osaka', '--to', 'sendai'])
      assert.equal(planned.code, 1, planned.stderr)
      assert.match(`${planned.stdout}${planned.stderr}`, /osaka-1/)
    }
  })

  test('nothing at all is no limit', async () => {
    for (const [flag, value] of [
      ['--deadline', '0s'],
      ['--bandwidth', '0Mbit/s'],
    ] as const) {
      const { code, stderr } = await runLifeboat(['--config', config, 'evacuate', 'sendai', flag, value])
      assert.equal(code, 2)
      assert.match(stderr, /expected more than 0/)
    }
  })

  test('a host that does not answer is named, and the others are listed', async () => {
    const { code, stdout } = await runLifeboat(['--config', config, 'inventory'])
    assert.equal(code, 1)
    assert.match(stdout, /osaka-1.*does not answer: namespace no-such-namespace does not exist/)
    assert.match(stdout, /sendai-1 +8\.00 GiB/)
  })

  test('links: hosts that answer are shown, one that does not is named with the reason', async () => {
    const { code, stdout, stderr } = await runLifeboat(['--config', config, 'links'])
    assert.equal(code, 1, stderr)
    assert.match(stdout, /^sendai → osaka +– +– +[\d.]+ .?bit\/s +0 bit\/s/m)
    assert.match(stdout, /^osaka → sendai +– +– +not known +not known/m)
    assert.match(stdout, /^osaka-1 .*does not answer$/m)
    assert.match(stdout, /osaka → sendai: not known \(osaka-1 is not read: namespace no-such-namespace does not exist/)
  })

  test('without a configuration the places and the way on are named', async () => {
    const { code, stderr } = await runLifeboat(['--config', '/nowhere/lifeboat.yaml', 'inventory'])
    assert.equal(code, 2)
    assert.match(stderr, /looked for \/nowhere\/lifeboat\.yaml/)
    assert.match(stderr, /lifeboat demo/)
  })

  test('a site without VMs is evacuated at once, and the report says so', async () => {
    const { code, stdout } = await runLifeboat([
      '--config',
      config,
      'evacuate',
      'sendai',
      '--to',
      'osaka',
      '--yes',
      '-o',
      'json',
    ])
    assert.equal(code, 1, 'a host could not be asked, so not all is known to be as asked')
    assert.deepEqual((JSON.parse(stdout) as { summary: { vms: number } }).summary.vms, 0)
  })

  test('--help teaches: each command says what it does, evacuate says what Ctrl-C does', async () => {
    const all = await runLifeboat(['--help'])
    assert.equal(all.code, 0)
    for (const command of [
      'demo',
      'evacuate',
      'plan',
      'inventory',
      'links',
      'status',
      'watch',
      'report',
      'explain',
      'pause',
      'resume',
      'abort',
      'lab',
    ])
      assert.match(all.stdout, new RegExp(`^  ${command} `, 'm'))
    const evacuate = await runLifeboat(['evacuate', '--help'])
    assert.match(evacuate.stdout, /First Ctrl-C.*Second/s)
    assert.match(evacuate.stdout, /Exit codes/)
  })
})
