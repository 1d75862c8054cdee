// Which captured files have the immutable or append-only flag of chattr(1): no archive holds it, so people
// are told. lsattr looks at all files while tar reads them. Invariant: it never fails a capture.
import type { GoldenClient } from './golden-client.ts'
import { quoteForShell } from './probe-script.ts'
import type { Selection } from './selection.ts'

const SCRIPT = `LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
export LC_ALL PATH
cd "$root" || exit 1
xargs -0 lsattr -d -- 2>/dev/null | grep -a '^[-A-Za-z]*[ia][-A-Za-z]* '
`
/** Such as `-----a--------e------- ./var/log/x`. */
const LINE = /^([-A-Za-z]{8,}) \.?(\/.*)?$/
const NAMES_SHOWN = 10

const FLAGS = { i: 'immutable', a: 'append-only' } as const

/** Resolves with a sentence for each flag that was found; empty when lsattr is not there. */
export async function reportFlags(
  client: GoldenClient,
  selection: Pick<Selection, 'names'>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const script = `root=${quoteForShell(client.root)}\n${SCRIPT}`
  const found = { i: { count: 0, names: [] as string[] }, a: { count: 0, names: [] as string[] } }
  const readLine = (line: string) => {
    const [, letters, path = '/'] = LINE.exec(line) ?? []
    for (const flag of ['i', 'a'] as const) {
      if (letters?.includes(flag) !== true) continue
      if (found[flag].names.length < NAMES_SHOWN) found[flag].names.push(path)
      found[flag].count++
    }
  }
  try {
    const io = { stdout: 'pipe', stdin: selection.names() } as const
    const program = client.startScript(script, io, signal)
    let rest = ''
    for await (const text of program.process.stdout?.setEncoding('utf8') ?? []) {
      const lines = (rest + String(text)).split('\n')
      rest = lines.pop() ?? ''
      lines.forEach(readLine)
    }
    await program.exited
  } catch {
    return [] // interrupted, or no connection: whoever reads the archive says so
  }
  return (['i', 'a'] as const).flatMap((flag) => {
    const { count, names } = found[flag]
    if (count === 0) return []
    const files = count === 1 ? '1 file' : `${count} files`
    const more = count > names.length ? ' …' : ''
    return [`The ${FLAGS[flag]} flag is not kept, which ${files} had: ${names.join(' ')}${more}`]
  })
}
