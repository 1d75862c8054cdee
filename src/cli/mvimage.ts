// si-mvimage: an image gets another name, or goes to another repository.
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommand } from './command.ts'
import { copySigningOptions, runTransfer } from './copy-arguments.ts'
import type { Io } from './io.ts'
import { withOptions, type SignerFlags, type TrustFlags } from './trust-arguments.ts'
import type { Command } from 'commander'

interface MvimageOptions extends SignerFlags, TrustFlags {
  readonly repository: string
  readonly toRepository?: string
  readonly json?: true
}

export function createMvimageCommand(io: Io): Command {
  const command = createCommand({
    name: 'mvimage',
    summary: 'Rename an image, or move it to another repository',
    examples: [
      'si-mvimage web shop                         all versions of web are now of shop',
      'si-mvimage web/3 web/stable                 one version',
      'si-mvimage web --to-repository /mnt/archive all versions, bit for bit, elsewhere',
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 13, 130],
  })
    .argument('<source>', 'NAME (all versions) or NAME/VERSION')
    .argument('[target]', "NAME or NAME/VERSION; without version the source's")
    .option('--to-repository <dir>', 'move into this repository')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nUnder another name the torrent is another one: deployments under way lose this seeder. It is signed anew if the\nold signature holds (--trust) and a signer is there. If it is interrupted, the same command goes on where it was.',
    )
  return withOptions(command, copySigningOptions()).action(
    async (source: string, target: string | undefined, options: MvimageOptions) => {
      const { moveImage } = await import('../repository/repository.ts')
      const { repository, toRepository, json } = options
      const request = {
        ...{ command: 'si-mvimage', phase: 'moving', source, target, repository, toRepository },
        ...{ isAll: !source.includes('/'), json: json === true, flags: options },
      }
      await runTransfer(request, moveImage, io)
    },
  )
}
