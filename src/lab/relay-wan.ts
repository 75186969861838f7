/** The WAN as a relay process: VXLAN devices in the gateways, pointed at relay-main.ts in the wan namespace. */
import { spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connectUnix } from '../remote/connect-unix.ts'
import { LabError } from './lab-error.ts'
import {
  gatewayNamespace,
  labFolder,
  relaySocket,
  siteSubnet,
  transitAddress,
  transitMac,
  underlayAddress,
  wanNamespace,
} from './lab-names.ts'
import type { KnownProcess } from './lab-record.ts'
import { type LabSpec, linkBetween } from './lab-spec.ts'
import { batchIn, innerMtu, inNamespace, numbered } from './network.ts'
import { startTimeOf } from './processes.ts'
import { type RelayAnswer, relayAnswerSchema, type RelayRequest, type RelayStart } from './relay-protocol.ts'
import type { Wan } from './wan.ts'

const vxlanPort = 4789
/** Any number; all gateways share it. */
const vni = 7
/**
 * Gateways hand packets to the relay at no more than this, so that a burst does not overrun its socket while it waits for the
 * processor. Far above what a lab's links carry. @unit Mbit/s
 */
const handOver = 600

export function relayWan(root: string): Wan {
  return {
    async make(spec, signal) {
      await makeTunnels(spec, signal)
      return [await startRelay(root, spec, signal)]
    },
    async change(spec, link, to, signal) {
      const [a, b] = link.between.map(id => spec.sites.findIndex(site => site.id === id) + 1)
      if (a === undefined || b === undefined) throw new LabError('a link has two ends')
      const settings = {
        ...(to.capacity === undefined ? {} : { rate: to.capacity }),
        ...(to.rtt === undefined ? {} : { delay: to.rtt / 2 }),
        ...(to.loss === undefined ? {} : { loss: to.loss }),
        ...(to.cut === undefined ? {} : { cut: to.cut }),
      }
      await ask(
        root,
        spec.name,
        [
          { do: 'set', from: a, to: b, settings },
          { do: 'set', from: b, to: a, settings },
        ],
        signal,
      )
    },
    async stats(spec, signal) {
      const [answer] = await ask(root, spec.name, [{ do: 'stats' }], signal)
      const nameOf = (number: number): string => spec.sites[number - 1]?.id ?? String(number)
      return (answer?.pipes ?? []).map(({ from, to, settings, ...counters }) => ({
        from: nameOf(from),
        to: nameOf(to),
        capacity: settings.rate,
        rtt: settings.delay * 2,
        loss: settings.loss,
        cut: settings.cut,
        ...counters,
      }))
    },
  }
}

async function makeTunnels(spec: LabSpec, signal: AbortSignal): Promise<void> {
  const sites = numbered(spec)
  for (const { site, number } of sites) {
    const gateway = gatewayNamespace(spec.name, site.id)
    const others = sites.filter(other => other.number !== number)
    await batchIn(
      gateway,
      [
        `link add vx0 mtu ${innerMtu} address ${transitMac(number)} type vxlan id ${vni} local ${underlayAddress(number, 'gateway')} remote ${underlayAddress(number, 'wan')} dstport ${vxlanPort} nolearning`,
        `addr add ${transitAddress(number)}/24 dev vx0`,
        'link set vx0 up',
        ...others.flatMap(other => [
          `neigh add ${transitAddress(other.number)} lladdr ${transitMac(other.number)} dev vx0 nud permanent`,
          `route add ${siteSubnet(other.number)} via ${transitAddress(other.number)} dev vx0`,
        ]),
      ],
      signal,
    )
    for (const device of ['vx0', 'br0', 'wan0']) {
      await inNamespace(
        gateway,
        ['ethtool', '-K', device, 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'],
        signal,
      )
    }
    const shaper = [
      'tc',
      'qdisc',
      'replace',
      'dev',
      'wan0',
      'root',
      'tbf',
      'rate',
      `${handOver}mbit`,
      'burst',
      '64kb',
      'latency',
      '300ms',
    ]
    await inNamespace(gateway, shaper, signal)
  }
}

async function startRelay(root: string, spec: LabSpec, signal: AbortSignal): Promise<KnownProcess> {
  const sites = numbered(spec)
  const pipes = sites.flatMap(a =>
    sites.flatMap(b => {
      const link = linkBetween(spec.links, a.site.id, b.site.id)
      if (a === b || link === undefined) return []
      const settings = { rate: Number(link.capacity), delay: link.rtt / 2, loss: Number(link.loss), cut: false }
      return [{ from: a.number, to: b.number, settings }]
    }),
  )
  const start: RelayStart = { socket: relaySocket(root, spec.name), seed: 1, pipes }
  const log = openSync(join(labFolder(root, spec.name), 'relay.log'), 'a')
  const program = fileURLToPath(
    new URL(`relay-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
  )
  // The relay is the clock of the whole lab: it goes before the guests it serves.
  const argv = [
    'netns',
    'exec',
    wanNamespace(spec.name),
    'nice',
    '-n',
    '-15',
    process.execPath,
    program,
    JSON.stringify(start),
  ]
  const child = spawn('ip', argv, { stdio: ['ignore', 'pipe', log], detached: true })
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    child.once('error', reject)
    child.once('exit', code =>
      reject(new LabError(`the relay ended with ${code}; see ${join(labFolder(root, spec.name), 'relay.log')}`)),
    )
    child.stdout?.once('data', () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
  })
  child.stdout?.destroy()
  child.removeAllListeners('exit')
  child.unref()
  const { pid } = child
  const startTime = pid === undefined ? undefined : startTimeOf(pid)
  if (pid === undefined || startTime === undefined) throw new LabError('the relay ended at once')
  return { pid, startTime, what: 'relay' }
}

async function ask(
  root: string,
  lab: string,
  requests: readonly RelayRequest[],
  signal: AbortSignal,
): Promise<readonly RelayAnswer[]> {
  const silent = (cause: unknown): LabError =>
    new LabError(
      `the WAN of lab ${lab} does not answer (its relay was ended?); take the lab down and up again: lifeboat lab down --name ${lab}`,
      { cause },
    )
  const socket = await connectUnix(relaySocket(root, lab), signal).catch((error: unknown) => {
    throw silent(error)
  })
  try {
    const answers: RelayAnswer[] = []
    socket.setEncoding('utf8').write(requests.map(request => `${JSON.stringify(request)}\n`).join(''))
    let text = ''
    for await (const chunk of socket) {
      text += String(chunk)
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        answers.push(relayAnswerSchema.parse(JSON.parse(text.slice(0, end))))
        text = text.slice(end + 1)
      }
      if (answers.length === requests.length) break
    }
    if (answers.length < requests.length) throw silent('it closed the connection')
    const refused = answers.find(({ ok }) => !ok)
    if (refused !== undefined) throw new LabError(`the WAN refused: ${refused.message}`)
    return answers
  } catch (error) {
    throw error instanceof LabError ? error : silent(error)
  } finally {
    socket.destroy()
  }
}
