/** What the controller itself costs while twelve migrations run and each is sampled every second. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { mebibytes, showBytes } from '../src/core/units.ts'
import { smallSpec, testLab } from '../test/lab-fixture.ts'
import { reportFrom, startLifeboat } from '../test/run-lifeboat.ts'
import { type Bench, percent } from './result.ts'

const guests = 12
/** Slow enough for all to be under way together for long. @unit Mbit/s */
const capacity = 60
/** Start-up is over by then. @unit ms */
const settleFor = 5_000
/** @unit ms */
const watchFor = 45_000
/** Of /proc/PID/stat times (sysconf _SC_CLK_TCK is 100 on Linux). */
const ticksPerSecond = 100

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
const residentPeak = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) * 1024

export const controller: Bench = {
  question: `memory and processor of one "lifeboat evacuate" with ${guests} migrations under way, over ${watchFor / 1000} s`,
  async run(onProgress) {
    onProgress(`bringing up ${guests} guests`)
    const lab = await testLab(smallSpec('bench-ctl', guests, { hosts: 2, capacity, rtt: 40 }))
    try {
      const run = startLifeboat(
        ['--config', lab.config, 'evacuate', 'a', '--to', 'b', '--policy', 'all-at-once', '--yes', '-o', 'json'],
        {},
      )
      const { pid } = run.child
      if (pid === undefined) throw new Error('lifeboat did not start')
      await sleep(settleFor)
      const before = cpuSeconds(pid)
      onProgress(`watching for ${watchFor / 1000} s`)
      await sleep(watchFor)
      const share = (cpuSeconds(pid) - before) / (watchFor / 1000)
      const peak = residentPeak(pid)
      onProgress('waiting for the evacuation to end')
      const { stdout, code, stderr } = await run.done
      if (code !== 0) throw new Error(`the evacuation ended with ${code}: ${stderr}`)
      const { safe } = reportFrom(stdout).summary
      return {
        columns: [{ title: '' }, { title: 'measured', align: 'right' }, { title: 'asked', align: 'right' }],
        rows: [
          ['resident memory, peak', showBytes(peak), `< ${showBytes(mebibytes(120))}`],
          ['of one core', percent(share), '< 5.0 %'],
          ['guests safe in the end', `${safe} of ${guests}`, ''],
        ],
        figures: { residentPeakBytes: peak, coreShare: share, guests, safe },
        verdict: `asked: under 120 MiB and under 5 % of a core; reached: ${showBytes(peak)} and ${percent(share)}`,
      }
    } finally {
      await lab.down()
    }
  },
}
