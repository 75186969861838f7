/** The probes of a libvirt host against daemons that have very much, refuse nearly all, speak nonsense, or fall silent. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hostId, siteId, vmId } from '../src/core/ids.ts'
import { defaultVmPolicy } from '../src/core/inventory/vm.ts'
import type { VmProfile } from '../src/core/preflight/vm-profile.ts'
import { bytes, mebibytes, ms, seconds } from '../src/core/units.ts'
import { realClock } from '../src/engine/real-clock.ts'
import type { Listing } from '../src/hypervisor/hypervisor.ts'
import { libvirtProbe } from '../src/hypervisor/libvirt/libvirt-probe.ts'
import type { PreflightProbe, ProbedHost } from '../src/hypervisor/preflight-probe.ts'
import type { ProcedureName } from '../src/libvirt/public.ts'
import { HostUnreachable } from '../src/remote/remote.ts'
import { withDeadline } from '../src/time/with-deadline.ts'
import { argsOf, type Asked, type Caller, errorBody, startDaemon } from './libvirt-scripted-daemon.ts'

const soon = () => AbortSignal.timeout(30_000)
const clock = realClock()
const about: ProbedHost = {
  id: hostId('a-1'),
  site: siteId('a'),
  memory: mebibytes(8192),
  address: '10.0.0.1',
  connectUri: 'qemu+tcp://10.0.0.1/system',
  remote: undefined,
  receives: true,
}
const unseen = { system: undefined, systemUnknown: 'not asked', kernel: undefined, interfaces: undefined }
const uuidOf = (n: number): Buffer => Buffer.from(n.toString(16).padStart(32, '0'), 'hex')
const domain = (n: number) => ({ name: `vm-${n}`, uuid: uuidOf(n), id: n })
const listing = (n: number): Listing => ({
  vm: {
    id: vmId(`vm-${n}`),
    host: about.id,
    memory: mebibytes(64),
    used: mebibytes(64),
    dirty: undefined,
    disks: [],
    value: 1,
    group: undefined,
    policy: defaultVmPolicy,
    paused: false,
  },
  presence: { state: 'running', migrating: false },
  own: {},
  unread: [],
})
const disk = (name: string): string =>
  `<disk type='file' device='disk'><source file='/srv/${name}'/><target dev='${name}'/></disk>`
const xmlOf = (name: string, disks = ''): string =>
  `<domain type='kvm'><name>${name}</name><memory>65536</memory><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom' check='full'><model>qemu64</model></cpu><devices>${disks}</devices></domain>`

type Answer = (caller: Caller, asked: Asked) => void

/** A daemon that answers a turn late, so that what is asked together is seen together. */
async function withDaemon(
  answer: Answer,
  use: (probe: PreflightProbe, most: () => number, asked: () => readonly string[]) => Promise<void>,
): Promise<void> {
  let open = 0
  let most = 0
  await using daemon = await startDaemon(async caller => {
    await caller.welcome()
    for (;;) {
      const asked = await caller.next()
      if (asked.name === 'connectDomainEventCallbackRegisterAny') {
        caller.returns('connectDomainEventCallbackRegisterAny', asked, { callbackId: 1 })
        continue
      }
      open += 1
      most = Math.max(most, open)
      setTimeout(() => {
        open -= 1
        answer(caller, asked)
      }, 1)
    }
  }, soon())
  const probe = libvirtProbe(daemon.uri, about, clock)
  try {
    await use(
      probe,
      () => most,
      () => daemon.asked.flatMap(({ name }) => name ?? []),
    )
  } finally {
    await probe.close()
  }
}

const refusal = (code: number, text: string) => errorBody(code, 10, text)
const noSupport: Answer = (caller, asked) => caller.refuses(asked, refusal(3, 'this function is not supported'))

