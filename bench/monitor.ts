/** What the monitor costs a host on which twelve migrations run, and what its answers weigh, a reading a second. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostId } from '../src/core/ids.ts'
import { isKnown } from '../src/core/network/reading.ts'
import { megabitsPerSecond, ms, showBytes, showRate } from '../src/core/units.ts'
import { hostAddress, hostNamespace } from '../src/lab/lab-names.ts'
import { HostReader } from '../src/monitor/host-reader.ts'
import { namespaceRemote } from '../src/remote/namespace.ts'
import type { Remote, RemoteProcess } from '../src/remote/remote.ts'
import { clock, smallSpec, testLab } from '../test/lab-fixture.ts'
import { type Bench, percent } from './result.ts'

const flows = 12
/** @unit Mbit/s */
const capacity = 100
const readings = 30
const firstPort = 49_152
/** Of /proc/PID/stat times (sysconf _SC_CLK_TCK is 100 on Linux). */
const ticksPerSecond = 100

/** Of the shell and of everything it started and waited for. @unit s */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0) / ticksPerSecond
}

export const monitor: Bench = {
  question: `processor of one host's session with ${flows} migrations under way, and bytes of its answers, ${readings} readings`,
  async run(onProgress) {
    const name = 'bench-mon'
    const lab = await testLab(smallSpec(name, 0, { capacity, rtt: 40 }))
    const never = new AbortController().signal
    const [source, target] = ['a-1', 'b-1'].map(host => namespaceRemote(hostNamespace(name, hostId(host))))
    if (source === undefined || target === undefined) throw new Error('a lab has two sites')
    const streams: RemoteProcess[] = []
    try {
      const away = hostAddress(2, 1)
      for (let port = firstPort; port < firstPort + flows; port += 1)
        streams.push(await target.start(['sh', '-c', `exec nc -l ${away} ${port} >/dev/null`], never))
      await sleep(500)
      for (let port = firstPort; port < firstPort + flows; port += 1)
        streams.push(
          await source.start(
            ['bash', '-c', `exec 3<>/dev/tcp/${away}/${port}; exec head -c 999999999 /dev/zero >&3`],
            never,
          ),
        )
      const weight = { asked: 0, answered: 0 }
      let shell: RemoteProcess | undefined
      const counted: Remote = {
        ...source,
        start: async (argv, signal) => {
          const process = await source.start(argv, signal)
          shell = process
          process.stdout.on('data', (text: string | Buffer) => {
            weight.answered += Buffer.byteLength(text)
          })
          const write = process.stdin.write.bind(process.stdin)
          process.stdin.write = (text: string) => {
            weight.asked += Buffer.byteLength(text)
            return write(text)
          }
          return process
        },
      }
      const reader = new HostReader({ host: hostId('a-1'), remote: counted, clock, peers: [away] })
      // The first has the shell's start and the search for interfaces in it.
      await reader.read(never)
      const pid = shell?.pid
      if (pid === undefined) throw new Error('the session has no process')
      const [cpuBefore, before, ours] = [cpuSeconds(pid), { ...weight }, process.cpuUsage()]
      onProgress(`reading for ${readings} s`)
      let seen = 0
      const began = clock.now()
      for (let n = 1; n <= readings; n += 1) {
        await sleep(Math.max(1, began + n * 1_000 - clock.now()))
        const reading = await reader.read(never)
        if (isKnown(reading.flows)) seen = Math.max(seen, reading.flows.length)
      }
      const seconds = (clock.now() - began) / 1_000
      const share = (cpuSeconds(pid) - cpuBefore) / seconds
      const used = process.cpuUsage(ours)
      const controller = (used.user + used.system) / 1e6 / seconds
      const rate = (weight.asked - before.asked + weight.answered - before.answered) / seconds
      const ofPath = rate / megabitsPerSecond(capacity)
      reader.close()
      return {
        columns: [{ title: '' }, { title: 'measured', align: 'right' }, { title: 'asked', align: 'right' }],
        rows: [
          ["of one of the host's cores", percent(share, 2), '< 1.00 %'],
          [`of a path of ${capacity} Mbit/s`, percent(ofPath, 2), '< 0.50 %'],
          ['an answer', showBytes(rate), ''],
          ['flows seen', `${seen} of ${flows}`, ''],
          ['of one core of the controller', percent(controller, 2), ''],
        ],
        figures: {
          flows,
          seen,
          coreShare: share,
          bytesPerSecond: rate,
          pathShare: ofPath,
          controllerShare: controller,
        },
        verdict: `asked: under 1 % of a core and under 0.5 % of the path; reached: ${percent(share, 2)} and ${percent(ofPath, 2)} (${showRate(rate)})`,
      }
    } finally {
      for (const each of streams) each.kill()
      await clock.sleep(ms(100), never)
      await lab.down()
    }
  },
}
