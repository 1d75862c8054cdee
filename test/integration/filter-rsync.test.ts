// Our exclude rules against rsync's own: random trees, random rules, the same files must remain.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createFilter, parseRuleFile } from '../../src/capture/filter-rules.ts'
import { FileListBuilder } from '../../src/capture/file-list.ts'
import { selectFiles } from '../../src/capture/selection.ts'
import { listScript } from '../../src/capture/list-script.ts'
import { run } from '../../src/host/host.ts'
import { withScope } from '../lab/scope.ts'

const RUNS = 300

/** Few letters, so that patterns meet names; among them what patterns treat as special. */
const letter = fc.constantFrom(
  'a',
  'b',
  'B',
  '1',
  '.',
  '-',
  '[',
  ']',
  '*',
  '?',
  '\\',
  '!',
  ' ',
  '#',
)
const name = fc
  .array(letter, { minLength: 1, maxLength: 3 })
  .map((letters) => letters.join(''))
  .filter((text) => text !== '.' && text !== '..')
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'))

const wild = fc.constantFrom(
  ...[
    '*',
    '**',
    '***',
    '?',
    '[ab]',
    '[!a]',
    '[^b]',
    '[a-z]',
    '[]a]',
    '[[:alpha:]]',
    '[[:digit:]b]',
  ],
  ...['[a', '[[:no:]]', '[\\]]', '[a-', '\\*', '\\a', '\\', '[b-a]', '[--1]', '[[:alpha]', '[!]'],
)
const token = fc.oneof(
  { weight: 3, arbitrary: letter },
  { weight: 2, arbitrary: wild },
  { weight: 2, arbitrary: fc.constant('/') },
)
const pattern = fc
  .tuple(fc.constantFrom('', '/', '**/', '*/'), fc.array(token, { minLength: 1, maxLength: 5 }))
  .map(([start, tokens]) => start + tokens.join(''))
const rule = fc
  .tuple(fc.constantFrom('- ', '+ ', ''), pattern, fc.constantFrom('', '', '/', '/**', '/***'))
  .map(([prefix, text, end]) => prefix + text + end)
const lines = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: rule },
    { weight: 1, arbitrary: fc.constantFrom('', '# x', '; x', '!') },
  ),
  { minLength: 1, maxLength: 6 },
)

async function makeTree(root: string, paths: readonly string[]): Promise<void> {
  await mkdir(root, { recursive: true })
  for (const text of paths) {
    const at = join(root, text)
    try {
      await mkdir(join(at, '..'), { recursive: true })
      await writeFile(at, '')
    } catch {
      // a file stands where this path wants a folder, or the other way round
    }
  }
}

async function ours(root: string, rules: string): Promise<string[]> {
  const builder = new FileListBuilder(['/'])
  const { stdout } = await run('sh', ['-s'], { input: listScript(root, ['/']) })
  builder.push(Buffer.from(stdout))
  const list = builder.finish()
  assert.ok(list !== undefined)
  const selection = selectFiles(list, createFilter(parseRuleFile(rules)))
  const names = Buffer.concat([...selection.names()])
    .toString()
    .split('\0')
  return names.filter((member) => member.length > 2).map((member) => member.slice(2))
}

async function theirs(root: string, rules: string): Promise<string[]> {
  const args = [
    '-n',
    '-r',
    '-8',
    '--out-format=%n',
    '--exclude-from=-',
    `${root}/`,
    `${root}.copy/`,
  ]
  const { stdout } = await run('rsync', args, { input: rules })
  return stdout
    .split('\n')
    .map((line) => line.replace(/\/$/, ''))
    .filter((line) => line !== '' && line !== '.' && !line.startsWith('created directory'))
}

describe('exclude rules', () => {
  test('createFilter() keeps what rsync keeps, for random trees and rules', async () => {
    await withScope(async (scope) => {
      let tree = 0
      await fc.assert(
        fc.asyncProperty(
          fc.array(path, { minLength: 1, maxLength: 12 }),
          lines,
          async (paths, list) => {
            const root = join(scope.directory, `tree-${tree++}`)
            await makeTree(root, paths)
            const rules = `${list.join('\n')}\n`
            assert.deepEqual((await ours(root, rules)).sort(), (await theirs(root, rules)).sort())
          },
        ),
        { numRuns: RUNS },
      )
    })
  })
})
