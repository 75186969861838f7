/** Names of things, each with its own type, so that a host can never be passed where a VM is meant. */

declare const kind: unique symbol
type Id<K extends string> = string & { readonly [kind]: K }

export type SiteId = Id<'site'>
export type HostId = Id<'host'>
export type VmId = Id<'vm'>
/** Names are used once among sites and hosts together. */
export type PlaceId = SiteId | HostId
export type EvacuationId = Id<'evacuation'>

/** Letters, digits, `.`, `_`, `-`, `@`, `:`; starts with a letter or digit: safe in a path, a command line and a table. */
const shape = /^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$/
export const idRule = 'letters, digits and . _ - @ : (at most 128, the first a letter or digit)'
export const isId = (text: string): boolean => shape.test(text)

function checked(text: string, what: string): string {
  if (!isId(text)) throw new RangeError(`not a ${what} name: ${JSON.stringify(text)}; expected ${idRule}`)
  return text
}

/** @throws RangeError when the text is no usable name */
export const siteId = (text: string): SiteId => checked(text, 'site') as SiteId
/** @throws RangeError when the text is no usable name */
export const hostId = (text: string): HostId => checked(text, 'host') as HostId
/** A site or a host, where it is not known yet which. @throws RangeError when the text is no usable name */
export const placeId = (text: string): PlaceId => checked(text, 'site or host') as SiteId
/** @throws RangeError when the text is no usable name */
export const vmId = (text: string): VmId => checked(text, 'vm') as VmId
/** @throws RangeError when the text is no usable name */
export const evacuationId = (text: string): EvacuationId => checked(text, 'evacuation') as EvacuationId
