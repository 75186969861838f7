/** For commands whose reply says nothing: it came, and that is all. */
export const ignoreReply = (_raw: unknown): void => undefined
