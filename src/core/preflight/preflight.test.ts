import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hostId, siteId, vmId } from '../ids.ts'
import { instant } from '../instant.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { defaultVmPolicy, type Vm } from '../inventory/vm.ts'
import { bytes, mebibytes, megabitsPerSecond, ms } from '../units.ts'
import { preflight, type PreflightFacts, type VmVerdict } from './preflight.ts'
import { sampleAnswer, sampleHost, sampleLink, sampleSystem, sampleVm } from './sample-profiles.ts'
import { showSummary, summaryOf } from './summary.ts'
import type { VmProfile } from './vm-profile.ts'

const [a1, b1, b2] = [hostId('a-1'), hostId('b-1'), hostId('b-2')]

const inventoryVm = (profile: VmProfile, change: Partial<Vm> = {}): Vm => ({
  id: profile.id,
  host: profile.host,
  memory: profile.memory,
  used: profile.memory,
  dirty: undefined,
  disks: [],
  value: 1,
  group: undefined,
  policy: defaultVmPolicy,
  paused: profile.state === 'paused',
  ...change,
})

const snapshotOf = (vms: readonly Vm[]): Snapshot => ({
  takenAt: instant(0),
  sites: [
    { id: siteId('a'), safe: false, uplink: undefined },
    { id: siteId('b'), safe: true, uplink: undefined },
  ],
  hosts: [a1, b1, b2].map(id => ({
    id,
    site: siteId(id.slice(0, 1)),
    memory: mebibytes(8192),
    nic: undefined,
    cpu: undefined,
  })),
  paths: [],
  vms,
  unreachable: [],
  power: [],
  deadline: undefined,
})

function factsWith(vms: readonly VmProfile[], change: Partial<PreflightFacts> = {}): PreflightFacts {
  return {
    snapshot: snapshotOf(vms.map(vm => inventoryVm(vm))),
    endangered: [siteId('a')],
    targets: [siteId('b')],
    hosts: [sampleHost('a-1'), sampleHost('b-1'), sampleHost('b-2')],
    silent: [],
    vms,
    links: [sampleLink('a-1', 'b-1'), sampleLink('a-1', 'b-2')],
    answers: vms.flatMap(({ id }) => ['b-1', 'b-2'].map(target => sampleAnswer(id, target))),
    ...change,
  }
}

const only = (facts: PreflightFacts): VmVerdict => {
  const [verdict] = preflight(facts).vms
  assert.ok(verdict !== undefined)
  return verdict
}
const rules = ({ findings, targets }: VmVerdict): readonly string[] =>
  [...findings, ...targets.flatMap(each => each.findings)].map(({ reason }) => reason.rule)

