// The golden client's layout as the text of a layout file.
import { SiError } from '../../core/core.ts'
import type { ManifestHeader } from '../../image/image.ts'
import { toLayout } from './captured-layout.ts'
import { formatLayout } from './layout-text.ts'

/** Throws ERR_SI_TARGET_UNSUITABLE when the image was captured from a directory. */
export function formatGoldenLayout({ name, version, layout }: ManifestHeader): string {
  if (layout !== null) return formatLayout(toLayout(layout), { image: `${name} ${version}` })
  throw new SiError(
    'ERR_SI_TARGET_UNSUITABLE',
    `Image "${name}" was captured from a directory and has no disk layout`,
    { hint: 'Write a layout file by hand; its keys are in LAYOUT.md' },
  )
}
