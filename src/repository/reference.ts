// Where the parts of one image lie. Pure: paths in, paths out.
import { join } from 'node:path'
import { IMAGE_FILES } from '../image/image.ts'
import type { ImageName, ImageVersion } from './names.ts'

/** One complete version of an image; all paths are absolute. */
export interface ImageReference {
  readonly name: ImageName
  readonly version: ImageVersion
  readonly directory: string
  readonly manifestPath: string
  readonly packPath: string
  readonly torrentPath: string
  /** Of the manifest's signature, which may be absent. */
  readonly signaturePath: string
}

/** The reference to NAME/VERSION below the folder `images`; nothing is looked up. */
export function imageReference(
  images: string,
  name: ImageName,
  version: ImageVersion,
): ImageReference {
  const directory = join(images, name, version)
  return {
    name,
    version,
    directory,
    manifestPath: join(directory, IMAGE_FILES.manifest),
    packPath: join(directory, IMAGE_FILES.pack),
    torrentPath: join(directory, IMAGE_FILES.torrent),
    signaturePath: join(directory, IMAGE_FILES.signature),
  }
}
