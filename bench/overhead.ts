/**
 * Evacuates twelve guests one after the other and asks the WAN itself how long it carried nothing of them. Only guest memory crosses
 * the WAN from a to b in a lab (monitors are unix sockets), and bytes are counted as they enter it, so a pause is seen as it is.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { linkStats } from '../src/lab/lab-harm.ts'
import { megabitsPerSecond, showBytes, showTime } from '../src/core/units.ts'
import { smallSpec, testLab, testRoot } from '../test/lab-fixture.ts'
import { reportFrom, startLifeboat } from '../test/run-lifeboat.ts'
import { type Bench, percent } from './result.ts'

const guests = 12
/** @unit Mbit/s */
const capacity = 100
/** @unit ms */
const lookEvery = 50
/** Less than this share of the capacity in a window is a pause: acknowledgements and handshakes are no guest bytes. */
const silence = 0.02

interface Look {
  readonly at: number
  readonly carried: number
}

export const overhead: Bench = {
  question: `time in which the path carries no guest bytes, ${guests} guests one after the other over ${capacity} Mbit/s, 40 ms`,
  async run(onProgress) {
    onProgress(`bringing up ${guests} guests`)
    const lab = await testLab(smallSpec('bench-gap', guests, { hosts: 2, capacity, rtt: 40 }))
    try {
      const never = new AbortController().signal
      const looks: Look[] = []
      const enough = new AbortController()
      const watch = (async () => {
        while (!enough.signal.aborted) {
          const stats = await linkStats(testRoot, lab.record, never)
          const out = stats.find(({ from, to }) => from === 'a' && to === 'b')
          looks.push({ at: Date.now(), carried: out?.carriedBytes ?? 0 })
          await sleep(lookEvery)
        }
      })()
      onProgress('evacuating')
      const run = startLifeboat(
        ['--config', lab.config, 'evacuate', 'a', '--to', 'b', '--policy', 'sequential', '--yes', '-o', 'ndjson'],
        {},
      )
      const { stdout, code, stderr } = await run.done
      enough.abort()
      await watch
      if (code !== 0) throw new Error(`the evacuation ended with ${code}: ${stderr}`)
      const first = JSON.parse(stdout.slice(0, stdout.indexOf('\n'))) as { readonly at: number }
      const reported = await startLifeboat(['--config', lab.config, 'report', '-o', 'json'], {}).done
      const { summary } = reportFrom(reported.stdout)
      const makespan = summary.makespanMs ?? Number.NaN
      const { idle, longest } = pausesOf(looks, first.at, first.at + makespan)
      const share = idle / makespan
      return {
        columns: [{ title: '' }, { title: 'measured', align: 'right' }, { title: '', align: 'right' }],
        rows: [
          ['makespan', showTime(makespan), `physical limit ${showTime(summary.bounds.makespanMs ?? Number.NaN)}`],
          ['path carried nothing for', showTime(idle), percent(share)],
          ['longest pause', showTime(longest), ''],
          ['sent / needed', `${showBytes(summary.bytesSent)} / ${showBytes(summary.bytesNeeded)}`, ''],
          ['J', String(summary.j), ''],
        ],
        figures: {
          makespanMs: makespan,
          idleMs: idle,
          longestPauseMs: longest,
          idleShare: share,
          j: summary.j,
          summary,
        },
        verdict: `asked: under 5 % of the makespan; reached: ${percent(share)}`,
      }
    } finally {
      await lab.down()
    }
  },
}

function pausesOf(
  looks: readonly Look[],
  from: number,
  to: number,
): { readonly idle: number; readonly longest: number } {
  let idle = 0
  let longest = 0
  let pause = 0
  let covered = from
  for (const [n, look] of looks.entries()) {
    const before = looks[n - 1]
    if (before === undefined || look.at <= from || before.at >= to) continue
    const span = Math.min(look.at, to) - Math.max(before.at, from)
    const rate = (look.carried - before.carried) / ((look.at - before.at) / 1000)
    covered = Math.min(look.at, to)
    if (rate < silence * megabitsPerSecond(capacity)) {
      idle += span
      pause += span
      longest = Math.max(longest, pause)
    } else {
      pause = 0
    }
  }
  if (covered < to) throw new Error('the path was not watched to the end')
  return { idle, longest }
}
