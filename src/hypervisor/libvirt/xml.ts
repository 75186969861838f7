/**
 * Reads XML as libvirt writes it: elements, attributes, text, the five named entities and numbered ones. No document type, no external
 * anything; comments and processing instructions are passed over.
 */
export interface XmlElement {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  /** Of this element itself, not of its children. */
  readonly text: string
}

/** Text that is no XML of that kind. */
export class XmlError extends Error {
  override readonly name = 'XmlError'
}

/** A domain's elements are some ten deep. */
const deepest = 100
const token =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([^\s/>]+)((?:[^>"']|"[^"]*"|'[^']*')*?)(\/?)>/y
const attribute = /([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g

interface Open {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly children: XmlElement[]
  text: string
}

/** @returns the outermost element. @throws XmlError */
export function parseXml(source: string): XmlElement {
  const top: Open = { name: '', attributes: new Map(), children: [], text: '' }
  const open: Open[] = [top]
  let at = 0
  while (at < source.length) {
    const current = open.at(-1) ?? top
    const next = source.indexOf('<', at)
    current.text += unescaped(source.slice(at, next < 0 ? source.length : next))
    if (next < 0) break
    token.lastIndex = next
    const found = token.exec(source)
    if (found === null) throw new XmlError(`no XML at ${JSON.stringify(source.slice(next, next + 40))}`)
    at = token.lastIndex
    const [, verbatim, closing, name, rest = '', empty] = found
    if (verbatim !== undefined) current.text += verbatim
    else if (name === undefined) continue
    else if (closing === '/') {
      if (current.name !== name || open.length < 2) throw new XmlError(`</${name}> closes nothing`)
      open.pop()
      open.at(-1)?.children.push(current)
    } else {
      const element = { name, attributes: attributesOf(rest), children: [], text: '' }
      if (empty === '/') current.children.push(element)
      else if (open.push(element) > deepest) throw new XmlError(`elements more than ${deepest} deep`)
    }
  }
  const [outermost, second] = top.children
  if (open.length !== 1 || outermost === undefined || second !== undefined)
    throw new XmlError('expected one outermost element that is closed')
  return outermost
}

const attributesOf = (text: string): ReadonlyMap<string, string> =>
  new Map([...text.matchAll(attribute)].map(([, name = '', a, b]) => [name, unescaped(a ?? b ?? '')]))

const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
const unescaped = (text: string): string =>
  text.includes('&')
    ? text.replaceAll(
        /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]+));/gi,
        (whole, hex?: string, decimal?: string, name?: string) =>
          name === undefined
            ? codePoint(Number.parseInt(hex ?? decimal ?? '', hex === undefined ? 10 : 16))
            : (named[name] ?? whole),
      )
    : text
const codePoint = (code: number): string => (code <= 0x10_ffff ? String.fromCodePoint(code) : '\u{fffd}')

export const escapeXml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;')

/** Along a path of names, the first of each. */
export const childAt = (element: XmlElement, ...path: readonly string[]): XmlElement | undefined =>
  path.reduce<XmlElement | undefined>((at, name) => at?.children.find(child => child.name === name), element)

export const childrenNamed = (element: XmlElement | undefined, name: string): readonly XmlElement[] =>
  element?.children.filter(child => child.name === name) ?? []
