/**
 * Namespaces, bridges and routes of a lab. A host is a namespace with one interface to its site's gateway; gateways meet on the WAN
 * (wan.ts). Offloads are off so that packets are what they claim to be when they are put into a tunnel.
 */
import { existsSync, readdirSync } from 'node:fs'
import { localRemote } from '../remote/local.ts'
import { runOk } from '../remote/remote.ts'
import {
  gatewayAddress,
  gatewayNamespace,
  hostAddress,
  hostNamespace,
  prefixOf,
  underlayAddress,
  wanNamespace,
} from './lab-names.ts'
import type { LabSpec } from './lab-spec.ts'

/** Large packets keep the relay cheap; the tunnel's own header fits between the two. @unit bytes */
export const innerMtu = 8_900
export const outerMtu = 9_000

const batch = (lines: readonly string[], namespace: string | undefined, signal: AbortSignal): Promise<string> =>
  runOk(
    localRemote,
    ['ip', ...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'],
    { stdin: `${lines.join('\n')}\n` },
    signal,
  )

export const inNamespace = (namespace: string, argv: readonly string[], signal: AbortSignal): Promise<string> =>
  runOk(localRemote, ['ip', 'netns', 'exec', namespace, ...argv], {}, signal)

export const batchIn = (namespace: string, lines: readonly string[], signal: AbortSignal): Promise<string> =>
  batch(lines, namespace, signal)

/** Sites and hosts by their numbers, from 1. */
export function numbered(spec: LabSpec) {
  return spec.sites.map((site, s) => ({
    site,
    number: s + 1,
    hosts: spec.hosts.filter(host => host.site === site.id).map((host, h) => ({ host, number: h + 1 })),
  }))
}

/** Everything but the WAN between the gateways. */
export async function makeNetwork(spec: LabSpec, signal: AbortSignal): Promise<void> {
  const lab = spec.name
  const sites = numbered(spec)
  const wan = wanNamespace(lab)
  await batch(
    [
      wan,
      ...sites.map(({ site }) => gatewayNamespace(lab, site.id)),
      ...spec.hosts.map(host => hostNamespace(lab, host.id)),
    ].map(name => `netns add ${name}`),
    undefined,
    signal,
  )
  await batch(
    sites.flatMap(({ site, number, hosts }) => {
      const gateway = gatewayNamespace(lab, site.id)
      return [
        `link add wan0 mtu ${outerMtu} netns ${gateway} type veth peer name site${number} mtu ${outerMtu} netns ${wan}`,
        ...hosts.map(
          ({ host, number: h }) =>
            `link add eth0 mtu ${innerMtu} netns ${hostNamespace(lab, host.id)} type veth peer name host${h} mtu ${innerMtu} netns ${gateway}`,
        ),
      ]
    }),
    undefined,
    signal,
  )
  await batchIn(
    wan,
    [
      'link set lo up',
      ...sites.flatMap(({ number }) => [
        `addr add ${underlayAddress(number, 'wan')}/24 dev site${number}`,
        `link set site${number} up`,
      ]),
    ],
    signal,
  )
  for (const { site, number, hosts } of sites) {
    const gateway = gatewayNamespace(lab, site.id)
    await batchIn(
      gateway,
      [
        'link set lo up',
        `link add br0 mtu ${innerMtu} type bridge`,
        `addr add ${gatewayAddress(number)}/24 dev br0`,
        'link set br0 up',
        `addr add ${underlayAddress(number, 'gateway')}/24 dev wan0`,
        'link set wan0 up',
        ...hosts.flatMap(({ number: h }) => [`link set host${h} master br0`, `link set host${h} up`]),
      ],
      signal,
    )
    await inNamespace(gateway, ['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'], signal)
    for (const { host, number: h } of hosts) {
      const namespace = hostNamespace(lab, host.id)
      await batchIn(
        namespace,
        [
          'link set lo up',
          `addr add ${hostAddress(number, h)}/24 dev eth0`,
          'link set eth0 up',
          `route add default via ${gatewayAddress(number)}`,
        ],
        signal,
      )
      await inNamespace(
        namespace,
        ['ethtool', '-K', 'eth0', 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'],
        signal,
      )
    }
  }
}

/** Namespaces that belong to a lab by their name and exist now. */
export const namespacesOf = (lab: string): readonly string[] =>
  existsSync('/run/netns') ? readdirSync('/run/netns').filter(name => name.startsWith(prefixOf(lab))) : []

/** Removes namespaces; their interfaces go with them. Those that are gone already are no error. */
export async function removeNamespaces(names: readonly string[], signal: AbortSignal): Promise<void> {
  for (const name of names) {
    const result = await localRemote.run(['ip', 'netns', 'del', name], {}, signal)
    if (result.code !== 0 && existsSync(`/run/netns/${name}`))
      throw new Error(`namespace ${name} could not be removed: ${result.stderr.trim()}`)
  }
}
