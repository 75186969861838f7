/**
 * Follows the serial consoles of all guests of a lab, over all hosts, while guests move. A guest's console is a file in its folder on
 * each host it was on; they are read one after the other in the order in which they began to have text, so that a tick that was cut
 * in two by the move is whole again. If a host that was left has text again, the guest ran there again: its ticks then repeat.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import type { HostId, VmId } from '../core/ids.ts'
import { ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { serialLog } from './lab-names.ts'
import type { LabSpec } from './lab-spec.ts'
import { LifeJudge, type LifeReport } from './life-verdict.ts'

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
/** Read at once from one console. @unit bytes */
const chunk = 65_536

interface Console {
  readonly host: HostId
  readonly file: string
  offset: number
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
      // The host it ticks on first, so that its last words come before the first ones elsewhere.
      const ordered = [...guest.consoles].sort((a, b) => Number(b.host === guest.at) - Number(a.host === guest.at))
      for (const console of ordered) {
        const text = readNew(console)
        if (text === '') continue
        guest.at = console.host
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
  if (!existsSync(console.file)) {
    // Its folder was cleared; if the VM comes back, the file begins anew.
    console.offset = 0
    return ''
  }
  const { size } = statSync(console.file)
  if (size < console.offset) console.offset = 0
  if (size === console.offset) return ''
  const buffer = Buffer.alloc(Math.min(chunk, size - console.offset))
  const handle = openSync(console.file, 'r')
  try {
    const got = readSync(handle, buffer, 0, buffer.length, console.offset)
    console.offset += got
    return buffer.toString('latin1', 0, got)
  } finally {
    closeSync(handle)
  }
}
