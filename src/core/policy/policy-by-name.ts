/** The list of policies, and how an operator names one. */
import { aimd } from './aimd.ts'
import { finishFirst } from './finish-first.ts'
import { fixedN } from './fixed-n.ts'
import { kubevirt } from './kubevirt.ts'
import { nova } from './nova.ts'
import { ovirt } from './ovirt.ts'
import type { Policy } from './policy.ts'
import { defaultWorkers, proxmox } from './proxmox.ts'

export const policyNames = [
  'finish-first',
  'sequential',
  'fixed:N',
  'all-at-once',
  'aimd',
  'kubevirt',
  'nova',
  'ovirt',
  'proxmox',
] as const
export const defaultPolicy = 'finish-first'

export class UnknownPolicy extends Error {
  override readonly name = 'UnknownPolicy'
}

const peers: Readonly<Record<string, () => Policy>> = {
  'finish-first': finishFirst,
  aimd: () => aimd(),
  kubevirt,
  nova,
  ovirt,
  proxmox: () => proxmox('proxmox', defaultWorkers),
}

/** @throws UnknownPolicy, with the names there are */
export function policyByName(name: string): Policy {
  if (name === 'sequential') return fixedN(name, 1)
  if (name === 'all-at-once') return fixedN(name, Number.POSITIVE_INFINITY)
  const fixed = /^fixed:([1-9]\d{0,3})$/.exec(name)
  if (fixed !== null) return fixedN(name, Number(fixed[1]))
  const peer = Object.hasOwn(peers, name) ? peers[name] : undefined
  if (peer !== undefined) return peer()
  // EVERY ms, GAIN, CUT, FALL, REST: for those who want to tune it.
  const tuned = /^aimd:(\d+),(0?\.\d+),(0?\.\d+),(0?\.\d+),(\d+)$/.exec(name)
  if (tuned !== null) {
    const [every = 0, gain = 0, cut = 0, fall = 0, rest = 0] = tuned.slice(1).map(Number)
    return aimd({ every, gain, cut, fall, rest }, name)
  }
  const workers = /^proxmox:([1-9]\d{0,3})$/.exec(name)
  if (workers !== null) return proxmox(name, Number(workers[1]))
  const hint = name.startsWith('fixed') ? ' (N is a whole number from 1, like fixed:4)' : ''
  throw new UnknownPolicy(`unknown policy "${name}"${hint}; there are: ${policyNames.join(', ')}`)
}
