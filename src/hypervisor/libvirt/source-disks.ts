/** A source's disks: what its definition and QEMU say of them. */
import { bytes } from '../../core/units.ts'
import { type Domain, paramsByName, type TypedParam } from '../../libvirt/public.ts'
import { disksOfDomain } from './domain-disks.ts'
import type { Domains } from './domains.ts'
import type { DiskDefinition } from './libvirt-definition.ts'
import { numbersOf } from './libvirt-sample.ts'
import { Pools } from './pools.ts'

/** include/libvirt/libvirt-domain.h: virDomainStatsTypes, virConnectGetAllDomainStatsFlags. */
const blockStats = 1 << 5
const withBacking = 1 << 30

/** @param xml of the running domain */
export async function readDisks(
  domains: Domains,
  dom: Domain,
  xml: string,
  signal: AbortSignal,
): Promise<readonly DiskDefinition[]> {
  const disks = disksOfDomain(xml)
  if (!disks.some(({ kind }) => kind === 'copied')) return disks.map(withoutSizes)
  const { records } = await domains.daemon.call(
    'connectGetAllDomainStats',
    { doms: [dom], stats: blockStats, flags: withBacking },
    signal,
  )
  const sizes = sizesOf(records[0]?.params ?? [])
  const pools = new Pools(domains)
  return Promise.all(
    disks.map(async disk => {
      const { target, kind, chain } = disk
      const whole = withoutSizes(disk)
      if (kind !== 'copied') return whole
      const top = await domains.daemon.call('domainGetBlockInfo', { dom, path: target, flags: 0 }, signal)
      const images = chain.map(async (image, n) => {
        const {
          capacity = 0,
          allocation = 0,
          physical = 0,
        } = n === 0 ? top : (sizes.get(`${target} ${image.path}`) ?? {})
        return {
          ...image,
          capacity: bytes(capacity),
          // Of a base, which nobody writes to, QEMU counts no allocation: what its file takes bounds it.
          allocation: bytes(n === 0 ? allocation : Math.max(allocation, physical)),
          length: n === 0 ? bytes(0) : await pools.lengthOf(image.path, signal),
        }
      })
      return { ...whole, chain: await Promise.all(images) }
    }),
  )
}

const withoutSizes = (disk: ReturnType<typeof disksOfDomain>[number]): DiskDefinition => ({
  ...disk,
  chain: disk.chain.map(image => ({ ...image, capacity: bytes(0), allocation: bytes(0), length: bytes(0) })),
})

interface Sizes {
  readonly capacity: number
  readonly allocation: number
  readonly physical: number
}

/** By disk and path: `block.N.name`, `block.N.path`, … */
function sizesOf(params: readonly TypedParam[]): ReadonlyMap<string, Sizes> {
  const texts = paramsByName(params)
  const number = numbersOf(params)
  const found = new Map<string, Sizes>()
  for (let n = 0; n < (number('block.count') ?? 0); n += 1) {
    const sizes = {
      capacity: number(`block.${n}.capacity`) ?? 0,
      allocation: number(`block.${n}.allocation`) ?? 0,
      physical: number(`block.${n}.physical`) ?? 0,
    }
    found.set(`${texts.get(`block.${n}.name`)} ${texts.get(`block.${n}.path`)}`, sizes)
  }
  return found
}
