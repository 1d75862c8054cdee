// The machine's own name: /etc/hostname (hostname(5)) and its line in /etc/hosts, as Debian has it.
import { SiError } from '../../core/core.ts'
import type { TargetTree } from './target-tree.ts'

const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i

/** `node01` or `node01.cluster.example`. Throws ERR_SI_USAGE. */
export function parseHostName(text: string): string {
  if (HOST_NAME.test(text)) return text.toLowerCase()
  throw new SiError('ERR_SI_USAGE', `${JSON.stringify(text)} is no host name`, {
    hint: 'Use letters, digits and hyphens, such as node01 or node01.cluster.example',
  })
}

/** /etc/hostname gets the first label; the full name is found through /etc/hosts. */
export async function setHostName(tree: TargetTree, hostName: string): Promise<void> {
  const golden = ((await tree.read('etc/hostname')) ?? '').trim()
  await tree.write('etc/hostname', `${shortName(hostName)}\n`)
  const hosts = (await tree.read('etc/hosts')) ?? '127.0.0.1 localhost\n'
  await tree.write('etc/hosts', formatHosts(hosts, hostName, golden))
}

/** /etc/hosts with one line for this machine; names of the golden client at 127.* and ::1 go. Pure. */
export function formatHosts(text: string, hostName: string, golden: string): string {
  const short = shortName(hostName)
  const names = short === hostName ? short : `${hostName} ${short}`
  const own = `127.0.1.1 ${names}`
  let isWritten = false
  const lines = text.split('\n').flatMap((line) => {
    const [address = '', ...rest] = (line.split('#')[0] ?? '').trim().split(/\s+/)
    if (address === '127.0.1.1') return isWritten ? [] : [((isWritten = true), own)]
    if (!/^(127\.|::1$)/.test(address) || golden === '') return [line]
    const isGolden = (name: string) => name === golden || name.startsWith(`${golden}.`)
    if (!rest.some(isGolden)) return [line]
    const others = rest.filter((name) => !isGolden(name))
    return others.length === 0 ? [] : [[address, ...others].join(' ')]
  })
  if (isWritten) return lines.join('\n')
  const after = lines.findLastIndex((line) => /^127\./.test(line.trim()))
  return lines.toSpliced(after + 1, 0, own).join('\n')
}

function shortName(hostName: string): string {
  return hostName.split('.')[0] ?? hostName
}
