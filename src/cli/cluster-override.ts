// si-cluster override: a directory becomes an override, an image that is laid over others.
import { join } from 'node:path'
import type { Command } from 'commander'
import { exists, formatSize, SiError } from '../core/core.ts'
import { repositoryOption } from './arguments.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import {
  imageVersionOption,
  levelOption,
  runWriting,
  workOptions,
  type WritingFlags,
} from './image-writing.ts'
import { writeJson, type Io } from './io.ts'
import { signerOptions, withOptions } from './trust-arguments.ts'

interface OverrideFlags extends WritingFlags {
  readonly repository: string
}

export function createOverride(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'override',
    summary: 'Make, or renew, an override of a directory: image override-NAME',
    examples: [
      'si-cluster override compute                     of overrides/compute in the repository',
      'si-cluster override compute /srv/files/compute',
    ],
    exitCodes: [0, 1, 2, 3, 11, 130],
  })
    .argument('<name>', 'as cluster.yaml names it')
    .argument('[dir]', 'its files, as they are to lie below / (default: overrides/NAME)')
    .addOption(imageVersionOption())
    .addOption(repositoryOption())
    .addOption(levelOption())
    .addHelpText(
      'after',
      '\nOwners, modes and all else are taken as they are. Nodes get what changed at their next installation.',
    )
  return withOptions(command, [...workOptions(), ...signerOptions()]).action(
    async (name: string, directory: string | undefined, flags: OverrideFlags) => {
      const isPartial = await runOverride({ name, directory }, flags, io)
      if (isPartial) outcome.exitCode = EXIT_PARTIAL
    },
  )
}

/** True when something was left out. */
async function runOverride(
  { name, directory }: { readonly name: string; readonly directory: string | undefined },
  flags: OverrideFlags,
  io: Io,
): Promise<boolean> {
  const { capture } = await import('../capture/capture.ts')
  const { OVERRIDE_PREFIX } = await import('../cluster/cluster.ts')
  const { openRepository, parseImageName } = await import('../repository/repository.ts')
  const imageName = parseImageName(OVERRIDE_PREFIX + parseImageName(name))
  const repository = await openRepository(flags.repository)
  const tree = directory ?? join(repository.directory, 'overrides', name)
  if (!(await exists(tree))) {
    throw new SiError('ERR_SI_CAPTURE', `There is no folder ${tree} to make an override of`, {
      hint: 'Make it, with files as they are to lie below /, or name another folder',
    })
  }
  const run = { command: 'si-cluster', flags, io }
  const report = await runWriting(run, (writing, progress) =>
    capture(
      {
        source: { type: 'root', directory: tree },
        ...{ repository, name: imageName, excludes: [], useDefaultExcludes: false },
        ...writing,
      },
      progress,
      io.signal,
    ),
  )
  const { header, image, notes } = report
  for (const note of notes) io.stderr.write(`si-cluster: ${note}\n`)
  if (flags.json) {
    const { entryCount, contentBytes } = header
    const { version, directory: where } = image
    writeJson(io, {
      type: 'override',
      name: imageName,
      version,
      directory: where,
      entryCount,
      contentBytes,
    })
  } else {
    const size = formatSize(header.contentBytes)
    io.stderr.write(`si-cluster: ${header.entryCount} files, ${size}\n`)
    io.stdout.write(`${image.name} ${image.version} ${image.directory}\n`)
  }
  return report.exitedPartial
}