describe('one VM', () => {
  test('goes where it is taken; what speaks against the other target is said', () => {
    const facts = factsWith([sampleVm('web-1')], {
      answers: [
        sampleAnswer('web-1', 'b-1', { cpu: { answer: 'incompatible', said: 'avx2' } }),
        sampleAnswer('web-1', 'b-2'),
      ],
    })
    const verdict = only(facts)
    assert.equal(verdict.verdict, 'can-go')
    assert.equal(verdict.place, 'b-2')
    assert.deepEqual(
      verdict.targets.map(({ takesIt }) => takesIt),
      [false, true],
    )
    assert.deepEqual(rules(verdict), ['cpu-incompatible'])
  })

  test('cannot go when every target blocks it, each for its own reason', () => {
    const facts = factsWith([sampleVm('web-1')], {
      answers: [
        sampleAnswer('web-1', 'b-1', { cpu: { answer: 'incompatible', said: 'avx2' } }),
        sampleAnswer('web-1', 'b-2', { machine: { answer: 'refused', said: 'the machine is not supported' } }),
      ],
    })
    const verdict = only(facts)
    assert.equal(verdict.verdict, 'cannot')
    assert.equal(verdict.place, undefined)
    assert.deepEqual(rules(verdict), ['cpu-incompatible', 'machine-type'])
  })

  test('a reason of its own is a reason at every target', () => {
    const verdict = only(factsWith([sampleVm('web-1', { snapshots: 1 })]))
    assert.equal(verdict.verdict, 'cannot')
    assert.ok(verdict.targets.every(({ takesIt }) => !takesIt))
  })

  test('a way that is closed takes its target away, the rest stays', () => {
    const links = [sampleLink('a-1', 'b-1', { daemon: { port: 22, reached: 'silent' } }), sampleLink('a-1', 'b-2')]
    const found = preflight(factsWith([sampleVm('web-1')], { links }))
    assert.equal(found.vms[0]?.place, 'b-2')
    assert.deepEqual(
      found.findings.map(({ reason, host, target }) => [reason.rule, host, target]),
      [['daemon-unreachable', 'a-1', 'b-1']],
    )
  })

  test('a target that would tell others a wrong address takes nobody', () => {
    const hosts = [sampleHost('a-1'), sampleHost('b-1', { address: 'localhost' }), sampleHost('b-2')]
    assert.equal(only(factsWith([sampleVm('web-1')], { hosts })).place, 'b-2')
  })

  test('stays as its policy says, which is no failure', () => {
    const vm = sampleVm('web-1')
    const snapshot = snapshotOf([inventoryVm(vm, { policy: { ...defaultVmPolicy, action: 'stay' } })])
    const found = preflight(factsWith([vm], { snapshot }))
    assert.equal(found.vms[0]?.verdict, 'stays')
    assert.equal(summaryOf(found, [a1]).allCanGo, true)
  })

  test('that somebody paused cannot go, and the reason is told once', () => {
    const verdict = only(factsWith([sampleVm('web-1', { state: 'paused' })]))
    assert.equal(verdict.verdict, 'cannot')
    assert.deepEqual(rules(verdict), ['paused'])
  })

  test('whose name is used twice cannot go', () => {
    const vm = sampleVm('web-1')
    const snapshot = snapshotOf([inventoryVm(vm), { ...inventoryVm(vm), host: b2 }])
    const verdict = only(factsWith([vm], { snapshot }))
    assert.equal(verdict.verdict, 'cannot')
    assert.deepEqual(rules(verdict), ['name-twice'])
  })
})

