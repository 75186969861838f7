/** A plan for people: who goes where, in which order, when; and who does not, and why. */
import { showFailure } from '../../core/migration/failure.ts'
import type { Snapshot } from '../../core/inventory/snapshot.ts'
import type { Plan } from '../../core/plan/plan.ts'
import type { Bounds } from '../../core/report/bounds.ts'
import { showBytes, showTime } from '../../core/units.ts'
import { paint } from './paint.ts'
import { table } from './table.ts'

export function planLines(plan: Plan, snapshot: Snapshot, bounds: Bounds): readonly string[] {
  const vms = new Map(snapshot.vms.map(vm => [vm.id, vm]))
  const rows = plan.moves.map((move, at) => {
    const vm = vms.get(move.vm)
    return [
      String(at + 1),
      move.vm,
      `${move.source} → ${move.target}`,
      vm === undefined ? '' : showBytes(vm.memory),
      vm === undefined ? '' : showBytes(vm.used),
      move.start === undefined ? '–' : showTime(move.start),
      move.end === undefined ? '–' : showTime(move.end),
    ]
  })
  const right = 'right' as const
  const columns = [
    { title: '#', align: right },
    { title: 'VM' },
    { title: 'from → to' },
    { title: 'memory', align: right },
    { title: 'to send', align: right },
    { title: 'start', align: right },
    { title: 'end', align: right },
  ]
  const endless = plan.moves.filter(move => move.start !== undefined && move.end === undefined)
  const last = Math.max(0, ...plan.moves.map(move => move.end ?? Number.NaN))
  return [
    `Plan by policy ${plan.policy}: ${plan.moves.length} VMs to move, ${plan.unplaced.length} stay`,
    '',
    ...(rows.length === 0 ? [] : table(columns, rows)),
    ...plan.unplaced.map(({ vm, failure }) => paint.bad(`  ${vm} stays: ${showFailure(failure)}`)),
    '',
    ...forecastLines(
      plan,
      bounds,
      last,
      endless.map(({ vm }) => vm),
    ),
  ]
}

function forecastLines(plan: Plan, bounds: Bounds, last: number, endless: readonly string[]): readonly string[] {
  if (plan.moves.length === 0) return []
  if (!Number.isNaN(last)) {
    const limit = bounds.makespan === undefined ? '' : `, physical limit ${showTime(bounds.makespan)}`
    return [`Forecast makespan ${showTime(last)}${limit}`]
  }
  if (bounds.makespan === undefined)
    return ['No capacity is stated for the paths (lifeboat.yaml, paths), so no times can be forecast.']
  return [
    `No end can be forecast: ${endless.join(', ')} will not end by pre-copy: memory is written as fast as what is free of the path carries it.`,
  ]
}
