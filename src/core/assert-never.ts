/** Ends every switch over a union: a member that was forgotten fails to type-check, and throws if it ever arrives at run time. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`)
}