describe('all together', () => {
  const many = Array.from({ length: 5 }, (_, n) => sampleVm(`vm-${n + 1}`, { memory: mebibytes(4096) }))

  test('memory is counted for all of them: each would fit alone, the last one does not', () => {
    const found = preflight(factsWith(many))
    const verdicts = found.vms.map(({ verdict }) => verdict)
    assert.deepEqual(verdicts, ['can-go', 'can-go', 'can-go', 'can-go', 'cannot'])
    assert.deepEqual(found.vms.slice(4).flatMap(rules), ['memory', 'memory'])
    const [finding] = found.vms[4]?.targets.flatMap(({ findings }) => findings) ?? []
    assert.ok(finding?.reason.rule === 'memory')
    assert.equal(finding.reason.free, 0)
    const summary = summaryOf(found, [a1])
    assert.equal(summary.allCanGo, false)
    assert.equal(showSummary(summary), '4 of 5 VMs can go; 1 cannot: vm-5')
  })

  test('one that only one host takes does not take the place of two', () => {
    const answers = many.flatMap(({ id }) => [
      sampleAnswer(id, 'b-1'),
      sampleAnswer(id, 'b-2', { cpu: { answer: 'incompatible', said: 'avx2' } }),
    ])
    const found = preflight(factsWith(many, { answers }))
    assert.equal(found.vms.filter(({ verdict }) => verdict === 'can-go').length, 2)
    assert.ok(found.vms.every(({ place }) => place === undefined || place === b1))
  })

  test('a target that is silent is told, and the other takes what it can', () => {
    const facts = factsWith([sampleVm('web-1')], {
      hosts: [sampleHost('a-1'), sampleHost('b-2')],
      silent: [{ id: b1, site: siteId('b'), why: 'connect ECONNREFUSED' }],
    })
    const silent = { ...facts, snapshot: { ...facts.snapshot, unreachable: [{ host: b1, why: 'x' }] } }
    const found = preflight(silent)
    assert.equal(found.vms[0]?.place, 'b-2')
    assert.equal(summaryOf(found, [a1]).allCanGo, true)
  })

  test('with no target left nobody can go', () => {
    const found = preflight(
      factsWith([sampleVm('web-1')], {
        hosts: [sampleHost('a-1')],
        silent: [b1, b2].map(id => ({ id, site: siteId('b'), why: 'off' })),
      }),
    )
    assert.equal(found.vms[0]?.verdict, 'cannot')
  })

  test('a source that fell silent: its VMs are not forgotten, and nothing is promised', () => {
    const vm = sampleVm('web-1')
    const facts = factsWith([vm], {
      hosts: [sampleHost('b-1'), sampleHost('b-2')],
      silent: [{ id: a1, site: siteId('a'), why: 'no answer within 30.0 s' }],
      vms: [],
    })
    const found = preflight(facts)
    assert.deepEqual(
      found.vms.map(({ vm: id, verdict }) => [id, verdict]),
      [[vmId('web-1'), 'cannot']],
    )
    assert.deepEqual(summaryOf(found, [a1]).silent, [a1])
    assert.match(showSummary(summaryOf(found, [a1])), /not known what runs on a-1/)
  })

  describe('what stands unsent in sockets is told once for a host', () => {
    const system = { ...sampleSystem, tcpUnsentMost: bytes(4_294_967_295) }
    const hosts = [sampleHost('a-1', { system }), sampleHost('b-1', { system }), sampleHost('b-2', { system })]
    const unstated = { rtt: undefined, loss: undefined, perFlow: undefined, background: undefined }
    const found = (change: Partial<Snapshot>, vm: Partial<Vm> = {}) => {
      const vms = many.slice(0, 3)
      const snapshot = { ...snapshotOf(vms.map(each => inventoryVm(each, vm))), ...change }
      const { findings } = preflight(factsWith(vms, { snapshot, hosts }))
      return findings.map(({ reason, host, target, severity }) => [reason.rule, host, target, severity])
    }
    const path = (rate: number | undefined) => ({
      paths: [
        {
          from: siteId('a'),
          to: siteId('b'),
          capacity: rate === undefined ? undefined : megabitsPerSecond(rate),
          ...unstated,
        },
      ],
    })

    test('of those that send, not of those that receive', () =>
      assert.deepEqual(found(path(30)), [['unsent-bytes', a1, undefined, 'note']]))
    test('not on a path that is fast', () => assert.deepEqual(found(path(1_000)), []))
    test('a narrow uplink is slow too', () => {
      const sites = [
        { id: siteId('a'), safe: false, uplink: megabitsPerSecond(50) },
        { id: siteId('b'), safe: true, uplink: undefined },
      ]
      assert.deepEqual(found({ ...path(undefined), sites }), [['unsent-bytes', a1, undefined, 'note']])
    })
    test('that a card is fast says nothing of the path', () => {
      const cards = snapshotOf([]).hosts.map(host => ({ ...host, nic: megabitsPerSecond(10_000) }))
      assert.deepEqual(found({ ...path(undefined), hosts: cards }), [['unsent-unknown', a1, undefined, 'note']])
    })
    test('where guests may stand still for long, or stay, it does not matter', () => {
      assert.deepEqual(found(path(30), { policy: { ...defaultVmPolicy, maxDowntime: ms(10_000) } }), [])
      assert.deepEqual(found(path(30), { policy: { ...defaultVmPolicy, action: 'stay' } }), [])
    })
  })

  test('a thousand VMs and twenty targets take a moment', () => {
    const vms = Array.from({ length: 1_000 }, (_, n) => sampleVm(`vm-${n}`, { memory: mebibytes(64) }))
    const targets = Array.from({ length: 20 }, (_, n) => sampleHost(`b-${n + 1}`))
    const base = factsWith(vms)
    const facts: PreflightFacts = {
      ...base,
      hosts: [sampleHost('a-1'), ...targets],
      snapshot: {
        ...base.snapshot,
        hosts: [
          ...base.snapshot.hosts.filter(({ id }) => id === a1),
          ...targets.map(({ id, site }) => ({ id, site, memory: mebibytes(8192), nic: undefined, cpu: undefined })),
        ],
      },
      answers: vms.flatMap(({ id }) => targets.map(target => sampleAnswer(id, target.id))),
    }
    const began = performance.now()
    const found = preflight(facts)
    assert.ok(found.vms.every(({ verdict }) => verdict === 'can-go'))
    assert.ok(performance.now() - began < 5_000)
  })
})
