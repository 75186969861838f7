/** Takes a lab down: everything it made, by its own record and names, and nothing else. Works whatever was killed before; idempotent. */
import { existsSync, rmSync } from 'node:fs'
import { localRemote } from '../remote/local.ts'
import { ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import { LabError } from './lab-error.ts'
import { labFolder } from './lab-names.ts'
import { type KnownProcess, readRecord } from './lab-record.ts'
import { namespacesOf, removeNamespaces } from './network.ts'
import { commandLineOf, endProcesses, hypervisorsIn, lives, processesNaming, startTimeOf } from './processes.ts'

export interface TakenDown {
  readonly processes: number
  readonly namespaces: number
}

/** What Lifeboat runs on a host for a moment, to look at it, is gone after this. */
const passing = ms(1_000)

/** @throws LabNotFound; LabError when something would not go */
export async function labDown(root: string, name: string, clock: Clock, signal: AbortSignal): Promise<TakenDown> {
  readRecordOrFolder(root, name)
  return takeDown(root, name, clock, signal)
}

/** A record that is damaged is no reason to leave things standing: names and command lines tell as much. */
function readRecordOrFolder(root: string, name: string): readonly KnownProcess[] {
  try {
    return readRecord(root, name).processes
  } catch (error) {
    if (error instanceof LabError && error.name === 'LabError') return []
    throw error
  }
}

export async function takeDown(root: string, name: string, clock: Clock, signal: AbortSignal): Promise<TakenDown> {
  const folder = labFolder(root, name)
  const recorded = existsSync(folder) ? readRecordOrFolder(root, name) : []
  let ended = 0
  // A process may be starting while we look: look until there is none.
  for (let rounds = 0; rounds < 5; rounds += 1) {
    const known = [...recorded.filter(lives), ...processesNaming(folder), ...namespacesOf(name).flatMap(hypervisorsIn)]
    const unique = [...new Map(known.map(each => [each.pid, each])).values()]
    if (unique.length === 0) break
    const left = await endProcesses(unique, clock, signal)
    if (left.length > 0)
      throw new LabError(
        `these processes of lab ${name} do not end: ${left.map(({ pid, what }) => `${pid} (${what})`).join(', ')}`,
      )
    ended += unique.length
  }
  const namespaces = namespacesOf(name)
  const strangers = namespaces.length === 0 ? [] : await processesIn(namespaces, signal)
  await removeNamespaces(namespaces, signal)
  rmSync(folder, { recursive: true, force: true })
  if (strangers.length > 0) await clock.sleep(passing, signal)
  const staying = strangers.filter(lives)
  if (staying.length > 0) {
    throw new LabError(
      `lab ${name} is down, but these processes, which are not the lab's, still run in its namespaces: ${staying.map(({ pid, what }) => `${pid} (${what})`).join(', ')}`,
    )
  }
  return { processes: ended, namespaces: namespaces.length }
}

/** `ip netns pids` of each; whoever entered a namespace of the lab by hand is named, not killed. */
async function processesIn(namespaces: readonly string[], signal: AbortSignal): Promise<readonly KnownProcess[]> {
  const found: KnownProcess[] = []
  for (const namespace of namespaces) {
    const { code, stdout } = await localRemote.run(['ip', 'netns', 'pids', namespace], {}, signal)
    if (code !== 0) continue
    for (const pid of stdout.split('\n').filter(line => line !== '')) {
      const words = commandLineOf(Number(pid))
      const startTime = startTimeOf(Number(pid))
      if (startTime !== undefined) found.push({ pid: Number(pid), startTime, what: words.slice(0, 2).join(' ') })
    }
  }
  return found
}
