/** Work that must not overlap, in the order in which it was asked for. Who gives up waiting leaves the others in their order. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve()

  /** @throws what `work` throws; the signal's reason when it aborts before the turn came: nothing was done then */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted()
    const before = this.#last
    let leave = (): void => undefined
    const done = new Promise<void>(resolve => {
      leave = resolve
    })
    this.#last = before.then(() => done)
    try {
      await unlessAborted(before, signal)
      return await work()
    } finally {
      leave()
    }
  }
}

async function unlessAborted(waited: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stop = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    stop = () => signal.removeEventListener('abort', onAbort)
  })
  try {
    await Promise.race([waited, aborted])
  } finally {
    stop()
  }
}
