// Programs that work on a grid file system while something is killed under them: each call must do exactly
// what it says, once, and what they have written is told, to be compared.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type PosixAgent } from '../contract/posix/posix-agent.ts'
import { O } from '../contract/posix/posix-site.ts'

const BLOCK_BYTES = 100_000

export interface Progress {
  calls: number
  isOver: boolean
}

/** Makes, renames and removes; every call must do exactly what it says. */
export async function changeNames(
  agent: PosixAgent,
  folder: string,
  progress: Progress,
): Promise<void> {
  for (let round = 0; !progress.isOver; round += 1) {
    const at = (name: string) => join(folder, `${name}-${round}`)
    const calls = [
      ['mkdir', at('folder'), 0o755],
      ['mknod', at('file'), 0o100644, 0, 0],
      ['link', at('file'), at('link')],
      ['rename', at('file'), `${at('folder')}/moved`],
      ['symlink', 'target', at('symlink')],
      ['unlink', at('link')],
      ['rename', at('symlink'), at('renamed')],
      ['unlink', `${at('folder')}/moved`],
      ['rmdir', at('folder')],
      ['unlink', at('renamed')],
    ] as const
    for (const [call, ...args] of calls) {
      await agent.call(call, ...args)
      progress.calls += 1
    }
  }
}

/** Writes a file block by block, each of them synchronised, and appends to a second; their content. */
export async function writeBlocks(agent: PosixAgent, folder: string, progress: Progress) {
  const written = await agent.number('open', join(folder, 'written'), O.CREAT | O.WRONLY, 0o644)
  const appended = await agent.number(
    ...(['open', join(folder, 'appended'), O.CREAT | O.WRONLY | O.APPEND, 0o644] as const),
  )
  const [blocks, lines] = [[] as string[], [] as string[]]
  for (let round = 0; !progress.isOver; round += 1) {
    const block = createHash('sha256')
      .update(`${round}`)
      .digest('hex')
      .repeat(BLOCK_BYTES / 64)
    await agent.call('pwrite', written, block, round * block.length)
    await agent.call('fsync', written)
    await agent.call('write', appended, `line ${round}\n`)
    blocks.push(block)
    lines.push(`line ${round}\n`)
    progress.calls += 3
  }
  await agent.call('close', written)
  await agent.call('close', appended)
  return { blocks: blocks.join(''), lines: lines.join('') }
}