describe('a host with a thousand domains', () => {
  const count = 1_000
  const answers: Partial<Record<ProcedureName, Answer>> = {
    connectListAllDomains: (caller, asked) => {
      const { flags } = argsOf('connectListAllDomains', asked)
      const all = Array.from({ length: count }, (_, n) => domain(n + 1))
      // Active or persistent: all; with autostart, snapshots, checkpoints: the first.
      const domains = flags === 1 || flags === 4 ? all : all.slice(0, 1)
      caller.returns('connectListAllDomains', asked, { domains, ret: domains.length })
    },
    domainGetXmlDesc: (caller, asked) => {
      const { dom } = argsOf('domainGetXmlDesc', asked)
      const disks = Array.from({ length: 8 }, (_, n) => disk(`vd${n}`)).join('')
      caller.returns('domainGetXmlDesc', asked, { xml: xmlOf(dom.name, disks) })
    },
    domainGetBlockInfo: (caller, asked) => {
      caller.returns('domainGetBlockInfo', asked, { allocation: 10, capacity: 20, physical: 10 })
    },
    domainSnapshotNum: (caller, asked) => {
      caller.returns('domainSnapshotNum', asked, { num: 3 })
    },
    domainListAllCheckpoints: (caller, asked) => {
      caller.returns('domainListAllCheckpoints', asked, { checkpoints: [], ret: 2 })
    },
    domainMigrateBegin3Params: (caller, asked) => {
      assert.equal(argsOf('domainMigrateBegin3Params', asked).flags & (1 << 8), 0, 'VIR_MIGRATE_CHANGE_PROTECTION')
      caller.returns('domainMigrateBegin3Params', asked, { cookieOut: Buffer.alloc(0), xml: '' })
    },
    connectGetDomainCapabilities: (caller, asked) => {
      caller.returns('connectGetDomainCapabilities', asked, { capabilities: '<domainCapabilities/>' })
    },
    connectCompareHypervisorCpu: (caller, asked) => {
      caller.returns('connectCompareHypervisorCpu', asked, { result: 2 })
    },
  }
  const answer: Answer = (caller, asked) =>
    ((asked.name === undefined ? undefined : answers[asked.name]) ?? noSupport)(caller, asked)

  test('is asked a few things at a time, and alike VMs are asked about once', async () => {
    await withDaemon(answer, async (probe, most, asked) => {
      const vms = await probe.vms(
        Array.from({ length: count }, (_, n) => listing(n + 1)),
        soon(),
      )
      assert.equal(vms.length, count)
      assert.deepEqual([vms[0]?.snapshots, vms[0]?.checkpoints, vms[0]?.autostart], [3, 2, true])
      assert.deepEqual([vms[1]?.snapshots, vms[1]?.checkpoints, vms[1]?.autostart], [0, 0, false])
      assert.equal(vms[999]?.disks[7]?.size, bytes(20))
      assert.ok(vms.every(({ rehearsal }) => rehearsal?.allowed === true))
      assert.ok(most() <= 25, `${most()} at a time`)
      const answers = await probe.answers(vms, soon())
      assert.equal(answers.length, count)
      assert.ok(answers.every(({ machine, cpu }) => machine.answer === 'supported' && cpu.answer === 'superset'))
      const times = (name: string): number => asked().filter(each => each === name).length
      assert.equal(times('connectGetDomainCapabilities'), 1)
      assert.equal(times('connectCompareHypervisorCpu'), 1)
      assert.equal(times('connectListAllDomains'), 5)
    })
  })
})

