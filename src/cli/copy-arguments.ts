// What si-cpimage and si-mvimage have in common: source and target as people write them, the work for one
// or all versions, and what is printed.
import { stat } from 'node:fs/promises'
import { exists, isSiError, SiError } from '../core/core.ts'
import type {
  CopyOptions,
  CopySigning,
  ImageReference,
  ImageSpec,
  Repository,
} from '../repository/repository.ts'
import { createCommandProgress } from './command-progress.ts'
import { writeJson, type Io } from './io.ts'
import {
  authorityOptions,
  signerFrom,
  signerOptions,
  trustFrom,
  type SignerFlags,
  type TrustFlags,
} from './trust-arguments.ts'

/** A copy under another name is signed anew by one, after the others' word for the original. */
export const copySigningOptions = () => [...signerOptions(), ...authorityOptions()]

export interface TransferRequest {
  readonly command: string
  readonly phase: string
  readonly source: string
  readonly target: string | undefined
  readonly repository: string
  readonly toRepository: string | undefined
  readonly isAll: boolean
  readonly json: boolean
  readonly flags: SignerFlags & TrustFlags
}

export type Transfer = (
  image: ImageReference,
  from: Repository,
  options: Omit<CopyOptions, 'isLinked'>,
) => Promise<ImageReference>

interface Transferred {
  readonly from: Repository
  readonly to: Repository
  readonly target: ImageSpec
  /** Oldest first. */
  readonly images: readonly ImageReference[]
}

/** Throws ERR_SI_USAGE, ERR_SI_IMAGE_NAME, ERR_SI_IMAGE_NOT_FOUND. */
async function choose(request: TransferRequest): Promise<Transferred> {
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const from = await openRepository(request.repository)
  const to = await openRepository(request.toRepository ?? request.repository)
  if (request.target === undefined && to.directory === from.directory) {
    throw new SiError('ERR_SI_USAGE', 'Neither another name nor another repository is given', {
      hint: `Run ${request.command} web web2, or add --to-repository DIR`,
    })
  }
  const source = parseImageSpec(request.source)
  const target = parseImageSpec(request.target ?? source.name)
  const first = await from.open(source.name, source.version)
  if (request.isAll && target.version !== undefined) {
    throw new SiError('ERR_SI_USAGE', `All versions cannot become version "${target.version}"`, {
      hint: `Name one version, such as ${source.name}/VERSION, or leave the target's out`,
    })
  }
  const images = request.isAll ? await from.versions(source.name) : [first]
  return { from, to, target, images }
}

/** Runs `transfer` for each version asked for, oldest first, and prints where each is now. */
export async function runTransfer(
  request: TransferRequest,
  transfer: Transfer,
  io: Io,
): Promise<void> {
  const { from, to, target, images } = await choose(request)
  const isRenamed = (image: ImageReference) =>
    image.name !== target.name || image.version !== (target.version ?? image.version)
  const signing = images.some(isRenamed) ? await signingFrom(request.flags) : undefined
  await checkAll(images.filter(isRenamed), signing)
  const { json, command, phase } = request
  const progress = createCommandProgress(io, { command, json })
  const totalBytes = await sizeOf(images)
  let doneBytes = 0
  const onBytes = (bytes: number) => {
    doneBytes += bytes
    progress.update({ phase, doneBytes, totalBytes: Math.max(totalBytes, doneBytes) })
  }
  try {
    for (const image of images) {
      const wasSigned = await exists(image.signaturePath)
      const isOther = isRenamed(image)
      const version = target.version ?? image.version
      const { signal } = io
      const options = { repository: to, name: target.name, version, signing, onBytes, signal }
      const done = await transfer(image, from, options)
      progress.end()
      const why = unsignedReason(wasSigned, signing !== undefined, request.flags)
      if (isOther && why !== undefined && !(await exists(done.signaturePath))) {
        progress.note(`${done.name}/${done.version} is not signed: ${why}`)
      }
      printDone(image, done, { json, io })
    }
  } finally {
    progress.end()
  }
}

async function signingFrom(flags: TransferRequest['flags']): Promise<CopySigning | undefined> {
  const signer = await signerFrom(flags)
  return signer === undefined ? undefined : { signer, trust: await trustFrom(flags) }
}

/** Before the first is copied, so that a bad one does not leave half of the work done. */
async function checkAll(
  images: readonly ImageReference[],
  signing: CopySigning | undefined,
): Promise<void> {
  if (signing === undefined) return
  const { checkImageSignature } = await import('../repository/repository.ts')
  for (const image of images) {
    if (!(await exists(image.signaturePath))) continue
    await checkImageSignature(image, signing.trust).catch((cause: unknown) => {
      if (!isSiError(cause, 'ERR_SI_UNTRUSTED')) throw cause
      throw new SiError('ERR_SI_UNTRUSTED', `Cannot sign a copy: ${cause.message}`, {
        hint: 'Capture the image again, or add --no-sign to copy it without a signature',
        cause,
      })
    })
  }
}

/** Why a copy under another name is not signed; undefined where nobody asked for a signature. */
function unsignedReason(
  wasSigned: boolean,
  hasSigner: boolean,
  { sign }: SignerFlags,
): string | undefined {
  if (!wasSigned) return hasSigner ? 'the original is not' : undefined
  return sign ? 'it has a new name and no signer: si-server init makes one' : 'it has a new name'
}

async function sizeOf(images: readonly ImageReference[]): Promise<number> {
  const sizes = await Promise.all(images.map(async ({ packPath }) => (await stat(packPath)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

function printDone(
  from: ImageReference,
  to: ImageReference,
  { json, io }: { readonly json: boolean; readonly io: Io },
): void {
  const { name, version, directory } = to
  if (json) {
    const source = { name: from.name, version: from.version, directory: from.directory }
    writeJson(io, { type: 'report', name, version, directory, source })
  } else {
    io.stdout.write(`${name} ${version} ${directory}\n`)
  }
}
