// Lists the golden client's tree. Invariant: a list that is not whole is an error and never an image;
// directories that cannot be read are named.
import { SiError } from '../core/core.ts'
import type { GoldenClient } from './golden-client.ts'
import { FileListBuilder, type FileList } from './file-list.ts'
import { listScript } from './list-script.ts'

export interface ListedFiles {
  readonly list: FileList
  /** Sentences about what could not be read. */
  readonly unread: readonly string[]
}

const UNREAD_KEPT = 100

/** Throws ERR_SI_GOLDEN_CLIENT when the connection is lost, ERR_SI_CAPTURE, ERR_SI_ABORTED. */
export async function listFiles(
  client: GoldenClient,
  mountPoints: readonly string[],
  signal: AbortSignal,
): Promise<ListedFiles> {
  const script = listScript(client.root, mountPoints)
  const program = client.startScript(script, { stdout: 'pipe' }, signal)
  const builder = new FileListBuilder(mountPoints)
  try {
    for await (const bytes of program.process.stdout ?? []) {
      builder.push(bytes as Buffer)
    }
  } catch (error) {
    program.process.kill('SIGTERM')
    await program.exited
    throw error
  }
  const result = await program.exited
  const transport = client.transportError(result)
  if (transport !== undefined) throw transport
  const list = builder.finish()
  if (list === undefined) throw notListed(client, result)
  return { list, unread: unreadOf(result.stderr) }
}

function notListed(
  client: GoldenClient,
  result: { readonly exitCode: number; readonly stderr: string },
): SiError {
  const words = result.stderr.trim().split('\n').at(-1) || `status ${result.exitCode}`
  return new SiError('ERR_SI_CAPTURE', `Cannot list ${client.description}: ${words}`, {
    hint: 'Check that GNU find is installed there and the tree can be read',
    cause: result,
  })
}

/** `find: './a': Permission denied` → `Cannot read /a: Permission denied`. */
function unreadOf(stderr: string): string[] {
  const found = new Set<string>()
  for (const line of stderr.split('\n')) {
    const match = /^find: ['‘"](.*)['’"]: (.*)$/.exec(line)
    const [, path, why] = match ?? []
    // What vanished while find walked is as if it had never been there.
    if (path === undefined || why === undefined || why === 'No such file or directory') continue
    const shown = path === '.' ? '/' : path.replace(/^\.\//, '/')
    if (found.size < UNREAD_KEPT)
      found.add(`Not captured, because it cannot be read: ${shown}: ${why}`)
  }
  return [...found]
}
