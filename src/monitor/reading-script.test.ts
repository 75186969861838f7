/** The script runs here as it runs on a host; what it prints is read back. And answers no host should give. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { hostId } from '../core/ids.ts'
import { instant } from '../core/instant.ts'
import { isKnown } from '../core/network/reading.ts'
import { bytesPerSecond } from '../core/units.ts'
import { interfacesFrom, namesFrom, discoverCommand, discoverPrelude, routesCommand } from './discover.ts'
import { readingCommand, readingFrom, readingPrelude, sectionsOf } from './reading-script.ts'

const mark = '0000-mark'
const sh = (script: string, env: Readonly<Record<string, string>> = {}): string =>
  spawnSync('sh', ['-s'], { input: script, encoding: 'utf8', env: { ...process.env, ...env } }).stdout
const answer = (text: string, interfaces = new Map([['lo', undefined]])) =>
  readingFrom({ host: hostId('a-1'), mark, text, receivedAt: instant(5), interfaces })

describe('a reading', () => {
  test('of this machine has everything a kernel tells', () => {
    const reading = answer(sh(`${readingPrelude}${readingCommand(['lo'])} ${mark}\n`))
    assert.ok(reading.hostClock > 1_000)
    assert.ok(isKnown(reading.cpu) && reading.cpu.total > reading.cpu.idle)
    assert.ok(isKnown<number>(reading.memoryAvailable) && reading.memoryAvailable > 1e6)
    assert.ok(isKnown(reading.interfaces) && reading.interfaces[0]?.name === 'lo')
  })

  test('of a host without ss: everything but the flows, and why', () => {
    const { flows, cpu } = answer(sh(`${readingPrelude}ss() { return 127; }\n${readingCommand(['lo'])} ${mark}\n`))
    assert.deepEqual(flows, { why: 'ss is not installed (package iproute2)' })
    assert.ok(isKnown(cpu))
  })

  test('of a host on which ss is denied, whatever its exit code', () => {
    const says = 'Cannot open netlink socket: Operation not permitted'
    for (const code of ['0', '1', '255']) {
      const { flows } = answer(`${mark}:ss\n${says}\n${mark}:code ${code}`)
      assert.deepEqual(flows, { why: `ss is not permitted: ${says}` }, code)
    }
    assert.deepEqual(answer(`${mark}:ss\n${mark}:code 2`).flows, { why: 'ss failed with 2' })
  })

  test('of a host that prints nothing, or anything, is a reading of which nothing is known', () => {
    for (const text of [
      '',
      'Last login: yesterday',
      `${mark}:`,
      `${mark}:net\n\n${mark}:uptime`,
      '\0\u{feff}'.repeat(50),
    ]) {
      const reading = answer(text)
      assert.equal(reading.hostClock, 5, 'then the moment of the answer counts')
      for (const part of [reading.cpu, reading.interfaces, reading.pressure, reading.flows])
        assert.ok(!isKnown<object>(part), text)
    }
  })

  test('is not led astray by a mark it was not given', () => {
    const text = `${mark}:cpu\nother:net\nlo: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n${mark}:ss\n${mark}:code 0`
    const { interfaces, flows } = answer(text)
    assert.ok(!isKnown(interfaces))
    assert.deepEqual(flows, [])
  })

  test('a name that a shell would read as more than a name is never sent', () => {
    assert.equal(readingCommand(['eth0', "x';reboot;'", '$(id)', '-e', 'eth0.10']), "r 'eth0:\neth0.10:'")
  })
})

describe('what leads to the others', () => {
  test('is found on this machine', () => {
    const devices = sh(`${discoverPrelude}${discoverCommand(['localhost', '127.0.0.1', "a'b;c"])} ${mark}\n`)
    assert.ok(
      namesFrom(devices, mark)
        .get('localhost')
        ?.some(address => address === '127.0.0.1' || address === '::1'),
    )
    const routes = sh(`${readingPrelude}${discoverPrelude}${routesCommand(['127.0.0.1'])} ${mark}\n`)
    assert.deepEqual([...interfacesFrom(devices, mark, routes, mark).keys()], ['lo'])
  })

  const devices = `${mark}:devices
lo -
eth0 10000
eth1 0
tap1 -
br0 - eth0 tap1
bond0 - eth0 eth1
br0.7 - br0
ring - ring`
  for (const [what, routes, found] of [
    ['a bridge counts as the card below it', 'dev br0', ['eth0']],
    ['a VLAN on a bridge too', 'dev br0.7', ['eth0']],
    ['a bond is its cards', 'dev bond0', ['eth0', 'eth1']],
    ['a device below itself is itself', 'dev ring', ['ring']],
    ['a device nobody listed is itself', 'dev wg0', ['wg0']],
    ['without routes, every real card', '', ['eth0', 'eth1']],
  ] as const) {
    test(what, () => {
      const counted = interfacesFrom(devices, mark, `${mark}:routes\n10.0.0.2 ${routes} src 10.0.0.1`, mark)
      assert.deepEqual([...counted.keys()], found)
    })
  }

  test('its speed is believed of real cards that say one', () => {
    const counted = interfacesFrom(devices, mark, `${mark}:routes\nx dev bond0 y`, mark)
    assert.deepEqual([...counted.values()], [bytesPerSecond(1.25e9), undefined])
  })

  test('a machine without cards counts all but the loopback', () => {
    const bare = `${mark}:devices\nlo -\nveth0 -`
    assert.deepEqual([...interfacesFrom(bare, mark, '', mark).keys()], ['veth0'])
  })
})

test('an answer falls into its parts', () => {
  const sections = sectionsOf(`noise\n${mark}:a\n1\n2\n${mark}:b\n${mark}:code 3`, mark)
  assert.deepEqual(
    [...sections],
    [
      ['a', '1\n2'],
      ['b', ''],
      ['code', '3'],
    ],
  )
})
