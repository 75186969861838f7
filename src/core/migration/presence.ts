/** What one host answers when asked for one VM. Two such answers, source and target, are all anybody can know. */
export type Presence =
  /** `migrating`: memory is being sent away right now. */
  | { readonly state: 'running'; readonly migrating: boolean }
  /**
   * Stopped with all its memory in place. `home`: somebody paused it; `leaving`: stopped for the last part of its own migration;
   * `left`: sent away whole (QEMU `postmigrate`), it never resumes by itself; `ready`: arrived whole, has not run yet.
   */
  | { readonly state: 'paused'; readonly as: 'home' | 'leaving' | 'left' | 'ready'; readonly detail: string }
  /** A target that waits for, or receives, memory. It has never run. */
  | { readonly state: 'incoming' }
  /** In post-copy: runs, or would run, with part of its memory on the other side. */
  | { readonly state: 'split'; readonly broken: boolean }
  /** Proven: no process of this VM exists there. */
  | { readonly state: 'absent'; readonly detail: string }
  /** Not an answer. It may be running. */
  | { readonly state: 'unreachable'; readonly detail: string }

export interface Whereabouts {
  readonly source: Presence
  readonly target: Presence
}

export const showPresence = (presence: Presence): string => {
  switch (presence.state) {
    case 'running':
      return presence.migrating ? 'running, sending' : 'running'
    case 'incoming':
      return 'incoming'
    case 'split':
      return presence.broken ? 'post-copy, broken' : 'post-copy'
    case 'paused':
    case 'absent':
    case 'unreachable':
      return `${presence.state} (${presence.detail})`
  }
}
