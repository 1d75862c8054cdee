// What lies in the export before the gridfs bench begins: one large file, a folder of files to stat, and a
// tree to list.
import { randomBytes } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export const LISTED_FILES = 20_000
const LISTED_FOLDERS = 20
export const STATED_FILES = 3000
const BLOCK_BYTES = 2 ** 20

export function benchNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `file-${String(index).padStart(5, '0')}`)
}

export async function writeContent(directory: string, largeBytes: number): Promise<void> {
  const large = await open(join(directory, 'large'), 'w')
  const block = randomBytes(BLOCK_BYTES)
  for (let at = 0; at < largeBytes; at += BLOCK_BYTES) await large.write(block)
  await large.close()
  await fill(join(directory, 'stated'), STATED_FILES)
  for (let folder = 0; folder < LISTED_FOLDERS; folder += 1) {
    await fill(join(directory, `listed/folder-${folder}`), LISTED_FILES / LISTED_FOLDERS)
  }
}

async function fill(folder: string, count: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of benchNames(count)) await writeFile(join(folder, name), name)
}
