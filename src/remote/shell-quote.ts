/** Words for a POSIX shell at the other end: everything literal. */
export const shellQuote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`
