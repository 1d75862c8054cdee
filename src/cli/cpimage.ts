// si-cpimage: an image under another name, or in another repository.
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommand } from './command.ts'
import { copySigningOptions, runTransfer } from './copy-arguments.ts'
import type { Io } from './io.ts'
import { withOptions, type SignerFlags, type TrustFlags } from './trust-arguments.ts'
import type { Command } from 'commander'

interface CpimageOptions extends SignerFlags, TrustFlags {
  readonly repository: string
  readonly toRepository?: string
  readonly all?: true
  readonly link?: true
  readonly json?: true
}

export function createCpimageCommand(io: Io): Command {
  const command = createCommand({
    name: 'cpimage',
    summary: 'Copy an image to another name or repository',
    examples: [
      'si-cpimage web shop                           the latest version of web as shop',
      'si-cpimage web/3 web/stable                   one version under another version name',
      'si-cpimage web/3 --to-repository /mnt/backup  the same image, bit for bit, elsewhere',
      'si-cpimage web shop --all                     all versions',
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 13, 130],
  })
    .argument('<source>', 'NAME or NAME/VERSION; without version the latest')
    .argument('[target]', "NAME or NAME/VERSION; without version the source's")
    .option('--to-repository <dir>', 'copy into this repository')
    .option('--all', 'all versions')
    .option('--link', 'share the pack by a hard link where both lie on one file system')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nA copy under another name has a torrent of its own; the pack is the same. It is signed anew if the signature of\nthe original holds (--trust) and a signer is there.',
    )
  return withOptions(command, copySigningOptions()).action(
    async (source: string, target: string | undefined, options: CpimageOptions) => {
      const { copyImage } = await import('../repository/repository.ts')
      const { repository, toRepository, all, link, json } = options
      const request = {
        ...{ command: 'si-cpimage', phase: 'copying', source, target, repository, toRepository },
        ...{ isAll: all === true, json: json === true, flags: options },
      }
      const isLinked = link === true
      await runTransfer(
        request,
        (image, _, copyOptions) => copyImage(image, { ...copyOptions, isLinked }),
        io,
      )
    },
  )
}
