import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mebibytes } from '../core/units.ts'
import { checkNames } from './check-names.ts'
import { configSchema } from './config-schema.ts'
import { starterConfig, type StarterSite } from './starter-config.ts'
import { parseYamlFile } from './yaml-file.ts'

const host = (name: string, uri: string) => ({
  name,
  uri,
  memory: mebibytes(64 * 1024),
  found: 'libvirt 9.0.0, QEMU 7.2.22; 12 VMs run',
  addressUnknown: uri === 'qemu:///system',
})
const sites: readonly StarterSite[] = [
  { name: 'sendai', safe: false, hosts: [host('sendai-1', 'qemu+ssh://root@sendai-1/system?keyfile=/root/.ssh/"id"')] },
  {
    name: 'osaka',
    safe: true,
    hosts: [host('osaka-1', 'qemu:///system'), host('osaka-2', 'qmp+ssh://root@osaka-2/srv/vms')],
  },
]
const read = (text: string) => parseYamlFile(text, 'lifeboat.yaml', configSchema, checkNames)

describe('the first lifeboat.yaml', () => {
  test('loads as it is written', () => {
    const config = read(starterConfig(sites, [], 'made by a test'))
    assert.deepEqual(
      config.sites.map(({ name, safe, hosts }) => [name, safe, hosts.map(each => [each.name, each.uri.kind])]),
      [
        ['sendai', false, [['sendai-1', 'libvirt']]],
        [
          'osaka',
          true,
          [
            ['osaka-1', 'libvirt'],
            ['osaka-2', 'qmp-ssh'],
          ],
        ],
      ],
    )
    assert.deepEqual(config.paths, [])
    assert.deepEqual(config.vms, [])
  })

  test('loads with every example in use, and has every option there is', () => {
    const text = starterConfig(sites, [], 'made by a test')
      .replaceAll('#: safe: true', 'safe: false')
      .replaceAll('#: ', '')
    const config = read(text)
    const used = (value: object): readonly string[] =>
      Object.keys(value).filter(key => Reflect.get(value, key) !== undefined)
    assert.deepEqual(used(config).toSorted(), Object.keys(configSchema.shape).sort())
    const [site] = config.sites
    assert.ok(site !== undefined)
    assert.deepEqual(used(site).toSorted(), ['hosts', 'name', 'safe', 'tls', 'uplink'])
    const [first] = site.hosts
    assert.ok(first !== undefined)
    // `cpu` is a word of scenarios that no driver reads.
    const ofHost = [
      'listenAddress',
      'memory',
      'migrationAddress',
      'name',
      'nic',
      'peerUri',
      'shell',
      'tls',
      'tlsName',
      'uri',
    ]
    assert.deepEqual(used(first).toSorted(), ofHost)
    assert.deepEqual(used(config.policy).toSorted(), ['bandwidth', 'maxParallel', 'name'])
    const rules = new Set(config.vms.flatMap(used))
    assert.deepEqual([...rules].toSorted(), [
      'action',
      'allow',
      'antiAffinity',
      'group',
      'match',
      'maxDowntime',
      'targets',
      'value',
    ])
    const [path] = config.paths
    assert.ok(path !== undefined)
    assert.deepEqual([path.from, path.to], ['sendai', 'osaka'])
    assert.equal(used(path).length, 7)
  })

  test('what did not answer is in it as a comment, on one line', () => {
    const why = 'qemu+tcp://gone/system: connect ECONNREFUSED\nis libvirtd running there?'
    const text = starterConfig(sites, [{ uri: 'qemu+tcp://gone/system', why }], 'made by\na test')
    assert.match(text, /^# did not answer: qemu\+tcp:\/\/gone\/system$/m)
    assert.match(text, /^# {3}qemu.*ECONNREFUSED; is libvirtd running there\?$/m)
    assert.equal(read(text).sites.length, 2)
  })

  test('says where an address is needed', () => {
    const text = starterConfig(sites, [], 'x')
    assert.equal(text.match(/NEEDED before VMs come here/g)?.length, 1)
  })
})
