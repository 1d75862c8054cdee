// A folder and whatever is missing above it. Node's own recursive mkdir never ends where the kernel says
// ENOENT although the parent is there, as it does below /proc.
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf, exists } from '../core/core.ts'

/** Does nothing when it is there. Throws what mkdir(2) says; EEXIST where something else has its name. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeOne(path)
  } catch (error) {
    const parent = dirname(path)
    if (errnoOf(error) !== 'ENOENT' || parent === path) throw error
    if (!(await exists(parent))) await makeFolder(parent)
    await makeOne(path) // somebody else may have made the parent meanwhile; or it fails as before
  }
}

async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
  }
}
