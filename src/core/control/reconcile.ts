/**
 * What to do about a VM, from what both sides answered: one table, read from top to bottom. The only place where this is decided.
 *
 * Facts it rests on: a target is started stopped (`-S`), so it has never run unless we told it to (`finishing`); a source that is
 * `left` (QEMU `postmigrate`) never resumes by itself; a source whose migration breaks before that does.
 */
import { showPresence, type Whereabouts } from '../migration/presence.ts'

export type Verdict =
  /** Still on its way: follow it. */
  | { readonly verdict: 'follow'; readonly as: 'pre-copy' | 'switchover' | 'post-copy' }
  | { readonly verdict: 'recover' }
  /** All of it is at the target, the source is stopped or gone: run it there. */
  | { readonly verdict: 'finish' }
  | { readonly verdict: 'landed' }
  /** Runs at home and the target has nothing. */
  | { readonly verdict: 'home' }
  /** Runs, or can be made to run, at home; what is at the target has never run: end it first. */
  | { readonly verdict: 'roll-back' }
  | { readonly verdict: 'died'; readonly why: string }
  /** Not provable now. */
  | { readonly verdict: 'ask-again'; readonly why: string }

export interface Asked {
  readonly where: Whereabouts
  /** The target may have been told to run. */
  readonly finishing: boolean
  /** Since the doubt arose; some states are allowed to last a little. @unit ms */
  readonly doubtFor: number
}

/** A target that still loads although its source has left gets this long before it is given up. */
export const patienceWithLoading = 30_000

export function reconcile({ where, finishing, doubtFor }: Asked): Verdict {
  const { source, target } = where
  const answers = `source says ${showPresence(source)}, target says ${showPresence(target)}`
  const askAgain = (why: string): Verdict => ({ verdict: 'ask-again', why: `${why}: ${answers}` })
  const died = (why: string): Verdict => ({ verdict: 'died', why: `${why}: ${answers}` })

  if (target.state === 'running') {
    if (source.state === 'running') return askAgain('runs on BOTH sides; stop one by hand')
    if (source.state === 'paused' && source.as === 'home')
      return askAgain('runs at the target while its source is paused, not sent away')
    return { verdict: 'landed' }
  }
  if (source.state === 'split' || target.state === 'split') {
    if (source.state === 'absent') return died('its source ended in post-copy')
    if (target.state === 'absent') return died('its target ended in post-copy')
    const broken = (source.state === 'split' && source.broken) || (target.state === 'split' && target.broken)
    // A target that waits for a page of a broken post-copy cannot answer until it is joined again.
    if (source.state === 'split' && source.broken && target.state === 'unreachable') return { verdict: 'recover' }
    if (source.state === 'unreachable' || target.state === 'unreachable')
      return askAgain('in post-copy, one side does not answer')
    return broken ? { verdict: 'recover' } : { verdict: 'follow', as: 'post-copy' }
  }
  // It ran there, and somebody or something stopped it: it is whole there, and older anywhere else.
  const stoppedThere = target.state === 'paused' && target.as !== 'ready'
  switch (source.state) {
    case 'running':
      if (target.state === 'absent') return { verdict: 'home' }
      if (stoppedThere) return askAgain('runs at home, and is stopped at the target, where it has run')
      if (target.state === 'unreachable') {
        if (finishing) return askAgain('runs at home, and the target, which was told to run it, does not answer')
        return source.migrating ? askAgain('the target does not answer') : { verdict: 'home' }
      }
      if (source.migrating && target.state === 'incoming') return { verdict: 'follow', as: 'pre-copy' }
      return { verdict: 'roll-back' }
    case 'paused':
      if (source.as === 'leaving')
        return doubtFor < patienceWithLoading ? { verdict: 'follow', as: 'switchover' } : askAgain('stopped half-way')
      if (target.state === 'unreachable') return askAgain('stopped at the source, and the target does not answer')
      if (source.as === 'home') {
        if (stoppedThere) return askAgain('stopped on both sides')
        return { verdict: target.state === 'absent' ? 'home' : 'roll-back' }
      }
      return source.as === 'left' ? departed('stopped at the source') : askAgain('has not run at the source yet')
    case 'absent':
      if (target.state === 'unreachable') return askAgain('gone at the source, and the target does not answer')
      if (target.state === 'absent' || target.state === 'incoming')
        return died('its process at the source is gone and the target does not have it whole')
      return departed('gone at the source')
    case 'unreachable':
      // Whole at the target, and the source was seen sent away before it went silent: it cannot have resumed.
      if (target.state === 'paused' && target.as === 'ready' && finishing) return { verdict: 'finish' }
      return askAgain('the source does not answer')
    case 'incoming':
      return askAgain('the source waits for a migration itself')
  }

  /** Everything was sent, the source will not resume by itself: only what the target says counts. */
  function departed(how: string): Verdict {
    if (target.state === 'paused' && target.as === 'ready') return { verdict: 'finish' }
    if (target.state === 'paused' && target.as === 'home' && finishing) return { verdict: 'finish' }
    if (stoppedThere) return askAgain(`${how}, and stopped at the target, where it has run`)
    // A target that was told to run does so when it has loaded, and may have: its source is not resumed any more.
    if (finishing) return askAgain(`${how}, and the target was told to run`)
    if (target.state === 'incoming' && doubtFor < patienceWithLoading) return askAgain('the target is still loading')
    return { verdict: 'roll-back' }
  }
}
