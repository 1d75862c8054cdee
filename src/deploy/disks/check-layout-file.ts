// A layout file judged before any machine asks for it. Invariant: what is said here would also end a deployment.
import { parseConfiguration } from '../../config/config.ts'
import type { ManifestHeader } from '../../image/image.ts'
import { toLayout } from './captured-layout.ts'
import { parseLayout } from './layout-file.ts'
import { layoutSchema } from './layout-schema.ts'

export interface LayoutCheck {
  /** What messages call the text. */
  readonly file: string
  /** Of the image that it is for; left out: only what holds for every image is judged. */
  readonly header?: ManifestHeader
}

/** Throws ERR_SI_CONFIGURATION. */
export function checkLayoutFile(text: string, { file, header }: LayoutCheck): void {
  if (header === undefined) {
    parseConfiguration(text, { file, schema: layoutSchema, scalars: 'text' })
    return
  }
  parseLayout(text, { file, golden: header.layout === null ? null : toLayout(header.layout) })
}
