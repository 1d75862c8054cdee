// The signature of an image in the repository. Invariant: an image that is believed is the one that its folder
// says: name and version are signed with the manifest, so none passes for another. Spec: FORMAT.md §8.
import { hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { errnoOf, SiError } from '../core/core.ts'
import { readManifestHeader } from '../image/image.ts'
import {
  checkSigned,
  describeSignature,
  hashFile,
  type SignatureFacts,
  type SignedContent,
  type Trust,
  type Verdict,
} from '../pki/pki.ts'
import type { ImageReference } from './reference.ts'

/**
 * Throws ERR_SI_UNTRUSTED unless the image may be used; ERR_SI_MANIFEST_FORMAT. Whoever will use a manifest
 * that he has in memory gives that, because the file may change meanwhile.
 */
export async function checkImageSignature(
  image: ImageReference,
  trust: Trust,
  manifest?: Uint8Array,
): Promise<Verdict> {
  const content = await contentOf(image, manifest)
  const verdict = await checkSigned(trust, content)
  const fault = verdict.signer === null ? undefined : await namingFault(image, manifest)
  if (fault === undefined) return verdict
  throw new SiError('ERR_SI_UNTRUSTED', `Cannot trust ${content.what}: ${fault}`, {
    hint: 'Give it its own name again: si-cpimage renames images properly',
  })
}

/** The same for lists: nothing is refused. Throws ERR_SI_MANIFEST_FORMAT. */
export async function describeImageSignature(
  image: ImageReference,
  trust: Trust,
): Promise<SignatureFacts> {
  const facts = await describeSignature(trust, await contentOf(image))
  const isBelieved = facts.state === 'valid' || facts.state === 'unverified'
  const fault = isBelieved ? await namingFault(image) : undefined
  return fault === undefined ? facts : { ...facts, state: 'invalid', fault }
}

async function contentOf(image: ImageReference, manifest?: Uint8Array): Promise<SignedContent> {
  const { name, version, manifestPath, signaturePath } = image
  const signature = await readFile(signaturePath).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  return {
    ...{ what: `image ${name}/${version}`, signature },
    digest: (algorithm) =>
      manifest === undefined
        ? hashFile(manifestPath, algorithm)
        : Promise.resolve(hash(algorithm, manifest, 'buffer')),
  }
}

async function namingFault(
  image: ImageReference,
  manifest?: Uint8Array,
): Promise<string | undefined> {
  const source = manifest ? Readable.from([manifest]) : createReadStream(image.manifestPath)
  const { name, version } = await readManifestHeader(source)
  if (name === image.name && version === image.version) return undefined
  return `it was signed as ${name}/${version}`
}
