/** Processes of a lab: found, told apart by start time, ended. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Milliseconds } from '../core/units.ts'
import { ms } from '../core/units.ts'
import type { Clock } from '../time/clock.ts'
import type { KnownProcess } from './lab-record.ts'

/** Field 22 of /proc/PID/stat, in ticks since boot; undefined when there is no such process (proc(5)). */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}

export const lives = ({ pid, startTime }: KnownProcess): boolean => startTimeOf(pid) === startTime

/** Words of its command line; none for a process that is gone. */
export function commandLineOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch (error) {
    if (error instanceof Error) return []
    throw error
  }
}

const hypervisors = /qemu-system|libvirtd$/
/** sshd writes over its own command line, once for itself and once for each session; what runs in one is libvirt's. */
const sshds = /^sshd(-session)?:|\/sshd(-session)?$|virt-ssh-helper$/

/**
 * QEMU, libvirtd and sshd processes in a network namespace: a libvirtd names no folder when it starts a QEMU to see what it can.
 * @param name as `ip netns` knows it
 */
export function hypervisorsIn(name: string): readonly KnownProcess[] {
  const inode = statSync(`/run/netns/${name}`, { throwIfNoEntry: false })?.ino
  if (inode === undefined) return []
  return readdirSync('/proc').flatMap(text => {
    const pid = Number(text)
    if (!Number.isInteger(pid) || namespaceOf(pid) !== `net:[${inode}]`) return []
    const program = commandLineOf(pid)[0] ?? ''
    const startTime = startTimeOf(pid)
    return startTime !== undefined && (hypervisors.test(program) || sshds.test(program))
      ? [{ pid, startTime, what: program }]
      : []
  })
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}

/** Every process one of whose arguments names something inside `folder`, but not ourselves. */
export function processesNaming(folder: string): readonly KnownProcess[] {
  const found: KnownProcess[] = []
  for (const name of existsSync('/proc') ? readdirSync('/proc') : []) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const words = commandLineOf(pid)
    if (!isOurs(words, folder)) continue
    const startTime = startTimeOf(pid)
    if (startTime !== undefined) found.push({ pid, startTime, what: words[0] ?? '' })
  }
  return found
}

/** Only what a lab itself starts: a QEMU, a libvirtd, an sshd or a relay whose arguments point into the lab's folder. An editor with a log open is not ours. */
function isOurs(words: readonly string[], folder: string): boolean {
  const program = words[0] ?? ''
  const inside = words.some(word => namesPathIn(word, folder))
  return (
    inside && (hypervisors.test(program) || sshds.test(program) || words.some(word => /relay-main\.[jt]s$/.test(word)))
  )
}

/** `file:/labs/x/…`, `path=/labs/x/…`, `/labs/x/…`, but not `/backup/labs/x/…`. */
function namesPathIn(word: string, folder: string): boolean {
  const sought = `${folder}/`
  for (let at = word.indexOf(sought); at >= 0; at = word.indexOf(sought, at + 1)) {
    if (at === 0 || /[=:,"' ]/.test(word[at - 1] ?? '')) return true
  }
  return false
}

const endsWithin: Milliseconds = ms(5_000)
const askEvery = ms(20)

/** SIGKILL to each that is still the one we know; waits until they are gone. @returns those that are not */
export async function endProcesses(
  known: readonly KnownProcess[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly KnownProcess[]> {
  for (const each of known) {
    if (!lives(each)) continue
    try {
      process.kill(each.pid, 'SIGKILL')
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
  const until = clock.now() + endsWithin
  let left = known.filter(lives)
  while (left.length > 0 && clock.now() < until) {
    await clock.sleep(askEvery, signal)
    left = left.filter(lives)
  }
  return left
}
