/**
 * Follows the serial consoles of all guests of a lab, over all hosts, while guests move. A guest's console is a file in its folder on
 * each host it was on; they are read in the order of their tick numbers, so that a tick that was cut in two by the move is whole again,
 * and a reader that comes late reads history in the right order. Text of two hosts with the same numbers means that it ran twice.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import type { HostId, VmId } from '../core/ids.ts'
import { ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { serialLog } from './lab-names.ts'
import type { LabSpec } from './lab-spec.ts'
import { firstTick, LifeJudge, type LifeReport } from './life-verdict.ts'

export interface GuestLife extends LifeReport {
  readonly vm: VmId
  /** Where its newest tick came from. */
  readonly host: HostId | undefined
}

export interface ProofOfLife {
  /** @param tolerance a gap up to this is noise @unit ms */
  report(tolerance: number): readonly GuestLife[]
  /** What was seen so far is the normal state; gaps count from now. @returns the longest gap until now: the noise of this machine @unit ms */
  baseline(): number
  stop(): Promise<void>
}

const lookEvery = ms(50)
/** Read at once from one console: ticks of some days. @unit bytes */
const atMost = 16 * 1_048_576

interface Console {
  readonly host: HostId
  readonly file: string
  offset: number
}

interface News {
  readonly host: HostId
  readonly text: string
}

/** Where numbers do not tell, the host it ticks on comes first: its last words were said before it left. */
function byTick(a: News, b: News, at: HostId | undefined): number {
  const [first, second] = [firstTick(a.text), firstTick(b.text)]
  if (first !== undefined && second !== undefined) return first - second
  return Number(b.host === at) - Number(a.host === at)
}

export function followGuests(root: string, spec: LabSpec, clock: Clock): ProofOfLife {
  const guests = spec.guests.map(({ vm }) => ({
    vm,
    judge: new LifeJudge(),
    consoles: spec.hosts.map(
      (host): Console => ({ host: host.id, file: serialLog(root, spec.name, host.id, vm), offset: 0 }),
    ),
    at: undefined as HostId | undefined,
  }))
  const stop = new AbortController()
  const look = (): void => {
    const now = clock.now()
    for (const guest of guests) {
      const news = guest.consoles
        .map((console): News => ({ host: console.host, text: readNew(console) }))
        .filter(({ text }) => text !== '')
      for (const { host, text } of news.sort((a, b) => byTick(a, b, guest.at))) {
        guest.at = host
        guest.judge.read(text, now)
      }
    }
  }
  const following = (async () => {
    while (!stop.signal.aborted) {
      look()
      await clock.sleep(lookEvery, stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) throw error
      })
    }
  })()
  return {
    report: tolerance => {
      look()
      return guests.map(({ vm, judge, at }) => ({ vm, host: at, ...judge.report(clock.now(), tolerance) }))
    },
    baseline: () => {
      look()
      const longest = Math.max(0, ...guests.map(({ judge }) => judge.report(clock.now(), 0).longestGap?.length ?? 0))
      for (const { judge } of guests) judge.forgetGaps()
      return longest
    },
    stop: async () => {
      stop.abort()
      await following
    },
  }
}

function readNew(console: Console): string {
  const size = statSync(console.file, { throwIfNoEntry: false })?.size
  if (size === undefined) {
    // Its folder was cleared; if the VM comes back, the file begins anew.
    console.offset = 0
    return ''
  }
  if (size < console.offset) console.offset = 0
  if (size === console.offset) return ''
  const buffer = Buffer.alloc(Math.min(atMost, size - console.offset))
  const handle = openSync(console.file, 'r')
  try {
    const got = readSync(handle, buffer, 0, buffer.length, console.offset)
    console.offset += got
    return buffer.toString('latin1', 0, got)
  } finally {
    closeSync(handle)
  }
}
