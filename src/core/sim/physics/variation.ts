/** By how much the random parts of a world vary about what is said of them. Assumptions, not measurements: enough to tell luck from merit. */

/** What a process or a monitor takes, from one time to the next. */
export const deedsVary = 0.2
/** How a guest writes, against what was measured before the alarm. */
export const guestsVary = 0.1
