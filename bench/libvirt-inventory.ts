/** One process that takes an inventory: connects to each URI given, and reads list, state and XML of all domains. Prints what it took. */
import { LibvirtClient } from '../src/libvirt/public.ts'

const uris = process.argv.slice(2)
const signal = AbortSignal.timeout(60_000)
const flags = 0

interface Entry {
  readonly name: string
  readonly state: number
  readonly xml: string
}

async function inventoryOf(uri: string): Promise<readonly Entry[]> {
  await using client = await LibvirtClient.connect(uri, {}, signal)
  const { domains } = await client.call('connectListAllDomains', { needResults: true, flags }, signal)
  return await Promise.all(
    domains.map(async dom => {
      const [{ state }, { xml }] = await Promise.all([
        client.call('domainGetState', { dom, flags }, signal),
        client.call('domainGetXmlDesc', { dom, flags }, signal),
      ])
      return { name: dom.name, state, xml }
    }),
  )
}

const began = performance.now()
const inventory = (await Promise.all(uris.map(inventoryOf))).flat()
const took = performance.now() - began
const result = {
  domains: inventory.length,
  running: inventory.filter(({ state }) => state === 1).length,
  xmlBytes: inventory.reduce((sum, { xml }) => sum + xml.length, 0),
  seconds: took / 1000,
  // KiB, the most there ever was.
  residentMiB: process.resourceUsage().maxRSS / 1024,
}
process.stdout.write(`${JSON.stringify(result)}\n`)
