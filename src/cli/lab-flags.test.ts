import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Command, CommanderError } from 'commander'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { ConfigError } from '../config/yaml-file.ts'
import { hostId, siteId } from '../core/ids.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../core/units.ts'
import { insistOnSpec, type LabSpec, linkBetween } from '../lab/lab-spec.ts'
import { CliError, exitCode } from './exit.ts'
import { addLabFlags, type LabFlags, specFromFlags, specFromFolder } from './lab-flags.ts'

/** As a user writes them. @throws CommanderError for a flag that is wrong */
function flagsFrom(args: readonly string[]): LabFlags {
  const command = addLabFlags(new Command().exitOverride().configureOutput({ writeErr: () => undefined }), 'demo')
  return command.parse(args, { from: 'user' }).opts<LabFlags>()
}
const specFrom = (...args: readonly string[]): LabSpec => specFromFlags(flagsFrom(args))
const mistake = (...args: readonly string[]): string => {
  try {
    flagsFrom(args)
  } catch (error) {
    assert.ok(error instanceof CommanderError, String(error))
    return error.message
  }
  return assert.fail(`${args.join(' ')} was taken`)
}

test('without flags a lab has two sites of two hosts, twelve guests at home, and a WAN of 100 Mbit/s', () => {
  const spec = specFrom()
  assert.equal(spec.name, 'demo')
  assert.deepEqual(spec.sites, [
    { id: 'a', safe: false },
    { id: 'b', safe: true },
  ])
  assert.deepEqual(
    spec.hosts.map(({ id, site, memory }) => [id, site, memory]),
    [
      ['a-1', 'a', mebibytes(8192)],
      ['a-2', 'a', mebibytes(8192)],
      ['b-1', 'b', mebibytes(8192)],
      ['b-2', 'b', mebibytes(8192)],
    ],
  )
  assert.deepEqual(spec.links, [
    { between: ['a', 'b'], capacity: megabitsPerSecond(100), rtt: ms(40), loss: fraction(0) },
  ])
  assert.deepEqual(
    spec.guests.map(({ vm }) => vm),
    Array.from({ length: 12 }, (_, n) => `vm-${n + 1}`),
  )
  assert.deepEqual(
    spec.guests.slice(0, 3).map(({ host }) => host),
    ['a-1', 'a-2', 'a-1'],
  )
  insistOnSpec(spec)
})

test('what is given is what the lab has', () => {
  const given =
    '--name tiny --sites 3 --hosts 1 --vms 2 --memory 128MiB --host-memory 1GiB --fill 10MiB --wan 50Mbit/s --rtt 10ms --loss 0.1% --allow post-copy'
  const spec = specFrom(...given.split(' '))
  assert.deepEqual(
    [spec.name, spec.sites.length, spec.hosts.map(({ id }) => id).join(), spec.guests.length],
    ['tiny', 3, 'a-1,b-1,c-1', 2],
  )
  assert.equal(spec.hosts[0]?.memory, mebibytes(1024))
  for (const { capacity, rtt, loss } of spec.links)
    assert.deepEqual([capacity, rtt, loss], [megabitsPerSecond(50), ms(10), fraction(0.001)])
  for (const { host, memory, fill, dirty, disks, policy } of spec.guests) {
    assert.deepEqual([host, memory, fill, dirty, disks], ['a-1', mebibytes(128), mebibytes(10), undefined, []])
    assert.deepEqual(policy.allow, ['post-copy'])
  }
})

test('the first guests are the hot ones, and their fill leaves room for the hot set', () => {
  const spec = specFrom('--vms', '3', '--hot-vms', '2', '--hot', '4MiB', '--period', '500ms', '--cold', '1MiB/s')
  const dirty = { hot: mebibytes(4), period: ms(500), cold: bytesPerSecond(1_048_576) }
  assert.deepEqual(
    spec.guests.map(guest => [guest.dirty, guest.fill]),
    [
      [dirty, mebibytes(20)],
      [dirty, mebibytes(20)],
      [undefined, mebibytes(24)],
    ],
  )
  insistOnSpec(spec)
})

test('a disk is on shared storage only where that was said', () => {
  const disksOf = (...flags: string[]) => specFrom('--vms', '1', ...flags).guests[0]?.disks
  const local = { size: mebibytes(64), shared: false, write: undefined }
  assert.deepEqual(disksOf('--disk', '64MiB'), [local])
  assert.deepEqual(disksOf('--shared-disk', '64MiB'), [{ size: mebibytes(64), shared: true }])
  assert.equal(disksOf('--disk', '64MiB', '--shared-disk', '64MiB')?.length, 2)
  assert.deepEqual(disksOf('--disk', '64MiB', '--disk-write', '256KiB/s'), [{ ...local, write: 256 * 1024 }])
})

test('a lab without guests is a lab', () => {
  assert.deepEqual(specFrom('--vms', '0').guests, [])
})

