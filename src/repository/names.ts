// Names of images and versions. Invariant: a parsed name is one harmless path component, never hidden
// and never `latest`, so that it can be joined to a path and put into a URL as it is.
import { SiError } from '../core/core.ts'

/** 1–64 characters: letters, digits, dot, underscore, hyphen; begins with a letter or digit. */
export type ImageName = string & { readonly __brand: 'ImageName' }

/** As ImageName; `latest` is reserved for the link to the newest version. */
export type ImageVersion = string & { readonly __brand: 'ImageVersion' }

/** The name that stands for the newest version wherever a version may be given. */
export const LATEST = 'latest'

const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Throws ERR_SI_IMAGE_NAME. */
export function parseImageName(text: string): ImageName {
  return parseComponent('an image name', text) as ImageName
}

/** Throws ERR_SI_IMAGE_NAME, also for `latest`. */
export function parseImageVersion(text: string): ImageVersion {
  return parseComponent('an image version', text) as ImageVersion
}

/** True for what parseImageName and parseImageVersion accept. */
export function isImageComponent(text: string): boolean {
  return NAME_PATTERN.test(text) && text !== LATEST
}

/** What people write for one image. */
export interface ImageSpec {
  readonly name: ImageName
  /** Left out, or `latest`: undefined. */
  readonly version: ImageVersion | undefined
}

/** `NAME`, `NAME/VERSION` or `NAME/latest`. Throws ERR_SI_IMAGE_NAME. */
export function parseImageSpec(text: string): ImageSpec {
  const slash = text.indexOf('/')
  if (slash === -1) return { name: parseImageName(text), version: undefined }
  const version = text.slice(slash + 1)
  return {
    name: parseImageName(text.slice(0, slash)),
    version: version === LATEST ? undefined : parseImageVersion(version),
  }
}

function parseComponent(what: string, text: string): string {
  if (isImageComponent(text)) return text
  throw new SiError('ERR_SI_IMAGE_NAME', `Cannot use ${JSON.stringify(text)} as ${what}`, {
    hint:
      text === LATEST
        ? 'Choose another word: "latest" always means the newest version'
        : 'Use 1 to 64 letters, digits, dots, underscores or hyphens, beginning with a letter or digit',
  })
}
