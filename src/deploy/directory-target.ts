// A directory as the target. Invariant: it was empty, or holds an interrupted deployment of this very
// image; what belongs to somebody else is never touched.
import { chmodSync, lchownSync } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import { errnoOf, formatSize, isSiError, messageOf, SiError } from '../core/core.ts'
import { lremovexattr } from '../host/host.ts'
import { foreignNames, openJournal, readJournalOwner, type Journal } from './journal.ts'
import type { DirectoryPlan } from './plan.ts'
import { measureUsage } from './disks/space.ts'
import { targetError } from './target-error.ts'
import { plannedImage, type ImageFacts, type Target } from './target.ts'

/** Throws ERR_SI_TARGET_UNSUITABLE when the directory is in use, ERR_SI_TARGET_FULL when too small. */
export async function openDirectoryTarget(path: string, image: ImageFacts): Promise<Target> {
  const directory = resolve(path)
  const refuse = (why: string, hint: string) =>
    new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      `Cannot deploy image "${image.header.name}" to ${directory}: ${why}`,
      { hint },
    )
  const info = await stat(directory).catch((error: unknown) => {
    throw refuse(messageOf(error), 'Name an existing, empty directory')
  })
  if (!info.isDirectory()) throw refuse('it is no directory', 'Name an existing, empty directory')
  const owner = await readJournalOwner(directory)
  const resumes = owner === image.infoHash
  if (!resumes && owner !== undefined) {
    throw refuse('it holds an interrupted deployment of another image', 'Empty it first')
  }
  const refuseOthers = async () => {
    const names = await foreignNames(directory)
    if (names.length > 0) throw refuse('it is not empty', 'Name an empty directory')
  }
  if (!resumes) await refuseOthers()
  const freeBytes = await checkSpace(directory, image, resumes)
  const plan: DirectoryPlan = {
    kind: 'root',
    image: plannedImage(image.header),
    directory,
    freeBytes,
    resumes,
    notes: [],
  }
  let journal: Journal | undefined
  return {
    plan,
    async prepare() {
      try {
        journal = await openJournal(directory, image)
        // Another deployment may have come and gone since the directory was looked at.
        if (journal.isNew) await refuseOthers().catch(giveUp(journal))
        takeOver(directory)
      } catch (error) {
        throw isSiError(error) ? error : targetError(directory, error)
      }
      return { directory, fileSystems: [directory], journal, storage: null }
    },
    async close() {
      await journal?.close()
    },
  }
}

/** Free bytes. A resumed target has part of the image already and is not measured again. */
async function checkSpace(directory: string, image: ImageFacts, resumes: boolean): Promise<number> {
  const { bavail, bsize, files, ffree } = await statfs(directory)
  const freeBytes = bavail * bsize
  const usage = measureUsage(image.table, ['/']).get('/') ?? { bytes: 0, entries: 0 }
  const neededBytes = usage.bytes + image.spillBytes
  const full = (what: string) =>
    new SiError(
      'ERR_SI_TARGET_FULL',
      `Cannot deploy image "${image.header.name}" to ${directory}: ${what}`,
      { hint: 'Deploy to a larger target' },
    )
  if (resumes) return freeBytes
  if (neededBytes > freeBytes) {
    throw full(`${formatSize(freeBytes)} are free, image needs ${formatSize(neededBytes)}`)
  }
  const hasFixedInodes = files > 0
  if (hasFixedInodes && ffree < usage.entries) {
    throw full(`${ffree} inodes are free, image needs ${usage.entries}`)
  }
  return freeBytes
}

/** Removes a journal that should not have been begun, and fails as before. */
function giveUp(journal: Journal): (error: unknown) => Promise<never> {
  return async (error) => {
    await journal.remove()
    throw error
  }
}

/** Nothing that is created below may inherit a group or an ACL, nor be reached before it is complete. */
function takeOver(directory: string): void {
  lchownSync(directory, 0, 0)
  chmodSync(directory, 0o700)
  try {
    lremovexattr(directory, 'system.posix_acl_default')
  } catch (error) {
    if (!['ENODATA', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error
  }
}
