/** `lifeboat inventory`: every host and VM, and what each does now. `inventory export`: the same as a file that simulate reads. */
import { writeFileSync } from 'node:fs'
import type { Command as Program } from 'commander'
import { printInventory } from '../../config/inventory-file.ts'
import { vmsOfSite } from '../../core/inventory/snapshot.ts'
import { showPresence } from '../../core/migration/presence.ts'
import { freeMemory, openLedger } from '../../core/plan/ledger.ts'
import { showBytes, showRate } from '../../core/units.ts'
import type { Taken } from '../../engine/take-snapshot.ts'
import { exitCode } from '../exit.ts'
import { snapshotOf, withFleet } from '../fleet.ts'
import { formatOf, out, outJson, outLines } from '../output.ts'
import { paint } from '../render/paint.ts'
import { table } from '../render/table.ts'
import { warnAbout } from '../warn.ts'

export function addInventory(program: Program): void {
  const inventory = program
    .command('inventory')
    .summary('list sites, hosts and VMs as they are now')
    .description(
      'Lists sites, hosts and VMs as they are now: who runs where, what is free. Exits with 1 when a host does not answer.',
    )
    .option('-o, --output <format>', 'text or json')
    .action(async (flags: { output?: string }, command: Program) => {
      const format = formatOf(flags.output, ['text', 'json'])
      process.exitCode = await withFleet(command.optsWithGlobals<{ config?: string }>().config, async fleet => {
        const taken = await snapshotOf(fleet, AbortSignal.timeout(60_000))
        if (format === 'json')
          outJson({
            ...taken.snapshot,
            listings: taken.listings,
            warnings: taken.warnings,
            versions: Object.fromEntries(taken.versions),
          })
        else outLines(inventoryLines(taken))
        warnAbout(taken)
        return taken.snapshot.unreachable.length > 0 ? exitCode.partly : exitCode.asAsked
      })
    })
  inventory
    .command('export')
    .summary('write what there is as an inventory.yaml, the format of scenario folders')
    .argument('[file]', 'where to write; standard output if left out')
    .action(async (file: string | undefined, _flags: object, command: Program) => {
      process.exitCode = await withFleet(command.optsWithGlobals<{ config?: string }>().config, async fleet => {
        const taken = await snapshotOf(fleet, AbortSignal.timeout(60_000))
        const { snapshot } = taken
        const text = printInventory(snapshot, `exported by lifeboat on ${new Date().toISOString()}`)
        if (file === undefined) out(text.trimEnd())
        else writeFileSync(file, text)
        warnAbout(taken)
        return snapshot.unreachable.length > 0 ? exitCode.partly : exitCode.asAsked
      })
    })
}

function inventoryLines({ snapshot, listings, versions }: Taken): readonly string[] {
  const ledger = openLedger(snapshot)
  const down = new Map(snapshot.unreachable.map(({ host, why }) => [host, why]))
  const hosts = snapshot.hosts.map(host => {
    const site = snapshot.sites.find(({ id }) => id === host.site)
    const why = down.get(host.id)
    return [
      `${host.site}${site?.safe === true ? paint.good(' safe') : ''}`,
      host.id,
      why === undefined ? showBytes(host.memory) : '–',
      why === undefined ? showBytes(freeMemory(ledger, host.id)) : '–',
      String(snapshot.vms.filter(vm => vm.host === host.id).length),
      why === undefined ? (versions.get(host.id) ?? '') : paint.bad(`does not answer: ${why}`),
    ]
  })
  const right = 'right' as const
  const vms = listings.map(({ vm, presence }) => [
    vm.id,
    vm.host,
    presence.state === 'running' ? paint.good('running') : paint.warn(showPresence(presence)),
    showBytes(vm.memory),
    showBytes(vm.used),
    vm.dirty === undefined ? '' : showRate((vm.dirty.hot / vm.dirty.period) * 1000 + vm.dirty.cold),
    String(vm.value),
    vm.disks.map(disk => `${disk.name} ${showBytes(disk.size)}${disk.shared ? ' shared' : ''}`).join(', '),
  ])
  const counts = snapshot.sites.map(site => `${site.id} ${vmsOfSite(snapshot, site.id).length}`).join(', ')
  return [
    ...table(
      [
        { title: 'SITE' },
        { title: 'HOST' },
        { title: 'memory', align: right },
        { title: 'free', align: right },
        { title: 'VMs', align: right },
        { title: 'version' },
      ],
      hosts,
    ),
    '',
    ...(vms.length === 0
      ? ['no VMs']
      : table(
          [
            { title: 'VM' },
            { title: 'host' },
            { title: 'state' },
            { title: 'memory', align: right },
            { title: 'to send', align: right },
            { title: 'dirties', align: right },
            { title: 'value', align: right },
            { title: 'disks' },
          ],
          vms,
        )),
    '',
    `VMs: ${counts}`,
  ]
}
