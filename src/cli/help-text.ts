/** A description as source has it, one paragraph over several lines: joined, so that help fits terminals of every width. */
export const flowing = (text: string): string => text.replaceAll(/(?<!\n)\n(?!\n)/g, ' ')
