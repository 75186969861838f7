/**
 * `npm run bench [-- NAME…]`: measurements side by side. Each prints a table and writes bench/results/NAME.json. Nothing is asserted:
 * this machine may be busy, so only ratios within one run mean something.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { table } from '../src/cli/render/table.ts'
import { aimd } from './aimd.ts'
import { controller } from './controller.ts'
import { downtime } from './downtime.ts'
import { fidelity } from './fidelity.ts'
import { lab } from './lab.ts'
import { libvirt } from './libvirt.ts'
import { monitor } from './monitor.ts'
import { libvirtDisks } from './libvirt-disks.ts'
import { overhead } from './overhead.ts'
import { policies } from './policies.ts'
import { qmp } from './qmp.ts'
import { simulator } from './simulator.ts'
import { wrongInventory } from './wrong-inventory.ts'
import type { Bench } from './result.ts'

const benches: Readonly<Record<string, Bench>> = {
  qmp,
  libvirt,
  'libvirt-disks': libvirtDisks,
  controller,
  monitor,
  overhead,
  downtime,
  simulator,
  fidelity,
  lab,
  aimd,
  policies,
  'wrong-inventory': wrongInventory,
}

const asked = process.argv.slice(2)
const unknown = asked.filter(name => benches[name] === undefined)
if (unknown.length > 0) {
  process.stderr.write(
    `bench: no bench is named ${unknown.join(', ')}; there are: ${Object.keys(benches).join(', ')}\n`,
  )
  process.exit(2)
}
const results = new URL('results/', import.meta.url)
mkdirSync(results, { recursive: true })
for (const [name, bench] of Object.entries(benches)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  process.stdout.write(`\n${name}: ${bench.question}\n\n`)
  const { columns, rows, figures, verdict } = await bench.run(line => void process.stderr.write(`  ${line}\n`))
  process.stdout.write(`${table(columns, rows).join('\n')}\n\n${verdict}\n`)
  const machine = {
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    at: new Date().toISOString(),
  }
  writeFileSync(
    new URL(`${name}.json`, results),
    `${JSON.stringify({ bench: name, machine, figures }, undefined, 2)}\n`,
  )
}
