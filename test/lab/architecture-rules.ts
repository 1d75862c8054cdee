// The rules of src/ as functions over source text: which folder may import which, and what may occur
// only in one place. Pure: paths and texts in, violations out, so that a planted fault can be shown
// to be found. The order is that of DESIGN "Folders"; the reasons are in src/README.md.
import ts from 'typescript'

/** Imports may point to an earlier folder of this list, never to a later one. */
export const FOLDER_ORDER = [
  'core',
  'config',
  'host',
  'throttle',
  'pki',
  'torrent',
  'image',
  'repository',
  'capture',
  'swarm',
  'tracker',
  'deploy',
  'cluster',
  'netboot',
  'gridfs',
  'monitor',
  'server',
  'cli',
] as const

const MAXIMUM_LINES = 350
const EMPTY_NAMES = new Set(['utils', 'helpers', 'common', 'manager', 'misc'])
const HOST_MODULES = new Set(['child_process', 'koffi'])
const CLI_PROCESS_MEMBERS = new Set(['exit', 'exitCode', 'argv', 'stdout', 'stderr'])

export interface SourceFile {
  /** Relative to the repository, with slashes: `src/image/pack.ts`. */
  readonly path: string
  readonly text: string
}

/** One line per broken rule, `path:line: what is wrong`; empty when all is well. */
export function checkSources(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => [...checkFile(file)].map(({ line, what }) => at(file, line, what)))
}

interface Violation {
  readonly line: number
  readonly what: string
}

function at(file: SourceFile, line: number, what: string): string {
  return `${file.path}:${line}: ${what}`
}

function* checkFile(file: SourceFile): Generator<Violation> {
  yield* checkName(file.path)
  const lines = file.text.split('\n').length - 1
  if (lines > MAXIMUM_LINES) {
    yield { line: lines, what: `${lines} lines are more than ${MAXIMUM_LINES}` }
  }
  if (!file.path.startsWith('src/')) return
  const folder = file.path.split('/')[1] ?? ''
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true)
  for (const { specifier, line } of importsOf(source)) {
    for (const what of checkImport(file.path, folder, specifier)) yield { line, what }
  }
  if (folder !== 'cli') yield* checkProcessUse(source)
}

function* checkName(path: string): Generator<Violation> {
  const parts = path.replace(/(\.test)?\.ts$/, '').split('/')
  const empty = parts.find((part) => EMPTY_NAMES.has(part))
  if (empty !== undefined) yield { line: 1, what: `the name "${empty}" says nothing` }
  if (parts[0] !== 'src') return
  if (parts.length < 3) yield { line: 1, what: 'belongs into a folder of src' }
  else if (folderRank(parts[1]) < 0) {
    yield { line: 1, what: `folder "${parts[1]}" is not in the folder order` }
  }
}

function folderRank(folder: string | undefined): number {
  return FOLDER_ORDER.findIndex((name) => name === folder)
}

function* checkImport(path: string, folder: string, specifier: string | null): Generator<string> {
  if (specifier === null) {
    if (folder !== 'cli') yield 'an import with a computed name cannot be checked'
    return
  }
  const module = specifier.replace(/^node:/, '').split('/')[0] ?? ''
  if (HOST_MODULES.has(module) && folder !== 'host') yield `only src/host may import ${module}`
  if (module === 'process' && folder !== 'cli') yield 'only src/cli may import process'
  if (!specifier.startsWith('.')) return
  const target = resolveFrom(path, specifier).split('/')
  const targetFolder = target[1] ?? ''
  if (target[0] !== 'src') yield `imports ${specifier}, which is outside of src`
  else if (targetFolder === folder) return
  else if (folderRank(targetFolder) > folderRank(folder) || folderRank(targetFolder) < 0) {
    yield `${folder} may not import ${targetFolder}`
  } else if (target.length !== 3 || target[2] !== `${targetFolder}.ts`) {
    yield `imports ${specifier} past the door ${targetFolder}/${targetFolder}.ts`
  }
}

function resolveFrom(path: string, specifier: string): string {
  const parts = path.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

interface Import {
  /** Null when the name is computed. */
  readonly specifier: string | null
  readonly line: number
}

/** Static, dynamic, type and require imports, and files named by `new URL(x, import.meta.url)`. */
function importsOf(source: ts.SourceFile): Import[] {
  const imports: Import[] = []
  visit(source, (node) => {
    const name = importedName(node)
    if (name === undefined) return
    const specifier = ts.isStringLiteralLike(name) ? name.text : null
    imports.push({ specifier, line: lineOf(source, node) })
  })
  return imports
}

function importedName(node: ts.Node): ts.Node | undefined {
  if (ts.isImportDeclaration(node)) return node.moduleSpecifier
  if (ts.isExportDeclaration(node)) return node.moduleSpecifier
  if (ts.isExternalModuleReference(node)) return node.expression
  if (ts.isImportTypeNode(node)) {
    return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument
  }
  if (ts.isNewExpression(node)) return workerFileName(node)
  if (!ts.isCallExpression(node)) return undefined
  if (node.expression.kind === ts.SyntaxKind.ImportKeyword) return node.arguments[0]
  const callee = node.expression.getText()
  return /^require$|\.getBuiltinModule$/.test(callee) ? node.arguments[0] : undefined
}

/** `new URL('./worker.ts', import.meta.url)` names a module that a worker thread will import. */
function workerFileName(node: ts.NewExpression): ts.Node | undefined {
  const [name, base] = node.arguments ?? []
  const isModule = base?.getText() === 'import.meta.url'
  if (!isModule || name === undefined || !ts.isStringLiteralLike(name)) return undefined
  return /\.[jt]s$/.test(name.text) ? name : undefined
}

function* checkProcessUse(source: ts.SourceFile): Generator<Violation> {
  const found: Violation[] = []
  visit(source, (node) => {
    const what = forbiddenGlobal(node)
    if (what !== undefined) found.push({ line: lineOf(source, node), what })
  })
  yield* found
}

function forbiddenGlobal(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)) {
    const object = node.expression.getText().replace(/^globalThis\./, '')
    if (object === 'console') return 'only src/cli may use console'
    return object === 'process' ? forbiddenMember(memberName(node)) : undefined
  }
  if (!ts.isVariableDeclaration(node) || node.initializer?.getText() !== 'process') return undefined
  if (!ts.isObjectBindingPattern(node.name)) return 'process may not get another name'
  return node.name.elements
    .map((element) => forbiddenMember((element.propertyName ?? element.name).getText()))
    .find((what) => what !== undefined)
}

function memberName(node: ts.PropertyAccessExpression | ts.ElementAccessExpression): string {
  if (ts.isPropertyAccessExpression(node)) return node.name.text
  return ts.isStringLiteralLike(node.argumentExpression) ? node.argumentExpression.text : ''
}

function forbiddenMember(member: string): string | undefined {
  return CLI_PROCESS_MEMBERS.has(member) ? `only src/cli may use process.${member}` : undefined
}

function visit(node: ts.Node, onNode: (node: ts.Node) => void): void {
  onNode(node)
  ts.forEachChild(node, (child) => visit(child, onNode))
}

function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart()).line + 1
}
