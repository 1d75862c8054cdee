// si-getimage --dry-run: what would be captured and what is kept out by which rule.
import type { CapturePreview } from '../capture/capture.ts'
import { formatSize } from '../core/core.ts'
import { writeJson, type Io } from './io.ts'

export function printPreview(preview: CapturePreview, isJson: boolean, io: Io): void {
  const { captured, excluded, rules, notes } = preview
  if (isJson) {
    writeJson(io, { type: 'preview', captured, excluded, rules, notes })
    return
  }
  for (const note of notes) io.stderr.write(`si-getimage: ${note}\n`)
  const line = (amount: { readonly files: number; readonly bytes: number }, what: string) =>
    `${String(amount.files).padStart(9)} files ${formatSize(amount.bytes).padStart(11)}  ${what}\n`
  io.stdout.write(line(captured, 'captured'))
  for (const amount of excluded) io.stdout.write(line(amount, `left out by ${amount.rule}`))
}
