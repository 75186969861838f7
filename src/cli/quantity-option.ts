/** Options whose value has a unit, or is a whole number: parsed where they are declared, refused with the option's name and what was expected. */
import { InvalidArgumentError, Option } from 'commander'
import { parseBytes, parseFraction, parseRate, parseTime, UnitError } from '../core/units.ts'

const parsers = { size: parseBytes, rate: parseRate, time: parseTime, percent: parseFraction } as const

/** @param standard as a user would write it */
export function quantityOption(
  flags: string,
  kind: keyof typeof parsers,
  description: string,
  standard?: string,
): Option {
  const parse = (text: string): number => {
    try {
      return parsers[kind](text)
    } catch (error) {
      if (error instanceof UnitError) throw new InvalidArgumentError(error.message)
      throw error
    }
  }
  const option = new Option(flags, description).argParser(parse)
  return standard === undefined ? option : option.default(parse(standard), standard)
}

/** As {@link quantityOption}, where nothing at all would mean that nothing happens. */
export function positiveQuantityOption(flags: string, kind: keyof typeof parsers, description: string): Option {
  const option = quantityOption(flags, kind, description)
  const parse = option.parseArg
  return option.argParser(text => {
    const value: unknown = parse?.(text, undefined)
    if (value === 0)
      throw new InvalidArgumentError('expected more than 0; leave the option out where there is no limit')
    return value
  })
}

const mostOfAnything = 100_000

export function countOption(flags: string, description: string, least: number, standard?: number): Option {
  const parse = (text: string): number => {
    const n = Number(text)
    if (!/^\d+$/.test(text) || n < least || n > mostOfAnything)
      throw new InvalidArgumentError(`expected a whole number, ${least} or more`)
    return n
  }
  const option = new Option(flags, description).argParser(parse)
  return standard === undefined ? option : option.default(standard)
}
