/**
 * The log of a simulated evacuation, one line a decision in virtual time: what `--log` prints and a scenario's expect.log holds.
 *
 *     00:01:30.000  * path sendai – osaka: capacity 200 Mbit/s
 *     00:01:31.040    web-1: attempt 1 failed: path-lost: connection timed out
 *     00:01:31.040  > prepare web-1 at osaka-2 (attempt 2)
 *
 * `*` is what happens to the world, `>` what the controller decides, a line without either what it learned, `=` what it came to.
 */
import { isForecast } from '../control/on-forecast.ts'
import { decisionOf, inOneLine, sentenceOf } from '../report/sentence.ts'
import { dangerOf } from '../report/report.ts'
import { outcomeOf, reasonOf } from '../migration/outcome.ts'
import { showBytes, showRate, showTime } from '../units.ts'
import { diedAfterwards, type SimRow, type Simulated } from './simulate.ts'
import type { Happening, PathChange } from './timeline.ts'

/** `HH:MM:SS.mmm` since the alarm. */
export function clockText(at: number): string {
  const whole = Math.round(at)
  const two = (n: number): string => String(n).padStart(2, '0')
  const time = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60, Math.floor(whole / 1000) % 60].map(two)
  return `${time.join(':')}.${String(whole % 1000).padStart(3, '0')}`
}

/** Lines of one batch of facts and decisions. Samples and forecasts are left out: they decide nothing by themselves. */
export function linesOfRow({ at, event, commands }: SimRow): readonly string[] {
  const fact = event.kind === 'progress' || isForecast(event) ? undefined : sentenceOf(event)
  return [
    ...(fact === undefined ? [] : [`${clockText(at)}    ${fact}`]),
    ...commands.map(command => `${clockText(at)}  > ${decisionOf(command)}`),
  ]
}

export const lineOfHappening = (at: number, what: Happening): string => `${clockText(at)}  * ${happeningText(what)}`

function happeningText(what: Happening): string {
  switch (what.kind) {
    case 'path':
      return `path ${what.path.join(' – ')}: ${changeText(what.change)}`
    case 'cut':
      return `path ${what.path.join(' – ')} is cut`
    case 'heal':
      return `path ${what.path.join(' – ')} is whole again`
    case 'power':
      return `power of ${what.site}: ${showTime(what.runtime)} left, says its UPS`
    case 'power-off':
      return `${what.site} loses its power`
    case 'host-down':
      return `${what.host} goes down`
    case 'dirty': {
      const { hot, period, cold } = what.model
      return `${what.vm} writes ${showBytes(hot)} every ${showTime(period)}, and ${showRate(cold)} beside`
    }
    case 'crash':
      return `the controller dies, for ${showTime(what.lasts)}`
    case 'endanger':
      return `${what.site} is in danger`
    case 'occupied':
      return `somebody else takes ${showBytes(what.memory)} of ${what.host}`
    case 'busy':
      return `processors of ${what.host} are ${Math.round(what.processors * 100)} % busy`
    case 'fail': {
      const often =
        what.times === 1 ? 'the next attempt' : Number.isFinite(what.times) ? `${what.times} attempts` : 'every attempt'
      return `${often} of ${what.vm} will fail: ${what.how}`
    }
  }
}

const changeText = ({ capacity, rtt, loss, perFlow, background }: PathChange): string =>
  [
    capacity === undefined ? [] : `capacity ${showRate(capacity)}`,
    rtt === undefined ? [] : `round trip ${showTime(rtt)}`,
    loss === undefined ? [] : `loss ${Number((loss * 100).toPrecision(6))} %`,
    perFlow === undefined ? [] : `one flow ${showRate(perFlow)}`,
    background === undefined ? [] : `others ${showRate(background)}`,
  ]
    .flat()
    .join(', ')

/** Who is safe, and why the others are not. */
export function lastLines({ state, world, cutShort }: Simulated): readonly string[] {
  const at = clockText(state.endedAt ?? world.kernel.now)
  const all = [...state.migrations.values()]
  const unsafe = all.flatMap(m => {
    if (m.phase !== 'landed') return [`${m.vm}: ${outcomeOf(m)}: ${inOneLine(reasonOf(m) ?? 'no reason')}`]
    const died = diedAfterwards({ world }, m)
    return died === undefined ? [] : [`${m.vm}: lost: ${died}`]
  })
  const safe = all.length - unsafe.length
  const threatened = all.flatMap(m => {
    const why = m.phase === 'landed' && diedAfterwards({ world }, m) === undefined ? dangerOf(state, m) : undefined
    return why === undefined ? [] : [{ vm: m.vm, why }]
  })
  return [
    ...unsafe.map(line => `${at}  = ${line}`),
    ...threatened.map(({ vm, why }) => `${at}  = ${vm}: ${why}`),
    `${at}  = ${cutShort ? 'not over' : 'over'}: safe ${safe} of ${all.length}${threatened.length === 0 ? '' : `, ${threatened.length} of them in danger again`}`,
  ]
}
