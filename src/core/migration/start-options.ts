/** What must be chosen before memory flows, because no hypervisor can change it afterwards. */
export interface StartOptions {
  /** Parallel connections; 1 is the plain stream. */
  readonly channels: number
  readonly compression: 'none' | 'zlib' | 'zstd'
  readonly autoConverge: boolean
  /** Post-copy must be allowed from the beginning, or it cannot be started later. */
  readonly postCopy: boolean
}
export const plainStart: StartOptions = { channels: 1, compression: 'none', autoConverge: false, postCopy: false }
