/** Times since the alarm as people say them: the hour on the wall where there is one, else how long after the alarm. */
import type { Started } from '../../core/control/observed.ts'
import type { ClockText } from '../../core/report/triage-sentence.ts'
import { showTime } from '../../core/units.ts'

/** `14:32:07`, in the zone of whoever looks. */
export const wallClock =
  (alarm: number): ClockText =>
  sinceAlarm => {
    const at = new Date(alarm + sinceAlarm)
    return [at.getHours(), at.getMinutes(), at.getSeconds()].map(part => String(part).padStart(2, '0')).join(':')
  }

/** A simulated evacuation has an alarm, and no hour of the day. */
export const sinceTheAlarm: ClockText = sinceAlarm => `+${showTime(sinceAlarm)}`

export const clockOf = ({
  started,
  startedAt,
}: {
  readonly started: Pick<Started, 'world'>
  readonly startedAt: number
}) => (started.world === 'simulated' ? sinceTheAlarm : wallClock(startedAt))