describe('a daemon that', () => {
  const basic: Answer = (caller, asked) => {
    if (asked.name === 'connectGetLibVersion') caller.returns('connectGetLibVersion', asked, { version: 9_000_000 })
    else if (asked.name === 'connectListAllDomains')
      caller.returns('connectListAllDomains', asked, { domains: [domain(7)], ret: 1 })
    else noSupport(caller, asked)
  }

  test('has drivers for nothing is one of which nothing is known', async () => {
    await withDaemon(basic, async probe => {
      const host = await probe.host(unseen, soon())
      const { networks, pools, filters, secrets, interfaces, features, cpu, uuid, hugepages } = host
      assert.deepEqual(
        [networks, pools, filters, secrets, interfaces, features, cpu, uuid],
        [undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined],
      )
      assert.deepEqual(hugepages, [])
      assert.deepEqual(host.domains, [{ name: 'vm-7', uuid: '00000000-0000-0000-0000-000000000007', active: true }])
    })
  })

  test('speaks no XML: its VM is not forgotten, and the reason is told', async () => {
    const nonsense: Answer = (caller, asked) =>
      asked.name === 'domainGetXmlDesc'
        ? caller.returns('domainGetXmlDesc', asked, { xml: '<domain' })
        : basic(caller, asked)
    await withDaemon(nonsense, async probe => {
      const [vm] = await probe.vms([listing(7)], soon())
      assert.ok(vm?.rehearsal?.allowed === false)
      assert.match(vm.rehearsal.said, /no XML/)
    })
  })

  test('has lost a VM meanwhile: it is left out', async () => {
    const gone: Answer = (caller, asked) =>
      asked.name === 'domainGetXmlDesc' ? caller.refuses(asked, refusal(42, 'Domain not found')) : basic(caller, asked)
    await withDaemon(gone, async probe => assert.deepEqual(await probe.vms([listing(7), listing(8)], soon()), []))
  })

  test('refuses to begin a migration is quoted', async () => {
    const refusing: Answer = (caller, asked) => {
      if (asked.name === 'domainGetXmlDesc') caller.returns('domainGetXmlDesc', asked, { xml: xmlOf('vm-7') })
      else if (asked.name === 'domainMigrateBegin3Params')
        caller.refuses(asked, refusal(55, 'cannot migrate domain: a device is not migratable'))
      else basic(caller, asked)
    }
    await withDaemon(refusing, async probe => {
      const [vm] = await probe.vms([listing(7)], soon())
      assert.deepEqual(vm?.rehearsal, {
        allowed: false,
        code: 55,
        said: 'cannot migrate domain: a device is not migratable',
      })
    })
  })

  const vm: VmProfile = {
    ...listing(7).vm,
    name: 'vm-7',
    uuid: 'x',
    state: 'running',
    hugepages: undefined,
    machine: { emulator: '/usr/bin/q', arch: 'x86_64', type: 'pc', acceleration: 'kvm' },
    cpu: { mode: 'custom', model: 'm', check: 'full', features: [], xml: '<cpu/>', tscFrequency: false },
    disks: [],
    nics: [],
    devices: [],
    files: [{ what: 'medium', path: '/srv/iso' }],
    models: [],
    secrets: [],
    persistent: true,
    autostart: false,
    snapshots: 0,
    checkpoints: 0,
    rehearsal: undefined,
  }
  test('refuses a machine and a CPU, and knows no such file', async () => {
    const refusing: Answer = (caller, asked) => {
      if (asked.name === 'connectGetDomainCapabilities')
        caller.refuses(asked, refusal(8, "the accel 'kvm' is not supported by '/usr/bin/q' on this host"))
      else if (asked.name === 'connectCompareHypervisorCpu')
        caller.refuses(
          asked,
          refusal(91, 'the CPU is incompatible with host CPU: Host CPU does not provide required features: avx2'),
        )
      else if (asked.name === 'storageVolLookupByPath') caller.refuses(asked, refusal(50, 'no storage vol'))
      else basic(caller, asked)
    }
    await withDaemon(refusing, async probe => {
      const [answer] = await probe.answers([vm], soon())
      assert.deepEqual(answer?.machine, {
        answer: 'refused',
        said: "the accel 'kvm' is not supported by '/usr/bin/q' on this host",
      })
      assert.deepEqual(answer?.cpu, {
        answer: 'incompatible',
        said: 'Host CPU does not provide required features: avx2',
      })
      // In no pool: that is not to say that it is not there.
      assert.deepEqual([answer?.present.size, answer?.absent.size], [0, 0])
    })
  })

  test('cannot compare with what its QEMU makes of the CPU is asked about the host’s', async () => {
    const older: Answer = (caller, asked) =>
      asked.name === 'connectCompareCpu'
        ? caller.returns('connectCompareCpu', asked, { result: 0 })
        : basic(caller, asked)
    await withDaemon(older, async probe => {
      const [answer] = await probe.answers([vm], soon())
      assert.deepEqual(answer?.cpu, { answer: 'incompatible', said: 'features are missing' })
    })
  })

  test('is too old to compare is no obstacle', async () => {
    await withDaemon(basic, async probe => {
      const [answer] = await probe.answers([vm], soon())
      assert.deepEqual([answer?.machine.answer, answer?.cpu.answer], ['unknown', 'unknown'])
    })
  })

  test('falls silent is waited for as long as the deadline says', async () => {
    await withDaemon(
      () => undefined,
      async probe => {
        const began = clock.now()
        await assert.rejects(
          withDeadline(clock, ms(200), 'host a-1', soon(), inner => probe.host(unseen, inner)),
          /no answer within 200 ms: host a-1/,
        )
        assert.ok(clock.now() - began < seconds(5))
      },
    )
  })

  test('hangs up half-way is unreachable, not without VMs', async () => {
    await withDaemon(
      caller => caller.leave(),
      async probe => assert.rejects(probe.host(unseen, soon()), HostUnreachable),
    )
  })
})
