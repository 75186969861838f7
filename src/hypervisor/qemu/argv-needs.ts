/** What a VM's QEMU command line asks of its host (qemu(1)). Reads what has a bearing on a move; nothing else. */
import type { CpuNeed, MachineNeed, VmDevice, VmFile } from '../../core/preflight/vm-profile.ts'

export interface ArgvNeeds {
  readonly machine: MachineNeed
  readonly cpu: CpuNeed | undefined
  readonly devices: readonly VmDevice[]
  readonly files: readonly VmFile[]
  /** Bridges its network cards are on, which QEMU's helper looks for. */
  readonly bridges: readonly string[]
}

export function needsOfArgv(argv: readonly string[]): ArgvNeeds {
  const after = (...names: readonly string[]): readonly string[] =>
    argv.flatMap((word, at) => (names.includes(word.replace(/^--/, '-')) ? [argv[at + 1] ?? ''] : []))
  const machineText = after('-machine', '-M').at(-1)
  const machine = optionsOf(machineText, 'type')
  const accelerators = [...after('-accel'), ...(machine.get('accel')?.split(':') ?? [])]
  const kvm = argv.includes('-enable-kvm') || accelerators.some(text => /^kvm\b/.test(text))
  const fallsBack = accelerators.some(text => /\btcg\b/.test(text))
  return {
    machine: {
      emulator: argv[0],
      arch: /qemu-system-(\w+)$/.exec(argv[0] ?? '')?.[1],
      type: machine.get('type'),
      acceleration: kvm && !fallsBack ? 'kvm' : kvm ? undefined : 'qemu',
    },
    cpu: cpuOf(after('-cpu').at(-1)),
    devices: [...after('-device').flatMap(hostDevice), ...after('-fsdev', '-virtfs').flatMap(sharedFolder)],
    files: [
      ...named('kernel', after('-kernel')),
      ...named('initrd', after('-initrd')),
      ...named('firmware', after('-bios')),
    ],
    bridges: after('-netdev', '-nic', '-net')
      .map(text => optionsOf(text, 'type'))
      .filter(options => options.get('type') === 'bridge')
      .map(options => options.get('br') ?? 'br0'),
  }
}

/** `a,b=c,d=e`: the first may go without its name. */
function optionsOf(text: string | undefined, first: string): ReadonlyMap<string, string> {
  if (text === undefined) return new Map()
  return new Map(
    text.split(',').map((part, at) => {
      const equals = part.indexOf('=')
      if (equals < 0) return at === 0 ? ([first, part] as const) : ([part, 'on'] as const)
      return [part.slice(0, equals), part.slice(equals + 1)] as const
    }),
  )
}

function cpuOf(text: string | undefined): CpuNeed | undefined {
  if (text === undefined) return undefined
  const [model = '', ...rest] = text.split(',')
  const features = rest
    .flatMap(part => (/^\+(.+)$/.exec(part) ?? /^(.+)=on$/.exec(part))?.[1] ?? [])
    .filter(name => name !== 'enforce' && name !== 'check')
  return {
    mode: model === 'host' ? 'host-passthrough' : model === 'max' ? 'maximum' : 'custom',
    model,
    check: /\benforce\b/.test(text) ? 'full' : 'none',
    features,
    xml: text,
    tscFrequency: rest.some(part => part.startsWith('tsc-frequency=')),
  }
}

function hostDevice(text: string): readonly VmDevice[] {
  const options = optionsOf(text, 'driver')
  const driver = options.get('driver') ?? ''
  const type = { 'vfio-pci': 'pci', 'usb-host': 'usb', 'scsi-generic': 'scsi' }[driver]
  if (type !== undefined)
    return [
      {
        kind: 'hostdev',
        type,
        address: options.get('host') ?? options.get('sysfsdev') ?? options.get('hostaddr') ?? text,
        teamed: options.has('failover_pair_id'),
      },
    ]
  if (driver.startsWith('vhost-user-fs'))
    return [{ kind: 'filesystem', driver: 'virtiofs', tag: options.get('tag') ?? 'unnamed' }]
  if (driver.startsWith('ivshmem'))
    return [
      {
        kind: 'shmem',
        name: options.get('id') ?? driver,
        model: driver,
        role: options.get('master') === 'on' ? 'master' : 'peer',
      },
    ]
  return []
}

const sharedFolder = (text: string): readonly VmDevice[] => {
  const options = optionsOf(text, 'fsdriver')
  return [{ kind: 'filesystem', driver: '9p', tag: options.get('mount_tag') ?? options.get('id') ?? 'unnamed' }]
}

const named = (what: VmFile['what'], paths: readonly string[]): readonly VmFile[] =>
  paths.filter(path => path.startsWith('/')).map(path => ({ what, path }))
