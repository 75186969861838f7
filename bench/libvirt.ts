/**
 * lifeboat/libvirt against virsh, on the same private libvirtd with 1 000 running domains of its test driver, in turns: list and state of
 * all, and small calls: a look-up by name and its state, which is what `virsh domstate NAME` does.
 *
 * The domains are defined in `test:///default`, which all connections share: of a `test:///FILE` each connection makes its own copy, which
 * takes half a second and would be held against the virsh that is spawned for each call.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Domain, LibvirtClient } from '../src/libvirt/public.ts'
import { type PrivateLibvirtd, startLibvirtd, whyNoLibvirtd } from '../test/libvirt-private-daemon.ts'
import { type Bench, median } from './result.ts'

const rounds = 5
const domainCount = 1_000
const calls = 10_000
/** One process each: so many are enough to know. */
const spawned = 100
/** Calls that are under way at a time, pipelined. */
const atOnce = 250
const hosts = 20
const wanted = { timesSpawned: 20, timesOpen: 1, inventorySeconds: 3, inventoryMiB: 150 }
const signal = AbortSignal.timeout(600_000)
const flags = 0

const nameOf = (n: number): string => `vm-${String(n % domainCount).padStart(4, '0')}`
const xmlOf = (name: string): string => {
  const digits = createHash('sha256').update(name).digest('hex')
  const uuid = [8, 12, 16, 20, 32].map((end, k) => digits.slice([0, 8, 12, 16, 20][k], end)).join('-')
  return `<domain type='test'><name>${name}</name><uuid>${uuid}</uuid><memory>1048576</memory><vcpu>2</vcpu><os><type>hvm</type></os>
    <devices><disk type='file'><source file='/srv/${name}.img'/><target dev='vda'/></disk>
    <interface type='network'><source network='default'/></interface></devices></domain>`
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

// ── the four ──

/** What the contenders do, in seconds. */
interface Contender {
  readonly name: string
  listAll(): Promise<number>
  callsPerSecond(): Promise<number>
}

const insist = (found: number, expected: number, what: string): void => {
  if (found !== expected) throw new Error(`${what}: ${found} where ${expected} were expected`)
}
const runningLines = (text: string): number => text.match(/\brunning$/gm)?.length ?? 0

function virshSpawned(uri: string): Contender {
  const virsh = (...args: readonly string[]): string =>
    execFileSync('virsh', ['-q', '-c', uri, ...args], { encoding: 'utf8' })
  return {
    name: 'virsh, one process a call',
    listAll: () => seconds(async () => insist(runningLines(virsh('list', '--all')), domainCount, 'virsh list')),
    callsPerSecond: async () => {
      const took = await seconds(async () => {
        for (let n = 0; n < spawned; n += 1) insist(runningLines(virsh('domstate', nameOf(n))), 1, 'virsh domstate')
      })
      return spawned / took
    },
  }
}

/** One virsh that is told everything at once: it never waits for us. */
class OpenVirsh {
  readonly #process: ChildProcessWithoutNullStreams
  #found = 0
  #rest = ''
  #wanted = 0
  #done: () => void = () => undefined

  constructor(uri: string) {
    this.#process = spawn('virsh', ['-q', '-c', uri])
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop() ?? ''
      this.#found += lines.filter(line => /\brunning$/.test(line)).length
      if (this.#found >= this.#wanted) this.#done()
    })
  }
  /** Until as many domains were said to be running. */
  run(commands: string, wanted: number): Promise<void> {
    this.#found = 0
    this.#wanted = wanted
    return new Promise(resolve => {
      this.#done = resolve
      this.#process.stdin.write(commands)
    })
  }
  async close(): Promise<void> {
    this.#process.stdin.end('quit\n')
    await once(this.#process, 'exit')
  }
}

function virshOpen(virsh: OpenVirsh): Contender {
  const commands = Array.from({ length: calls }, (_, n) => `domstate ${nameOf(n)}\n`).join('')
  return {
    name: 'virsh, kept open',
    listAll: () => seconds(() => virsh.run('list --all\n', domainCount)),
    callsPerSecond: async () => calls / (await seconds(() => virsh.run(commands, calls))),
  }
}

const list = async (client: LibvirtClient): Promise<readonly Domain[]> =>
  (await client.call('connectListAllDomains', { needResults: true, flags }, signal)).domains
const stateOf = async (client: LibvirtClient, dom: Domain): Promise<number> =>
  (await client.call('domainGetState', { dom, flags }, signal)).state
async function stateByName(client: LibvirtClient, name: string): Promise<number> {
  const { dom } = await client.call('domainLookupByName', { name }, signal)
  return stateOf(client, dom)
}

function oneByOne(client: LibvirtClient): Contender {
  return {
    name: 'lifeboat/libvirt, one after the other',
    listAll: () =>
      seconds(async () => {
        let running = 0
        for (const dom of await list(client)) if ((await stateOf(client, dom)) === 1) running += 1
        insist(running, domainCount, 'one after the other')
      }),
    callsPerSecond: async () => {
      const took = await seconds(async () => {
        for (let n = 0; n < calls; n += 1) insist(await stateByName(client, nameOf(n)), 1, 'one after the other')
      })
      return calls / took
    },
  }
}

/** Runs `count` of these, some at once. */
async function some(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) await work(n)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

function pipelined(client: LibvirtClient): Contender {
  return {
    name: `lifeboat/libvirt, ${atOnce} at a time`,
    listAll: () =>
      seconds(async () => {
        const domains = await list(client)
        let running = 0
        await some(domains.length, async n => {
          const dom = domains[n]
          if (dom !== undefined && (await stateOf(client, dom)) === 1) running += 1
        })
        insist(running, domainCount, 'pipelined')
      }),
    callsPerSecond: async () => {
      const took = await seconds(() =>
        some(calls, async n => insist(await stateByName(client, nameOf(n)), 1, 'pipelined')),
      )
      return calls / took
    },
  }
}

/** What a controller does: one call for the list and every state (virDomainStatsTypes, VIR_DOMAIN_STATS_STATE). */
const listInOneCall = (client: LibvirtClient): Promise<number> =>
  seconds(async () => {
    const { records } = await client.call('connectGetAllDomainStats', { doms: [], stats: 1, flags }, signal)
    const running = records.filter(({ params }) => params.some(({ value }) => value.value === 1)).length
    insist(running, domainCount, 'all statistics')
  })

// ── inventory ──

interface Inventory {
  readonly domains: number
  readonly running: number
  readonly xmlBytes: number
  readonly seconds: number
  readonly residentMiB: number
}

/** A file for each host, each with its share of the domains; in a process of its own, for its memory. */
function inventory(daemon: PrivateLibvirtd): Inventory {
  const share = domainCount / hosts
  const uris = Array.from({ length: hosts }, (_, host) => {
    const path = join(daemon.folder, `host-${host}.xml`)
    const domains = Array.from({ length: share }, (_each, n) => xmlOf(nameOf(host * share + n)))
    writeFileSync(path, `<node>${domains.join('\n')}</node>`)
    return `test+unix://${path}?socket=${daemon.socket}`
  })
  const child = new URL('libvirt-inventory.ts', import.meta.url).pathname
  const output = execFileSync(process.execPath, [child, ...uris], { encoding: 'utf8' })
  const result = JSON.parse(output) as Inventory
  insist(result.running, domainCount, 'inventory')
  return result
}

/** Fills it, leaves out its own domain, and starts all. */
async function fill(client: LibvirtClient): Promise<void> {
  for (const dom of await list(client)) {
    await client.call('domainDestroyFlags', { dom, flags }, signal)
    await client.call('domainUndefineFlags', { dom, flags }, signal)
  }
  await some(domainCount, async n => {
    const { dom } = await client.call('domainDefineXmlFlags', { xml: xmlOf(nameOf(n)), flags }, signal)
    await client.call('domainCreateWithFlags', { dom, flags }, signal)
  })
}

export const libvirt: Bench = {
  question: `list and state of ${domainCount} domains, and look-ups by name with their state, on one libvirtd, ${rounds} rounds in turns, medians`,
  async run(onProgress) {
    const missing = whyNoLibvirtd('virsh')
    if (missing !== undefined) throw new Error(missing)
    await using daemon = await startLibvirtd({}, signal)
    const uri = `test+unix:///default?socket=${daemon.socket}`
    await using client = await LibvirtClient.connect(uri, {}, signal)
    await fill(client)
    const virsh = new OpenVirsh(uri)
    const contenders = [virshSpawned(uri), virshOpen(virsh), oneByOne(client), pipelined(client)] as const
    const measured = contenders.map(({ name }) => ({ name, lists: [] as number[], rates: [] as number[] }))
    const inOneCall: number[] = []
    const inventories: Inventory[] = []
    for (let round = 0; round < rounds; round += 1) {
      for (const [at, contender] of contenders.entries()) {
        measured[at]?.lists.push(await contender.listAll())
        measured[at]?.rates.push(await contender.callsPerSecond())
      }
      inOneCall.push(await listInOneCall(client))
      inventories.push(inventory(daemon))
      const rates = measured.map(({ rates: each }) => each.at(-1)?.toFixed(0)).join(', ')
      onProgress(
        `round ${round + 1} of ${rounds}: ${rates} calls/s; inventory ${inventories.at(-1)?.seconds.toFixed(2)} s`,
      )
    }
    await virsh.close()
    /** Of two in the same round. */
    const times = (a: number, b: number): number => {
      const [ours, theirs] = [measured[a]?.rates ?? [], measured[b]?.rates ?? []]
      return median(ours.map((rate, round) => rate / (theirs[round] ?? rate)))
    }
    const taken = {
      seconds: median(inventories.map(each => each.seconds)),
      residentMiB: Math.max(...inventories.map(each => each.residentMiB)),
    }
    const figures = {
      contenders: measured.map(({ name, lists, rates }, at) => ({
        name,
        listSeconds: median(lists),
        callsPerSecond: median(rates),
        timesSpawned: times(at, 0),
        timesOpen: times(at, 1),
      })),
      listInOneCallSeconds: median(inOneCall),
      inventory: { domains: domainCount, connections: hosts, ...taken },
      wanted,
    }
    return {
      columns: [
        { title: '' },
        { title: 'list, ms', align: 'right' },
        { title: 'calls/s', align: 'right' },
        { title: 'of spawned', align: 'right' },
        { title: 'of open', align: 'right' },
      ],
      rows: [
        ...figures.contenders.map(each => [
          each.name,
          (each.listSeconds * 1000).toFixed(0),
          each.callsPerSecond.toFixed(0),
          `${each.timesSpawned.toFixed(1)} ×`,
          `${each.timesOpen.toFixed(2)} ×`,
        ]),
        [
          'lifeboat/libvirt, list with states in one call',
          (figures.listInOneCallSeconds * 1000).toFixed(0),
          '',
          '',
          '',
        ],
      ],
      figures,
      verdict: `asked: ${wanted.timesSpawned} × the calls of a virsh that is spawned; reached: ${times(2, 0).toFixed(0)} × one after the other, ${times(3, 0).toFixed(0)} × pipelined
asked: pipelined as many as a virsh that is kept open; reached: ${times(3, 1).toFixed(2)} ×
asked: an inventory (list, state, XML) of ${domainCount} domains on ${hosts} connections in ${wanted.inventorySeconds} s and ${wanted.inventoryMiB} MiB; reached: ${taken.seconds.toFixed(2)} s, ${taken.residentMiB.toFixed(0)} MiB`,
    }
  },
}
