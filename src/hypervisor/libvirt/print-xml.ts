/** An element as text again, for a daemon that wants a part of what another one said. Comments and order of attributes are not kept. */
import { escapeXml, type XmlElement } from './xml.ts'

export function printXml({ name, attributes, children, text }: XmlElement): string {
  const head = `${name}${[...attributes].map(([key, value]) => ` ${key}='${escapeXml(value)}'`).join('')}`
  const body = `${escapeXml(text.trim())}${children.map(printXml).join('')}`
  return body === '' ? `<${head}/>` : `<${head}>${body}</${name}>`
}