test('a bare number is refused where a unit matters, with the flag’s name and what was expected', () => {
  for (const flag of ['--memory', '--host-memory', '--fill', '--hot', '--disk', '--shared-disk'])
    assert.match(mistake(flag, '64'), new RegExp(`'${flag} .*"64" has no unit; expected a size like 64MiB`), flag)
  for (const flag of ['--wan', '--cold']) assert.match(mistake(flag, '100'), new RegExp(`'${flag} .*a rate like`), flag)
  for (const flag of ['--rtt', '--period'])
    assert.match(mistake(flag, '40'), new RegExp(`'${flag} .*a time like`), flag)
  assert.match(mistake('--loss', '1'), /'--loss .*a percentage like/)
})

test('a count is a whole number from what makes sense', () => {
  for (const [flag, least] of [
    ['--sites', 1],
    ['--hosts', 1],
    ['--vms', 0],
    ['--hot-vms', 0],
  ] as const) {
    for (const text of [String(least - 1), '1.5', 'two', '1e3', '', '0x10'])
      assert.match(mistake(flag, text), new RegExp(`'${flag} .*whole number, ${least} or more`), `${flag} ${text}`)
    assert.equal(flagsFrom([flag, String(least)])[flag === '--hot-vms' ? 'hotVms' : (flag.slice(2) as 'vms')], least)
  }
})

test('a driver or a mode that this version does not have is refused with those it has', () => {
  assert.match(mistake('--driver', 'xen'), /qemu, libvirt/)
  assert.match(mistake('--allow', 'magic'), /post-copy/)
})

test('a WAN of no capacity is refused, and the reader told how to cut a link', () => {
  assert.throws(
    () => specFrom('--wan', '0Mbit/s'),
    (error: unknown) =>
      error instanceof CliError && error.code === exitCode.usage && error.message.includes('lifeboat lab cut'),
  )
})

test('sites are named a to z, then aa, ab, and so on, and no two alike', () => {
  const ids = specFrom('--sites', '30', '--hosts', '1').sites.map(({ id }) => id)
  assert.deepEqual(ids.slice(24), ['y', 'z', 'aa', 'ab', 'ac', 'ad'])
  assert.equal(new Set(ids).size, 30)
})

test('whatever counts are given, names are apart, guests live in the first site, and each pair of sites has a link', () => {
  const count = (least: number, most: number) => fc.integer({ min: least, max: most }).map(String)
  fc.assert(
    fc.property(count(1, 12), count(1, 5), count(0, 20), (sites, hosts, vms) => {
      const spec = specFrom('--sites', sites, '--hosts', hosts, '--vms', vms)
      const names = [...spec.hosts.map(({ id }) => id), ...spec.guests.map(({ vm }) => vm)]
      assert.equal(new Set(names).size, names.length)
      assert.equal(spec.hosts.length, Number(sites) * Number(hosts))
      const home = spec.hosts.filter(({ site }) => site === siteId('a')).map(({ id }) => id)
      for (const { host } of spec.guests) assert.ok(home.includes(host))
      const perHost = home.map(id => spec.guests.filter(({ host }) => host === id).length)
      assert.ok(Math.max(...perHost) - Math.min(...perHost) <= 1, 'spread evenly')
      for (const a of spec.sites)
        for (const b of spec.sites)
          assert.equal(spec.links.filter(link => linkBetween([link], a.id, b.id) !== undefined).length, a === b ? 0 : 1)
      insistOnSpec(spec)
    }),
    runs(100),
  )
})

test('a scenario folder is read with its own names; one that is not there, or is wrong, is told with its file', t => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-flags-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'inventory.yaml')
  assert.throws(
    () => specFromFolder('demo', folder),
    (error: unknown) => error instanceof CliError && error.code === exitCode.usage && error.message.includes(file),
  )
  writeFileSync(
    file,
    `sites:
  - name: sendai
    hosts: [{ name: sendai-1, memory: 1GiB }]
  - name: osaka
    safe: true
    hosts: [{ name: osaka-1, memory: 1GiB }]
vms:
  - { name: db, host: sendai-1, memory: 128MiB }
`,
  )
  const spec = specFromFolder('demo', folder)
  assert.deepEqual(
    spec.sites.map(({ id }) => id),
    ['sendai', 'osaka'],
  )
  assert.equal(spec.guests[0]?.host, hostId('sendai-1'))
  writeFileSync(file, 'sites:\n  - name: sendai\n    hosts: [{ name: sendai-1, memory: 1 }]\n')
  assert.throws(
    () => specFromFolder('demo', folder),
    (error: unknown) => error instanceof ConfigError && error.message.startsWith(`${file}:3:`),
  )
})

test('ways to libvirt hosts are asked for one by one, and none is the default', () => {
  const ways = (...args: string[]) => {
    const { driver, ssh, tls } = specFrom(...args)
    return [driver, ssh, tls]
  }
  assert.deepEqual(ways(), ['qemu', false, false])
  assert.deepEqual(ways('--driver', 'libvirt'), ['libvirt', false, false])
  assert.deepEqual(ways('--driver', 'libvirt', '--ssh'), ['libvirt', true, false])
  assert.deepEqual(ways('--driver=libvirt', '--ssh', '--tls'), ['libvirt', true, true])
})
