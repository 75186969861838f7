/** How fast the simulator is: a large fleet, all scenario folders, and many runs of a small one. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { showBytes, showTime } from '../src/core/units.ts'
import type { Bench } from './result.ts'

const large = {
  endangered: 3,
  safe: 2,
  hosts: 100,
  vms: 10_000,
  memory: { kind: 'lognormal', median: '512MiB' },
  activity: { warm: 0.3, hot: 0.02 },
  path: { kind: 'saw', capacity: '5Gbit/s', rtt: '20ms' },
  seed: 3,
}
/** Long enough for the evacuation of that fleet to take two hours. */
const largePolicy = 'fixed:30'
const small = { vms: 20, hosts: 2, path: { kind: 'step', capacity: '1Gbit/s', rtt: '20ms' }, seed: 5 }
const manyRuns = 1_000

interface Took {
  readonly ms: number
  readonly peak: number
  readonly stdout: string
}

/** @unit ms */
const lookEvery = 20

async function lifeboat(args: readonly string[]): Promise<Took> {
  const began = performance.now()
  const child = spawn(process.execPath, ['--max-semi-space-size=2', 'bin/lifeboat.js', 'simulate', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  let peak = 0
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const timer = setInterval(() => {
    peak = Math.max(peak, residentPeak(child.pid ?? 0))
  }, lookEvery)
  await new Promise(resolve => child.on('close', resolve))
  clearInterval(timer)
  return { ms: performance.now() - began, peak, stdout }
}

function residentPeak(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0 // it has ended
  }
}

export const simulator: Bench = {
  question: 'a two-hour evacuation of 10 000 VMs; all scenario folders; 1 000 runs of 20 VMs',
  async run(onProgress) {
    const root = mkdtempSync(join(tmpdir(), 'lifeboat-bench-'))
    try {
      const big = join(root, 'large')
      await lifeboat([big, '--generate', JSON.stringify(large), '--policies', 'oracle'])
      onProgress('10 000 VMs')
      const fleet = await lifeboat([big, '--policies', largePolicy, '-o', 'json'])
      const [report] = JSON.parse(fleet.stdout) as readonly [
        { readonly summary: { readonly makespanMs: number; readonly safe: number } },
      ]
      onProgress('every folder of scenarios/')
      const folders = readdirSync('scenarios', { withFileTypes: true }).filter(entry => entry.isDirectory())
      const each = await lifeboat([...folders.map(({ name }) => `scenarios/${name}`), '--check'])
      onProgress(`${manyRuns} runs of 20 VMs`)
      const many = await lifeboat([
        join(root, 'small'),
        '--generate',
        JSON.stringify(small),
        '--policies',
        'fixed:2',
        '--runs',
        String(manyRuns),
      ])
      const right = 'right' as const
      return {
        columns: [
          { title: '' },
          { title: 'took', align: right },
          { title: 'peak memory', align: right },
          { title: 'asked' },
        ],
        rows: [
          [
            `10 000 VMs, 300 + 200 hosts, ${largePolicy}: ${showTime(report.summary.makespanMs)} of evacuation`,
            showTime(fleet.ms),
            showBytes(fleet.peak),
            '< 10 s, < 1 GiB',
          ],
          [`${folders.length} scenario folders, together`, showTime(each.ms), showBytes(each.peak), '< 10 s'],
          [`${manyRuns} runs of 20 VMs`, showTime(many.ms), showBytes(many.peak), '< 20 s'],
        ],
        figures: {
          largeMs: fleet.ms,
          largePeakBytes: fleet.peak,
          largeMakespanMs: report.summary.makespanMs,
          foldersMs: each.ms,
          folders: folders.length,
          runsMs: many.ms,
          runs: manyRuns,
        },
        verdict: `start-up and reading of the folder are in these times; ${report.summary.safe} of 10 000 were safe`,
      }
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  },
}
