/** Where the configuration is found, what is said when it is not, and what is said about one with mistakes. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { ConfigMissing, defaultPlaces, defaultStateDir, loadConfig } from './load-config.ts'
import { ConfigError } from './yaml-file.ts'

const named = (site: string): string => `sites:
  - name: ${site}
    hosts:
      - { name: ${site}-1, uri: "qmp+local:///srv/vms" }
`
let dir = ''
const cwd = process.cwd()
before(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'lifeboat-config-')))
  process.chdir(dir)
})
after(() => {
  process.chdir(cwd)
  rmSync(dir, { recursive: true, force: true })
})
afterEach(() => {
  for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true })
})

describe('the configuration', () => {
  const siteOf = (from: ReturnType<typeof loadConfig>): string | undefined => from.config.sites[0]?.name

  test('is read from lifeboat.yaml in the current folder', () => {
    writeFileSync('lifeboat.yaml', named('here'))
    const loaded = loadConfig(undefined, {})
    assert.equal(siteOf(loaded), 'here')
    assert.equal(loaded.file, join(dir, 'lifeboat.yaml'))
  })

  test('that $LIFEBOAT_CONFIG names goes before the one in the current folder', () => {
    writeFileSync('lifeboat.yaml', named('here'))
    writeFileSync('other.yaml', named('there'))
    const loaded = loadConfig(undefined, { LIFEBOAT_CONFIG: 'other.yaml' })
    assert.equal(siteOf(loaded), 'there')
    assert.equal(loaded.file, join(dir, 'other.yaml'))
  })

  test('that is named goes before all', () => {
    writeFileSync('lifeboat.yaml', named('here'))
    writeFileSync('other.yaml', named('there'))
    writeFileSync('third.yaml', named('chosen'))
    assert.equal(siteOf(loadConfig(join(dir, 'third.yaml'), { LIFEBOAT_CONFIG: 'other.yaml' })), 'chosen')
  })

  const missing = (call: () => unknown, says: RegExp): void => {
    assert.throws(call, (error: unknown) => {
      assert.ok(error instanceof ConfigMissing, String(error))
      assert.match(error.message, says)
      return true
    })
  }

  test('that is named and not there is missing, although there are others', () => {
    writeFileSync('lifeboat.yaml', named('here'))
    missing(() => loadConfig('none.yaml', {}), /^no configuration: looked for none\.yaml\n.*--config.*lifeboat demo$/)
    missing(() => loadConfig(undefined, { LIFEBOAT_CONFIG: 'gone.yaml' }), /looked for gone\.yaml\n/)
    missing(() => loadConfig('lifeboat.yaml/none', {}), /looked for lifeboat\.yaml\/none\n/)
  })

  const installed = existsSync(defaultPlaces[1]) && `this machine has ${defaultPlaces[1]}`
  test('that is nowhere is missing, with the places and what to do', { skip: installed }, () => {
    missing(
      () => loadConfig(undefined, {}),
      /^no configuration: looked for \.\/lifeboat\.yaml, \/etc\/lifeboat\/lifeboat\.yaml\nwrite one .*lifeboat demo$/,
    )
  })

  test('that cannot be read is told as that, with the reason', () => {
    mkdirSync('lifeboat.yaml')
    missing(() => loadConfig(undefined, {}), /lifeboat\.yaml cannot be read: EISDIR/)
  })

  test('its journals lie where it says, else where the environment says, else in the usual place of the user', () => {
    writeFileSync('lifeboat.yaml', named('here'))
    writeFileSync('other.yaml', `${named('here')}stateDir: /srv/lifeboat\n`)
    const env = { LIFEBOAT_STATE: 'state', XDG_STATE_HOME: '/xdg' }
    assert.equal(loadConfig('other.yaml', env).stateDir, '/srv/lifeboat')
    assert.equal(loadConfig(undefined, env).stateDir, join(dir, 'state'))
    const root = process.getuid?.() === 0
    const usual = root ? '/var/lib/lifeboat' : join(homedir(), '.local/state/lifeboat')
    assert.equal(loadConfig(undefined, {}).stateDir, usual)
    assert.equal(defaultStateDir({ XDG_STATE_HOME: '/xdg' }), root ? usual : '/xdg/lifeboat')
  })
})

describe('what is in it', () => {
  /** The problems as `LINE:COLUMN PLACE: MESSAGE`. */
  function mistakes(text: string): readonly string[] {
    writeFileSync('lifeboat.yaml', text)
    try {
      loadConfig(undefined, {})
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error))
      return error.problems.map(({ line, column, where, message }) => `${line}:${column} ${where}: ${message}`)
    }
    return []
  }

  test('what only a libvirt daemon can be told is read of its hosts, and refused of others', () => {
    const site = (uri: string, ofHost: string, ofSite = ''): string =>
      `sites:\n  - name: s\n${ofSite}    hosts:\n      - { name: h, uri: "${uri}", ${ofHost} }\n`
    const all = 'peerUri: "qemu+tls://h/system", listenAddress: 10.0.0.1, tlsName: h'
    writeFileSync('lifeboat.yaml', site('qemu+ssh://root@h/system', all, '    tls: true\n'))
    const [found] = loadConfig(undefined, {}).config.sites
    assert.equal(found?.tls, true)
    const { peerUri, listenAddress, tls, tlsName } = found.hosts[0] ?? {}
    assert.deepEqual([peerUri, listenAddress, tls, tlsName], ['qemu+tls://h/system', '10.0.0.1', undefined, 'h'])

    const told = (...of: Parameters<typeof site>): string => mistakes(site(...of)).join('; ')
    const foreign = /for hosts under libvirt only, and h is none/
    for (const key of ['tls: true', 'listenAddress: 10.0.0.1', 'peerUri: "qemu+tcp://h/system"', 'tlsName: h'])
      assert.match(told('qmp+local:///srv/vms', key), foreign, key)
    assert.match(told('qmp+local:///srv/vms', 'memory: 1GiB', '    tls: true\n'), foreign)
    assert.match(told('qemu:///system', 'peerUri: "qemu:///system"'), /names no host: other hosts cannot reach/)
    assert.match(told('qemu:///system', 'peerUri: "qemu+carrier://h/system"'), /unknown transport "carrier"/)
  })

  test('is read whole, with its units', () => {
    writeFileSync(
      'lifeboat.yaml',
      `sites:
  - name: sendai
    uplink: 1Gbit/s
    hosts:
      - { name: sendai-1, uri: "qmp+ssh://root@sendai-1:2222/srv/vms", memory: 64GiB, nic: 10Gbit/s, cpu: Skylake }
  - name: osaka
    safe: true
    hosts:
      - { name: osaka-1, uri: "qmp+netns://osaka-1/srv/vms", migrationAddress: 10.9.0.11 }
paths:
  - { from: sendai, to: osaka-1, capacity: 1Gbit/s, rtt: 20ms, loss: 0.01%, perFlow: 300Mbit/s, background: 8Mbit/s }
policy: { name: "fixed:4", maxParallel: 3, bandwidth: 800Mbit/s }
vms:
  - { match: "db-*", value: 20, group: shop, maxDowntime: 2s, allow: [post-copy, stop-copy], action: stay, targets: [osaka, osaka-1], antiAffinity: db }
stateDir: /srv/lifeboat
`,
    )
    const { config } = loadConfig(undefined, {})
    assert.deepEqual(config.sites[0], {
      name: 'sendai',
      safe: false,
      uplink: 125_000_000,
      tls: false,
      hosts: [
        {
          name: 'sendai-1',
          uri: { kind: 'qmp-ssh', host: 'sendai-1', user: 'root', port: 2222, folder: '/srv/vms' },
          memory: 64 * 2 ** 30,
          nic: 1_250_000_000,
          cpu: 'Skylake',
        },
      ],
    })
    assert.equal(config.sites[1]?.safe, true)
    assert.equal(config.sites[1]?.hosts[0]?.migrationAddress, '10.9.0.11')
    assert.deepEqual(config.paths, [
      {
        from: 'sendai',
        to: 'osaka-1',
        capacity: 125_000_000,
        rtt: 20,
        loss: 0.0001,
        perFlow: 37_500_000,
        background: 1_000_000,
      },
    ])
    assert.deepEqual(config.policy, { name: 'fixed:4', maxParallel: 3, bandwidth: 100_000_000 })
    assert.deepEqual(config.vms, [
      {
        match: 'db-*',
        value: 20,
        group: 'shop',
        maxDowntime: 2_000,
        allow: ['post-copy', 'stop-copy'],
        action: 'stay',
        targets: ['osaka', 'osaka-1'],
        antiAffinity: 'db',
      },
    ])
  })

  test('what is left out has its default', () => {
    writeFileSync('lifeboat.yaml', named('a'))
    const { config } = loadConfig(undefined, {})
    assert.deepEqual([config.paths, config.policy, config.vms, config.stateDir], [[], {}, [], undefined])
  })

  test('has all its mistakes told at once: of shape, of units and of names', () => {
    assert.deepEqual(
      mistakes(`sites:
  - name: a
    hosts:
      - { name: a-1, uri: "qmp+local:///srv", memory: 64 }
      - name: a-1
        uri: https://a-1/
paths:
  - { from: a, to: nowhere }
colour: red
`),
      [
        '4:47 sites[0].hosts[0].memory: the bare number 64 has no unit; expected a size like 64MiB',
        '5:9 sites[0].hosts[1].name: "a-1" is the name of a host already',
        '6:9 sites[0].hosts[1].uri: "https://a-1/": unknown scheme "https"; expected one of qmp+local:///FOLDER, qmp+netns://NAMESPACE/FOLDER, qmp+ssh://USER@HOST/FOLDER, qemu:///system, qemu+ssh://USER@HOST/system',
        '8:16 paths[0].to: no site or host is named "nowhere"; there are: a, a-1',
        '9:1 colour: unknown key',
      ],
    )
  })

  const single: readonly (readonly [what: string, more: string, mistake: RegExp])[] = [
    ['an unknown policy', 'policy: { name: fastest }', /^5:11 policy\.name: unknown policy "fastest"; there are: /],
    ['a policy of no VMs at a time', 'policy: { name: "fixed:0" }', /N is a whole number from 1/],
    ['no VM in parallel', 'policy: { maxParallel: 0 }', /^5:11 policy\.maxParallel: .*>=1/],
    ['half a VM in parallel', 'policy: { maxParallel: 1.5 }', /policy\.maxParallel: .*int/],
    ['a path from a site to itself', 'paths: [{ from: a, to: a }]', /^5:20 paths\[0\]\.to: a path from "a" to itself$/],
    ['a path of no capacity', 'paths: [{ from: a, to: a-1, capacity: 0Mbit/s }]', /^5:29 paths\[0\]\.capacity: .*zero/],
    ['a loss of more than all', 'paths: [{ from: a, to: a-1, loss: 101% }]', /loss: "101%" is more than 100%/],
    ['a time without a unit', 'paths: [{ from: a, to: a-1, rtt: 40 }]', /rtt: the bare number 40 has no unit; .*40ms/],
    [
      'a negative value of a VM',
      'vms: [{ match: x, value: -1 }]',
      /^5:19 vms\[0\]\.value: a value is a number, 0 or more$/,
    ],
    ['an unknown last resort', 'vms: [{ match: x, allow: [pray] }]', /vms\[0\]\.allow\[0\]: .*post-copy/],
    ['a rule for no VM', 'vms: [{ value: 1 }]', /vms\[0\]\.match: /],
    ['a relative stateDir', 'stateDir: state', /^5:1 stateDir: an absolute path$/],
  ]
  for (const [what, more, mistake] of single) {
    test(`${what} is one mistake, told with its place`, () => {
      const found = mistakes(`${named('a')}${more}\n`)
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found[0] ?? '', mistake)
    })
  }

  test('without a site, or with a site without a host, it is refused', () => {
    assert.deepEqual(mistakes('sites: []\n'), ['1:1 sites: name at least one site'])
    assert.deepEqual(mistakes('sites: [{ name: a, hosts: [] }]\n'), [
      '1:20 sites[0].hosts: a site has at least one host',
    ])
  })

  test('a name that could do harm in a path or a command line is refused', () => {
    for (const name of ['-rf', '../etc', 'a b', '', 'a/b', '$(id)', 'ä', 'x'.repeat(129)]) {
      const found = mistakes(
        `sites: [{ name: ${JSON.stringify(name)}, hosts: [{ name: a-1, uri: "qmp+local:///s" }] }]\n`,
      )
      assert.match(found.join('\n'), /^1:11 sites\[0\]\.name: not a usable name; expected letters, digits/, name)
    }
  })
})
