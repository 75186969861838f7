/** A lab for a test: up before, down after, whatever happens between. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../src/config/load-config.ts'
import { type HostId, hostId, siteId, type VmId, vmId } from '../src/core/ids.ts'
import { bytesPerSecond, fraction, mebibytes, megabitsPerSecond, ms } from '../src/core/units.ts'
import { type Hosts, openHosts } from '../src/engine/open-hosts.ts'
import { realClock } from '../src/engine/real-clock.ts'
import { labDown } from '../src/lab/lab-down.ts'
import { configFile } from '../src/lab/lab-names.ts'
import { labExists, type LabRecord } from '../src/lab/lab-record.ts'
import type { LabGuest, LabSpec } from '../src/lab/lab-spec.ts'
import { plainGuest } from '../src/lab/lab-spec.ts'
import { labUp } from '../src/lab/lab-up.ts'
import { followGuests, type ProofOfLife } from '../src/lab/proof-of-life.ts'
import { insistOnRequirements } from '../src/lab/requirements.ts'

/** One image for all tests of a machine. */
export const testRoot = join(tmpdir(), 'lifeboat-test-labs')
export const clock = realClock()

/** Why no lab can be brought up here, in words; undefined where it can. */
export function whyNoLab(spec: Pick<LabSpec, 'driver' | 'ssh' | 'tls'> = {}): string | undefined {
  try {
    insistOnRequirements(undefined, spec)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll('\n', '; ') : String(error)
  }
}

export interface TestLab {
  readonly record: LabRecord
  readonly config: string
  readonly stateDir: string
  readonly hosts: Hosts
  readonly life: ProofOfLife
  down(): Promise<void>
}

/** Small guests: 80 MiB with 8 MiB of fill are some 60 MiB to send. */
export const smallGuest = (name: VmId, host: HostId): LabGuest => ({
  ...plainGuest(name, host, mebibytes(80)),
  fill: mebibytes(8),
})

export function smallSpec(
  name: string,
  guests: number,
  options: { readonly hosts?: number; readonly capacity?: number; readonly rtt?: number } = {},
): LabSpec {
  const perSite = options.hosts ?? 1
  const sites = [
    { id: siteId('a'), safe: false },
    { id: siteId('b'), safe: true },
  ]
  const hosts = sites.flatMap(({ id }) =>
    Array.from({ length: perSite }, (_, h) => ({ id: hostId(`${id}-${h + 1}`), site: id, memory: mebibytes(4096) })),
  )
  return {
    name,
    sites,
    hosts,
    links: [
      {
        between: [siteId('a'), siteId('b')],
        capacity: megabitsPerSecond(options.capacity ?? 400),
        rtt: ms(options.rtt ?? 10),
        loss: fraction(0),
      },
    ],
    guests: Array.from({ length: guests }, (_, v) => smallGuest(vmId(`vm-${v + 1}`), hostId(`a-${(v % perSite) + 1}`))),
  }
}

/** QEMU samples too few pages of a guest of the usual size here to meet a small hot set each time. */
export const contractGuest = (guest: LabGuest): LabGuest => ({
  ...guest,
  memory: mebibytes(152),
  fill: mebibytes(32),
  dirty: { hot: mebibytes(24), period: ms(1000), cold: bytesPerSecond(0) },
})

/** Ticks in the time that two take, and none twice. */
export async function livesOn(lab: TestLab, vm: VmId): Promise<boolean> {
  const before = lab.life.report(0).find(guest => guest.vm === vm)?.last ?? 0
  await clock.sleep(ms(2_200), AbortSignal.timeout(10_000))
  const now = lab.life.report(Number.POSITIVE_INFINITY).find(guest => guest.vm === vm)
  return now !== undefined && now.last > before && now.repeated === 0
}

export async function testLab(spec: LabSpec): Promise<TestLab> {
  const signal = AbortSignal.timeout(120_000)
  // A test that was killed leaves its lab behind; the next run of the same test takes it down first.
  if (labExists(testRoot, spec.name)) await labDown(testRoot, spec.name, clock, signal)
  const record = await labUp(spec, { root: testRoot, clock, onProgress: () => undefined }, signal)
  const config = configFile(testRoot, spec.name)
  const loaded = loadConfig(config, {})
  const hosts = openHosts(loaded.config, clock)
  const life = followGuests(testRoot, spec, clock)
  return {
    record,
    config,
    stateDir: loaded.stateDir,
    hosts,
    life,
    down: async () => {
      await life.stop()
      await hosts.close()
      await labDown(testRoot, spec.name, clock, AbortSignal.timeout(60_000))
    },
  }
}
