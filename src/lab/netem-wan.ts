/**
 * The WAN by the kernel: the wan namespace routes between the sites, and each site's interface there has, for every other site, an htb
 * class with the link's rate and a netem leaf with its delay and loss. Used where `sch_netem` exists; the kernel this was written on
 * has none, so this driver has been run nowhere yet (docs/lab.md says so too).
 */
import { gatewayNamespace, siteSubnet, underlayAddress, wanNamespace } from './lab-names.ts'
import { type LabLink, linkBetween } from './lab-spec.ts'
import { batchIn, inNamespace, numbered } from './network.ts'
import type { LinkChange, LinkStats, Wan } from './wan.ts'

/** Packets that may wait: 100 ms at the rate, and what is in flight during the delay (tc-netem(8), `limit`). */
const packetsFor = (rate: number, delayMs: number): number =>
  Math.max(50, Math.ceil((rate * (0.1 + delayMs / 1000)) / 1500))
/** A cut is a loss of everything. */
const leaf = (link: Pick<LabLink, 'rtt' | 'capacity' | 'loss'>, cut: boolean): readonly string[] => [
  'netem',
  'limit',
  String(packetsFor(link.capacity, link.rtt / 2)),
  'delay',
  `${link.rtt / 2}ms`,
  'loss',
  cut ? '100%' : `${link.loss * 100}%`,
]
const rateOf = (capacity: number): string => `${Math.max(1, Math.round(capacity * 8))}bit`

export function netemWan(): Wan {
  /** What links were changed to, since netem is set as a whole. */
  const now = new Map<string, LabLink & { cut: boolean }>()
  const currently = (link: LabLink) => now.get(link.between.join(' ')) ?? { ...link, cut: false }
  return {
    async make(spec, signal) {
      const sites = numbered(spec)
      const wan = wanNamespace(spec.name)
      await inNamespace(wan, ['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'], signal)
      for (const { site, number } of sites) {
        const others = sites.filter(other => other.number !== number)
        await batchIn(
          gatewayNamespace(spec.name, site.id),
          others.map(other => `route add ${siteSubnet(other.number)} via ${underlayAddress(number, 'wan')} dev wan0`),
          signal,
        )
        await batchIn(
          wan,
          [`route add ${siteSubnet(number)} via ${underlayAddress(number, 'gateway')} dev site${number}`],
          signal,
        )
        const device = `site${number}`
        await inNamespace(wan, ['tc', 'qdisc', 'replace', 'dev', device, 'root', 'handle', '1:', 'htb'], signal)
        for (const from of others) {
          const link = linkBetween(spec.links, site.id, from.site.id)
          if (link === undefined) continue
          const id = from.number.toString(16)
          await inNamespace(
            wan,
            [
              'tc',
              'class',
              'add',
              'dev',
              device,
              'parent',
              '1:',
              'classid',
              `1:${id}`,
              'htb',
              'rate',
              rateOf(link.capacity),
            ],
            signal,
          )
          await inNamespace(
            wan,
            ['tc', 'qdisc', 'add', 'dev', device, 'parent', `1:${id}`, 'handle', `${id}0:`, ...leaf(link, false)],
            signal,
          )
          await inNamespace(
            wan,
            [
              'tc',
              'filter',
              'add',
              'dev',
              device,
              'parent',
              '1:',
              'protocol',
              'ip',
              'u32',
              'match',
              'ip',
              'src',
              siteSubnet(from.number),
              'flowid',
              `1:${id}`,
            ],
            signal,
          )
        }
      }
      return []
    },
    async change(spec, link, to, signal) {
      const { cut, ...rest } = to
      const next = { ...currently(link), ...definedOnly(rest), ...(cut === undefined ? {} : { cut }) }
      now.set(link.between.join(' '), next)
      const [a, b] = link.between.map(id => spec.sites.findIndex(site => site.id === id) + 1)
      for (const [at, from] of [
        [a, b],
        [b, a],
      ] as const) {
        const device = `site${at}`
        const id = (from ?? 0).toString(16)
        const wan = wanNamespace(spec.name)
        await inNamespace(
          wan,
          [
            'tc',
            'class',
            'change',
            'dev',
            device,
            'parent',
            '1:',
            'classid',
            `1:${id}`,
            'htb',
            'rate',
            rateOf(next.capacity),
          ],
          signal,
        )
        await inNamespace(
          wan,
          ['tc', 'qdisc', 'change', 'dev', device, 'parent', `1:${id}`, 'handle', `${id}0:`, ...leaf(next, next.cut)],
          signal,
        )
      }
    },
    async stats(spec, signal) {
      const wan = wanNamespace(spec.name)
      const stats: LinkStats[] = []
      for (const { site, number } of numbered(spec)) {
        const text = await inNamespace(wan, ['tc', '-s', 'class', 'show', 'dev', `site${number}`], signal)
        for (const match of text.matchAll(
          /class htb 1:([0-9a-f]+)[^]*?Sent (\d+) bytes \d+ pkt \(dropped (\d+)[^]*?backlog (\d+)b/g,
        )) {
          const from = spec.sites[Number.parseInt(match[1] ?? '0', 16) - 1]
          const link = from === undefined ? undefined : linkBetween(spec.links, from.id, site.id)
          if (from === undefined || link === undefined) continue
          const { capacity, rtt, loss, cut } = currently(link)
          stats.push({
            from: from.id,
            to: site.id,
            capacity,
            rtt,
            loss,
            cut,
            carriedBytes: Number(match[2]),
            droppedPackets: Number(match[3]),
            queuedBytes: Number(match[4]),
          })
        }
      }
      return stats
    },
  }
}

const definedOnly = (change: Omit<LinkChange, 'cut'>): Partial<LabLink> => ({
  ...(change.capacity === undefined ? {} : { capacity: change.capacity }),
  ...(change.rtt === undefined ? {} : { rtt: change.rtt }),
  ...(change.loss === undefined ? {} : { loss: change.loss }),
})
