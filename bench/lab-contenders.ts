/** Who brings the guests of a lab over to its other site: a policy of Lifeboat, or one of the two loops people type. */
import { spawn } from 'node:child_process'
import type { HostId, SiteId, VmId } from '../src/core/ids.ts'
import type { LabDriver } from '../src/lab/lab-spec.ts'
import type { TestLab } from '../test/lab-fixture.ts'
import { reportFrom, startLifeboat } from '../test/run-lifeboat.ts'
import { act, hostAt } from './lab-world.ts'

/** Times are milliseconds. */
export interface Crossing {
  readonly safe: number
  /** From the alarm to the last switchover. */
  readonly makespan: number
  /** Mean of start of a VM's migration to its switchover. */
  readonly duration: number
  /** Longest; undefined where nobody measured it. */
  readonly downtime: number | undefined
  readonly bytesSent: number | undefined
  /** From the typed command to its end. */
  readonly wall: number
}

export interface Trip {
  readonly lab: TestLab
  readonly from: SiteId
  readonly to: SiteId
  readonly signal: AbortSignal
}
export interface Contender {
  readonly name: string
  readonly drivers: readonly LabDriver[]
  cross(trip: Trip): Promise<Crossing>
}

export const byPolicy = (name: string): Contender => ({
  name,
  drivers: ['qemu', 'libvirt'],
  async cross({ lab, from, to }) {
    const began = performance.now()
    const args = ['evacuate', from, '--to', to, '--policy', name, '--yes', '-o', 'ndjson']
    const run = startLifeboat(['--config', lab.config, ...args], {}, longest)
    await run.saw(/\n/)
    const stop = act(lab)
    const { code, stderr } = await run.done
    await stop()
    const wall = performance.now() - began
    const reported = await startLifeboat(['--config', lab.config, 'report', '-o', 'json'], {}).done
    if (reported.code !== 0) throw new Error(`${name} ended with ${code} and no report: ${stderr}`)
    const { summary: s } = reportFrom(reported.stdout)
    return {
      safe: s.safe,
      makespan: s.makespanMs ?? Number.NaN,
      duration: s.meanDurationMs ?? Number.NaN,
      downtime: s.maxDowntimeMs ?? undefined,
      bytesSent: s.bytesSent,
      wall,
    }
  },
})

/** Whatever hangs is ended after this. @unit ms */
export const longest = 900_000
/** One `virsh migrate` that does not end is ended after this. @unit s */
const virshLongest = 600

/** For one VM: when it began, when it ended and how, in seconds since 1970. */
const oneMove = `vm=$1; source=$2; target=$3
start=$(date +%s.%N)
timeout ${virshLongest} virsh -q -c qemu+tcp://$source/system migrate --live --p2p --persistent --undefinesource $vm qemu+tcp://$target/system
code=$?
# Else the daemons go on with it, and nobody else can move that guest.
[ $code -ne 124 ] || virsh -q -c qemu+tcp://$source/system domjobabort $vm
echo "$vm $code $start $(date +%s.%N)"`

/** What people type today. `-P 4` starts the next as soon as one of four has ended. */
const loops = {
  'virsh loop': `while read vm source target; do sh -c "$MOVE" sh $vm $source $target </dev/null; done`,
  'virsh xargs -P 4': `xargs -P 4 -L 1 sh -c "$MOVE" sh`,
} as const
export const loopNames = Object.keys(loops) as (keyof typeof loops)[]

export const byVirsh = (name: keyof typeof loops): Contender => ({
  name,
  drivers: ['libvirt'],
  async cross({ lab, from, to, signal }) {
    const { spec, processes } = lab.record
    const daemon = processes.find(({ what }) => what === `libvirtd of ${hostAt(from, 0)}`)
    if (daemon === undefined) throw new Error(`no libvirtd of ${hostAt(from, 0)} is on record`)
    const lines = lab.life.report(0).map(({ vm, host }, n) => `${vm} ${whereOf(vm, host)} ${hostAt(to, n)}\n`)
    const began = performance.now()
    const alarm = Date.now() / 1000
    // Within the host: names of hosts are resolved there, and `virsh` is whose it would be.
    const child = spawn('nsenter', ['-t', String(daemon.pid), '-m', '-n', '-u', 'sh', '-c', loops[name]], {
      env: { ...process.env, MOVE: oneMove },
      stdio: ['pipe', 'pipe', 'pipe'],
      signal,
      timeout: longest,
    })
    const stop = act(lab)
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdin.end(lines.join(''))
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', () => resolve())
    })
    await stop()
    const moved = stdout.split('\n').flatMap(line => {
      const [vm, code, start, end] = line.split(' ')
      return vm === undefined || code !== '0' ? [] : [{ start: Number(start), end: Number(end) }]
    })
    if (moved.length === 0) throw new Error(`${name} brought nobody out of ${spec.name}: ${stderr.slice(-2_000)}`)
    return {
      safe: moved.length,
      makespan: (Math.max(...moved.map(({ end }) => end)) - alarm) * 1000,
      duration: (moved.reduce((sum, { start, end }) => sum + end - start, 0) / moved.length) * 1000,
      downtime: undefined,
      bytesSent: undefined,
      wall: performance.now() - began,
    }
  },
})

function whereOf(vm: VmId, host: HostId | undefined): HostId {
  if (host === undefined) throw new Error(`nobody knows where ${vm} ticks`)
  return host
}
