/** libvirt's lists of named values, each with the type it comes with (remote_protocol.x, remote_typed_param). */
import { array, type Codec, double, flag, hyper, int, string, struct, uint, unsignedHyper, XdrError } from './xdr.ts'
import { stringMost } from './limits.ts'

export type TypedValue =
  | { readonly type: 'int' | 'uint' | 'double'; readonly value: number }
  | { readonly type: 'llong' | 'ullong'; readonly value: bigint }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }

export interface TypedParam {
  readonly field: string
  readonly value: TypedValue
}

/** include/libvirt/libvirt-common.h, virTypedParameterType. */
const types = { int: 1, uint: 2, llong: 3, ullong: 4, double: 5, boolean: 6, string: 7 } as const
const typeNames = new Map(Object.entries(types).map(([name, number]) => [number as number, name as TypedValue['type']]))
const text = string(stringMost)

const typedValue: Codec<TypedValue> = {
  write: (to, typed) => {
    int.write(to, types[typed.type])
    switch (typed.type) {
      case 'int':
        return int.write(to, typed.value)
      case 'uint':
        return uint.write(to, typed.value)
      case 'llong':
        return hyper.write(to, typed.value)
      case 'ullong':
        return unsignedHyper.write(to, typed.value)
      case 'double':
        return double.write(to, typed.value)
      case 'boolean':
        return flag.write(to, typed.value)
      case 'string':
        return text.write(to, typed.value)
    }
  },
  read: from => {
    const number = int.read(from)
    const type = typeNames.get(number)
    switch (type) {
      case 'int':
        return { type, value: int.read(from) }
      case 'uint':
        return { type, value: uint.read(from) }
      case 'llong':
        return { type, value: hyper.read(from) }
      case 'ullong':
        return { type, value: unsignedHyper.read(from) }
      case 'double':
        return { type, value: double.read(from) }
      case 'boolean':
        return { type, value: flag.read(from) }
      case 'string':
        return { type, value: text.read(from) }
      case undefined:
        throw new XdrError(`${number} is no type of a parameter`)
    }
  },
}

export const typedParams = (most: number): Codec<readonly TypedParam[]> =>
  array(struct({ field: text, value: typedValue }), most)

/** As a map by name; numbers of 64 bits become doubles where they fit exactly, else stay as they are. */
export function paramsByName(params: readonly TypedParam[]): ReadonlyMap<string, number | bigint | boolean | string> {
  return new Map(
    params.map(({ field, value: { value } }) => [
      field,
      typeof value === 'bigint' && value >= -safe && value <= safe ? Number(value) : value,
    ]),
  )
}
const safe = BigInt(Number.MAX_SAFE_INTEGER)

export const param = {
  int: (field: string, value: number): TypedParam => ({ field, value: { type: 'int', value } }),
  ullong: (field: string, value: number | bigint): TypedParam => ({
    field,
    value: { type: 'ullong', value: BigInt(value) },
  }),
  string: (field: string, value: string): TypedParam => ({ field, value: { type: 'string', value } }),
} as const
