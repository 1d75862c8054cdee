// Which file systems a layout can have.
import { MAKEABLE_FILE_SYSTEMS, type MakeableFileSystem } from '../../host/host.ts'

export function isMakeable(type: string): type is MakeableFileSystem {
  return (MAKEABLE_FILE_SYSTEMS as readonly string[]).includes(type)
}
