/**
 * Guests with disks of their own under libvirt: `lifeboat evacuate --policy sequential` against a loop of
 * `virsh migrate --live --p2p --copy-storage-all`, in turns, on one lab. Both do the same work: each guest's disk and memory go over, it is
 * defined at its target and no more at its source. Before each turn the target's folder of disks is emptied, after each the guests say
 * whether they live, and what they read of their disks.
 */
import { execFile } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { hostId, siteId } from '../src/core/ids.ts'
import { mebibytes, seconds, showTime } from '../src/core/units.ts'
import { hostAddress, libvirtSocket, vmsFolder } from '../src/lab/lab-names.ts'
import { hostDisks } from '../src/lab/make-disks.ts'
import { insistOnRequirements } from '../src/lab/requirements.ts'
import { smallSpec, testLab, testRoot, type TestLab } from '../test/lab-fixture.ts'
import { reportFrom, startLifeboat } from '../test/run-lifeboat.ts'
import { type Bench, median, percent } from './result.ts'

const name = 'bench-dsk'
const guests = 10
const diskSize = mebibytes(64)
/** Megabits per second: slow enough that the path, not this machine, is what all wait for. */
const capacity = 200
/** A guest's disk is read whole in this, many at a time. @unit ms */
const checkEvery = seconds(60)
const allowed = 0.03
const sides = ['a', 'b'] as const
type Side = (typeof sides)[number]
/** Each goes there and back, in an order in which neither is always the first. */
const turns = ['virsh', 'lifeboat', 'lifeboat', 'virsh'] as const
type Contender = (typeof turns)[number]

interface Turn {
  /** From the start of the first process to the end of the last. @unit ms */
  readonly took: number
  /** What the report calls makespan, where there is one. @unit ms */
  readonly makespan: number | undefined
}

export const libvirtDisks: Bench = {
  question: `${guests} guests with disks of ${diskSize / 1_048_576} MiB under libvirt, one after the other, ${turns.length / 2} turns each`,
  async run(onProgress) {
    insistOnRequirements(undefined, { driver: 'libvirt' })
    const spec = smallSpec(name, guests, { capacity, rtt: 20 })
    const own = { size: diskSize, shared: false }
    const withDisks = spec.guests.map(guest => ({ ...guest, disks: [own], checkDisks: checkEvery }))
    onProgress(`${guests} guests fill their disks`)
    const lab = await testLab({ ...spec, driver: 'libvirt', guests: withDisks })
    try {
      const took = new Map<Contender, Turn[]>([
        ['virsh', []],
        ['lifeboat', []],
      ])
      let [from, to]: readonly [Side, Side] = ['a', 'b']
      for (const contender of turns) {
        await settled(lab, to)
        const turn = contender === 'virsh' ? await loop(from, to) : await evacuation(lab, from, to)
        await insistOnLife(lab, to)
        onProgress(`${contender}, ${from} to ${to}: ${showTime(turn.took)}`)
        took.get(contender)?.push(turn)
        ;[from, to] = [to, from]
      }
      return resultOf(took)
    } finally {
      await lab.down()
    }
  },
}

/** What lies at the target is another turn's; without it both have to make room. */
async function settled(lab: TestLab, to: Side): Promise<void> {
  const folder = hostDisks(vmsFolder(testRoot, name, hostId(`${to}-1`)))
  for (const file of readdirSync(folder)) rmSync(join(folder, file))
  await virsh(to, 'pool-refresh', 'disks')
  // A tombstone would make the one start with less, or the other with more.
  const names = await virsh(to, 'list', '--all', '--name')
  const defined = names.split('\n')
  for (const { vm } of lab.record.spec.guests)
    if (defined.includes(`${vm}.evacuated`)) await virsh(to, 'undefine', `${vm}.evacuated`)
  await sleep(2_000)
}

const run = promisify(execFile)
async function virsh(side: Side, ...args: readonly string[]): Promise<string> {
  const socket = libvirtSocket(testRoot, name, hostId(`${side}-1`))
  return (await run('virsh', ['-q', '-c', `qemu+unix:///system?socket=${socket}`, ...args])).stdout
}

async function loop(from: Side, to: Side): Promise<Turn> {
  const address = hostAddress(sides.indexOf(to) + 1, 1)
  const options = ['--live', '--p2p', '--copy-storage-all', '--persistent', '--undefinesource', '--abort-on-error']
  const began = performance.now()
  for (let n = 1; n <= guests; n += 1)
    await virsh(from, 'migrate', ...options, `vm-${n}`, `qemu+tcp://${address}/system`, `tcp://${address}`)
  return { took: performance.now() - began, makespan: undefined }
}

async function evacuation(lab: TestLab, from: Side, to: Side): Promise<Turn> {
  const began = performance.now()
  const args = ['evacuate', siteId(from), '--to', siteId(to), '--policy', 'sequential', '--yes', '-o', 'json']
  const { code, stdout, stderr } = await startLifeboat(['--config', lab.config, ...args]).done
  const took = performance.now() - began
  if (code !== 0) throw new Error(`the evacuation ended with ${code}: ${stderr}`)
  const { summary } = reportFrom(stdout)
  if (summary.safe !== guests) throw new Error(`${summary.safe} of ${guests} are safe`)
  return { took, makespan: summary.makespanMs ?? undefined }
}

/** Alive, at the target, and what each read of its disk is what it had written. */
async function insistOnLife(lab: TestLab, at: Side): Promise<void> {
  await sleep(3_000)
  for (const guest of lab.life.report(Number.POSITIVE_INFINITY)) {
    if (guest.verdict !== 'alive' || guest.host !== `${at}-1`)
      throw new Error(`${guest.vm} is ${guest.verdict} at ${guest.host}: ${guest.errors.join('; ')}`)
    if (guest.disks.size !== 1) throw new Error(`${guest.vm} has read ${guest.disks.size} disks`)
  }
}

function resultOf(took: ReadonlyMap<Contender, readonly Turn[]>): Awaited<ReturnType<Bench['run']>> {
  const times = (contender: Contender): readonly number[] => (took.get(contender) ?? []).map(turn => turn.took)
  const [loops, runs] = [median(times('virsh')), median(times('lifeboat'))]
  const makespans = (took.get('lifeboat') ?? []).flatMap(({ makespan }) => makespan ?? [])
  const right = 'right' as const
  const row = (title: string, values: readonly number[]): readonly string[] => [
    title,
    values.map(showed).join(', '),
    showed(median(values)),
    percent(median(values) / loops - 1),
  ]
  return {
    columns: [
      { title: '' },
      { title: 'each turn', align: right },
      { title: 'median', align: right },
      { title: 'beside the loop', align: right },
    ],
    rows: [
      row('virsh in a loop, from its start to its end', times('virsh')),
      row('lifeboat, from its start to its end', times('lifeboat')),
      row('lifeboat, makespan by its report', makespans),
    ],
    figures: {
      guests,
      diskMiB: diskSize / 1_048_576,
      capacityMbit: capacity,
      virshMs: times('virsh'),
      lifeboatMs: times('lifeboat'),
      lifeboatMakespanMs: makespans,
      lifeboatOverVirsh: runs / loops - 1,
    },
    verdict: `asked: within ${percent(allowed)} of the loop; reached: ${percent(runs / loops - 1)} (below zero is faster)`,
  }
}
const showed = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
