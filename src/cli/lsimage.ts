// si-lsimage: what is in the repository.
import { readFile, stat } from 'node:fs/promises'
import { formatSize, messageOf } from '../core/core.ts'
import type { ImageReference } from '../repository/repository.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import { writeJson, type Io } from './io.ts'
import type { Command } from 'commander'

interface LsimageOptions {
  readonly repository: string
  readonly json?: true
}

export function createLsimageCommand(io: Io, outcome: Outcome): Command {
  return createCommand({
    name: 'lsimage',
    summary: 'List the images of the repository',
    examples: ['si-lsimage', 'si-lsimage golden01 --json'],
    exitCodes: [0, 1, 2, 3, 10],
  })
    .argument('[image]', 'only the versions of this image')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .action(async (image: string | undefined, options: LsimageOptions) => {
      const isWhole = await runLsimage(image, options, io)
      if (!isWhole) outcome.exitCode = EXIT_PARTIAL
    })
}

/** False when an image is damaged and so not in the list. */
async function runLsimage(
  image: string | undefined,
  options: LsimageOptions,
  io: Io,
): Promise<boolean> {
  const { openRepository, parseImageName } = await import('../repository/repository.ts')
  const repository = await openRepository(options.repository)
  if (image !== undefined) await repository.open(parseImageName(image))
  const images = (await repository.list()).filter(
    ({ name }) => image === undefined || name === image,
  )
  const described = await Promise.allSettled(images.map(describe))
  const rows = described.flatMap((row) => (row.status === 'fulfilled' ? [row.value] : []))
  described.forEach((row, index) => {
    if (row.status === 'fulfilled') return
    const directory = images[index]?.directory ?? ''
    io.stderr.write(`si-lsimage: Cannot list ${directory}: ${messageOf(row.reason)}\n`)
  })
  if (options.json) for (const row of rows) writeJson(io, row)
  else printTable(rows, options, io)
  return rows.length === images.length
}

type Row = Awaited<ReturnType<typeof describe>>

function printTable(rows: readonly Row[], options: LsimageOptions, io: Io): void {
  if (rows.length === 0) {
    io.stderr.write(`si-lsimage: no image in ${options.repository}; si-getimage makes one\n`)
    return
  }
  const table = rows.map((row) => [row.name, row.version, formatSize(row.packBytes), row.infoHash])
  io.stdout.write(formatTable([['IMAGE', 'VERSION', 'SIZE', 'INFO HASH'], ...table]))
}

async function describe(image: ImageReference) {
  const { parseMetainfo } = await import('../torrent/torrent.ts')
  const { infoHash } = parseMetainfo(await readFile(image.torrentPath))
  const { size, mtime } = await stat(image.packPath)
  return {
    name: image.name,
    version: image.version,
    packBytes: size,
    infoHash,
    capturedAt: mtime.toISOString(),
    directory: image.directory,
  }
}

function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}
