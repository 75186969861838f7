/**
 * A VM's policy in its domain's `<metadata>`, which libvirt keeps with the definition and carries to wherever the domain goes:
 *
 *     <lifeboat:policy xmlns:lifeboat="urn:lifeboat:vm-policy:1" value="3" group="db" max-downtime="500ms" allow="post-copy stop-copy"
 *                      action="move" targets="osaka nagoya-1" anti-affinity="db"/>
 *
 * What of it cannot be read does not count and is told, attribute by attribute: it hides neither the VM nor the rest.
 */
import { z } from 'zod'
import { valueSchema, vmPolicyShape } from '../../config/quantity-schema.ts'
import { type PolicyField, policyFields, type PolicyWords, saysNothing } from '../../core/inventory/policy-words.ts'
import { printTime } from '../../core/units.ts'
import { childAt, escapeXml, type XmlElement } from './xml.ts'

/** A name and no address: nothing is ever looked up. A format that older versions cannot read gets another number. */
export const policyUri = 'urn:lifeboat:vm-policy:1'
/** The prefix that libvirt gives the element. */
export const policyKey = 'lifeboat'

export interface ReadPolicy {
  readonly words: PolicyWords
  /** Each in half a sentence. */
  readonly unread: readonly string[]
}

const attributeOf = {
  value: 'value',
  group: 'group',
  maxDowntime: 'max-downtime',
  allow: 'allow',
  action: 'action',
  targets: 'targets',
  antiAffinity: 'anti-affinity',
} as const satisfies Record<PolicyField, string>

const wordsIn = (text: string): unknown => text.split(/[\s,]+/).filter(word => word !== '')
const numberIn = z
  .string()
  .regex(/^\s*\d+(\.\d+)?(e[+-]?\d+)?\s*$/i, 'a value is a number, 0 or more')
  .transform(Number)

/** @param domain the outermost element of a domain's definition */
export function policyIn(domain: XmlElement): ReadPolicy {
  const metadata = childAt(domain, 'metadata')
  const ours = (metadata?.children ?? []).filter(child => namespaceOf(child, metadata, domain) === policyUri)
  const [element, ...others] = ours.filter(child => localName(child.name) === 'policy')
  const strangers = ours.filter(child => localName(child.name) !== 'policy')
  const read = element === undefined ? { words: {}, unread: [] } : readElement(element)
  return {
    words: read.words,
    unread: [
      ...read.unread,
      ...strangers.map(({ name }) => `the element <${name}> is not known`),
      ...(others.length === 0 ? [] : ['there is more than one policy, of which the first counts']),
    ],
  }
}

function readElement({ attributes, children, text }: XmlElement): ReadPolicy {
  const unread: string[] = []
  const asText = (text: string): unknown => text
  const read = <T>(field: PolicyField, schema: z.ZodType<T>, from = asText): T | undefined => {
    const written = attributes.get(attributeOf[field])
    if (written === undefined) return undefined
    const parsed = schema.safeParse(from(written))
    if (parsed.success) return parsed.data
    unread.push(`${attributeOf[field]}="${written}": ${parsed.error.issues.map(issue => issue.message).join('; ')}`)
    return undefined
  }
  const { maxDowntime, allow, action, targets, antiAffinity } = vmPolicyShape
  const found: PolicyWords = {
    value: read('value', numberIn.pipe(valueSchema)),
    group: read('group', z.string()),
    maxDowntime: read('maxDowntime', maxDowntime),
    allow: read('allow', allow, wordsIn),
    action: read('action', action),
    targets: read('targets', targets, wordsIn),
    antiAffinity: read('antiAffinity', antiAffinity),
  }
  const known = new Set<string>(Object.values(attributeOf))
  for (const name of attributes.keys())
    if (!known.has(name) && !/^xmlns(:|$)/.test(name)) unread.push(`the attribute ${name} is not known`)
  for (const { name } of children) unread.push(`the element <${name}> in it is not known`)
  if (text.trim() !== '') unread.push('the text in it is not known')
  return { words: found, unread }
}

const localName = (name: string): string => name.slice(name.indexOf(':') + 1)

/** Declared on the element itself, as libvirt does it, or further out, as a human may. */
function namespaceOf(child: XmlElement, ...outwards: readonly (XmlElement | undefined)[]): string | undefined {
  const colon = child.name.indexOf(':')
  const declared = colon < 0 ? 'xmlns' : `xmlns:${child.name.slice(0, colon)}`
  return [child, ...outwards].map(element => element?.attributes.get(declared)).find(uri => uri !== undefined)
}

/**
 * The element as libvirt wants it: it adds the namespace and the prefix itself.
 * @returns undefined for words that say nothing: the element is then taken away
 */
export function policyElement(said: PolicyWords): string | undefined {
  if (saysNothing(said)) return undefined
  const attributes = policyFields.flatMap(field => {
    const text = textOf(field, said)
    return text === undefined ? [] : [` ${attributeOf[field]}="${escapeAttribute(text)}"`]
  })
  return `<policy${attributes.join('')}/>`
}

/** The same with its namespace, for a definition that is written by hand. */
export const policyMetadata = (said: PolicyWords): string | undefined =>
  policyElement(said)?.replace('<policy', `<${policyKey}:policy xmlns:${policyKey}="${policyUri}"`)

function textOf(field: PolicyField, said: PolicyWords): string | undefined {
  switch (field) {
    case 'value':
      return said.value === undefined ? undefined : String(said.value)
    case 'maxDowntime':
      return said.maxDowntime === undefined ? undefined : printTime(said.maxDowntime)
    case 'allow':
      return said.allow?.join(' ')
    case 'targets':
      return said.targets?.join(' ')
    case 'group':
    case 'action':
    case 'antiAffinity':
      return said[field]
  }
}

/** White space in an attribute is read as blanks (XML 1.0, 3.3.3), unless it is written as its number. */
const escapeAttribute = (text: string): string =>
  escapeXml(text).replaceAll(/[\t\n\r]/g, white => `&#${white.charCodeAt(0)};`)
