// As much of XML 1.0 as a cluster.xml needs: elements, text, comments, CDATA and the five entities; attributes
// are read over. Invariant: document types are refused, so that no entity grows, and depth is bounded.
import { SiError } from '../core/core.ts'

export interface XmlElement {
  readonly name: string
  readonly children: readonly XmlElement[]
  /** All text directly inside, trimmed. */
  readonly text: string
  readonly line: number
}

interface OpenElement {
  readonly name: string
  readonly children: XmlElement[]
  text: string
  readonly line: number
}

const MAX_DEPTH = 32
const ENTITIES: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
}

/** Comment, CDATA, declaration, tag, or text up to the next of them. */
const TOKEN =
  /<!--[^]*?-->|<!\[CDATA\[([^]*?)\]\]>|<\?[^]*?\?>|<(\/?)([\w.:-]+)([^<>]*?)(\/?)>|[^<]+/gy

/** The root element. Throws ERR_SI_CONFIGURATION. */
export function parseXml(text: string, file: string): XmlElement {
  const root: OpenElement = { name: '', children: [], text: '', line: 1 }
  const open: OpenElement[] = [root]
  let line = 1
  TOKEN.lastIndex = 0
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const match = TOKEN.exec(text)
    if (match === null) throw broken(file, line, describe(text.slice(at)))
    const [token, data, slash, name, , isEmpty] = match
    const top = open.at(-1) ?? root
    if (name === undefined) top.text += data ?? (token.startsWith('<') ? '' : decode(token))
    else if (slash === '/')
      closeElement(open, name, () => broken(file, line, `</${name}> closes nothing`))
    else {
      const element: OpenElement = { name, children: [], text: '', line }
      if (open.length > MAX_DEPTH) throw broken(file, line, 'the elements are nested too deeply')
      open.push(element)
      if (isEmpty === '/') closeElement(open, name, () => broken(file, line, token))
    }
    line += token.split('\n').length - 1
  }
  const [element, other] = root.children
  if (open.length > 1) throw broken(file, line, `<${open.at(-1)?.name ?? ''}> is not closed`)
  if (element === undefined) throw broken(file, 1, 'this is no XML')
  if (other !== undefined) throw broken(file, line, 'there must be one root')
  return element
}

function closeElement(open: OpenElement[], name: string, fault: () => SiError): void {
  const element = open.pop()
  if (element?.name !== name || open.length === 0) throw fault()
  open.at(-1)?.children.push({ ...element, text: element.text.trim() })
}

function decode(text: string): string {
  return text.replace(/&(\w+);/g, (entity, name: string) => ENTITIES[name] ?? entity)
}

function describe(rest: string): string {
  if (/^<!DOCTYPE/i.test(rest)) return 'document types are not read'
  return `cannot read ${JSON.stringify(rest.slice(0, 30))}`
}

function broken(file: string, line: number, why: string): SiError {
  return new SiError('ERR_SI_CONFIGURATION', `Cannot use ${file}: line ${line}: ${why}`)
}
