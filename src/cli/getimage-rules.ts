// --exclude, --include and --exclude-from of si-getimage: one list, in the order of the command line.
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { messageOf, SiError } from '../core/core.ts'

type RuleArgument =
  | { readonly type: '-' | '+'; readonly text: string }
  | { readonly type: 'file'; readonly path: string }

export interface RuleCollector {
  readonly list: readonly RuleArgument[]
  readonly exclude: (text: string) => void
  readonly include: (text: string) => void
  readonly from: (path: string) => void
}

/** Parsers for commander. */
export function collectRules(): RuleCollector {
  const list: RuleArgument[] = []
  return {
    list,
    exclude: (text) => void list.push({ type: '-', text }),
    include: (text) => void list.push({ type: '+', text }),
    from: (path) => void list.push({ type: 'file', path }),
  }
}

/**
 * The rules for a capture: none when nothing was said, else `!` first, so that those of the image's last
 * version do not apply. Throws ERR_SI_USAGE.
 */
export async function readRules(list: readonly RuleArgument[]): Promise<readonly string[]> {
  if (list.length === 0) return []
  const { parseRule, parseRuleFile } = await import('../capture/capture.ts')
  let rules: string[] = []
  for (const argument of list) {
    if (argument.type === 'file') {
      rules = parseRuleFile(await readRuleFile(argument.path), rules)
    } else {
      const rule = parseRule(argument.text, argument.type)
      rules = rule === undefined ? [] : [...rules, rule]
    }
  }
  return ['!', ...rules]
}

async function readRuleFile(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    const message = `Cannot read exclude list ${path}: ${messageOf(error)}`
    throw new SiError('ERR_SI_USAGE', message, { hint: 'Check the path', cause: error })
  })
  if (isUtf8(bytes)) return bytes.toString()
  throw new SiError('ERR_SI_USAGE', `Cannot use exclude list ${path}: it is not UTF-8`, {
    hint: 'Write ? for each byte of a name that is not UTF-8',
  })
}
