// si-mkautoinstall: what machines without a system boot from, made out of an image.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { exists, formatSize } from '../core/core.ts'
import { collect, jsonOption, parseInteger, repositoryOption } from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand } from './command.ts'
import { pkiOption } from './trust-arguments.ts'
import { writeJson, type Io } from './io.ts'
import { chooseMedia } from './mkautoinstall-media.ts'
import type { MadeAutoinstall, NetworkBoot } from '../netboot/netboot.ts'

interface MkautoinstallFlags {
  readonly repository: string
  readonly boot: string
  readonly pki: string
  readonly trust?: string
  readonly kernel?: string
  readonly localCfg?: string
  readonly parameters: string
  readonly compressionLevel: number
  readonly server?: string
  readonly dhcp?: string
  readonly router?: string
  readonly dns: readonly string[]
  readonly iso?: string
  readonly usb?: string
  readonly confirm?: string
  readonly json?: true
}

export const bootOption = () =>
  new Option('--boot <dir>', 'where boot files lie')
    .env('SI_BOOT')
    .default('/var/lib/swarmimager/boot')

export function createMkautoinstallCommand(io: Io): Command {
  return createCommand({
    name: 'mkautoinstall',
    summary: 'Make what bare machines boot from to install an image',
    examples: [
      'si-mkautoinstall golden01                                  beside the DHCP server that the network has',
      'si-mkautoinstall golden01 --server http://10.0.0.1:8080 --dhcp 10.0.0.100-10.0.0.200/24 --router 10.0.0.1',
      "si-mkautoinstall golden01 --parameters 'si.disk=/dev/nvme0n1 console=ttyS1,115200'",
      'si-mkautoinstall golden01 --iso golden01.iso --usb golden01.img   for machines that do not boot from the network',
      'si-mkautoinstall golden01 --usb /dev/sdb --confirm /dev/sdb       right onto a stick',
    ],
    exitCodes: [0, 1, 2, 10, 12, 14, 130],
  })
    .argument(
      '<image>',
      'NAME or NAME/VERSION, whose kernel is to boot; without version the latest',
    )
    .addOption(repositoryOption())
    .addOption(bootOption())
    .addOption(pkiOption())
    .option(
      '--trust <file>',
      'authorities whose signers the machines are to believe (default: ca.pem of --pki, if there)',
    )
    .option('--kernel <version>', 'kernel of the image (default: the one the golden client ran)')
    .option('--local-cfg <file>', 'parameters to put into the initramfs, NAME=VALUE lines')
    .option('--parameters <text>', 'further kernel parameters', '')
    .option(
      '--compression-level <n>',
      'of zstd, 1 to 19: lower is faster and larger',
      parseInteger(1, 19),
      19,
    )
    .option(
      '--server <url>',
      'si-server, as machines reach it (default: the only address here, port 8080)',
    )
    .option(
      '--dhcp <range>',
      'give out these addresses, FIRST-LAST/PREFIX; without it another server does',
    )
    .option('--router <address>', 'with --dhcp: the router of the machines')
    .option('--dns <address>', 'with --dhcp: a name server; several times', collect, [])
    .option('--iso <file>', 'also make an ISO image that boots by BIOS and UEFI, from CD or USB')
    .option(
      '--usb <file>',
      'also make a USB stick, as image file or device; parameters.cfg on it can be edited',
    )
    .option('--confirm <device>', 'with --usb DEVICE: erase it without asking')
    .addOption(jsonOption())
    .action((spec: string, flags: MkautoinstallFlags) => runMkautoinstall(spec, flags, io))
}

async function runMkautoinstall(spec: string, flags: MkautoinstallFlags, io: Io): Promise<void> {
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const { makeAutoinstall, makeMedium, parseDhcpRange, writeNetworkBoot } =
    await import('../netboot/netboot.ts')
  const range = flags.dhcp === undefined ? null : parseDhcpRange(flags.dhcp)
  const { name, version } = parseImageSpec(spec)
  const image = await (await openRepository(flags.repository)).open(name, version)
  const media = await chooseMedia(flags, io)
  const progress = createCommandProgress(io, {
    command: 'si-mkautoinstall',
    json: flags.json === true,
  })
  const usual = join(flags.pki, 'ca.pem')
  const trustFile = flags.trust ?? ((await exists(usual)) ? usual : undefined)
  if (trustFile === undefined) {
    progress.note(
      `${usual} is not there: machines install unsigned images only, if si.allow-unsigned`,
    )
  }
  const localConfiguration =
    flags.localCfg === undefined ? undefined : await readLocalConfiguration(flags.localCfg)
  try {
    const made = await makeAutoinstall(
      {
        ...{ image, bootDirectory: flags.boot, kernelVersion: flags.kernel, trustFile },
        ...{ localConfiguration, parameters: flags.parameters },
        compressionLevel: flags.compressionLevel,
      },
      progress,
      io.signal,
    )
    const network = await writeNetworkBoot({
      ...{ bootDirectory: flags.boot, server: flags.server, range },
      ...{ router: flags.router, nameServers: flags.dns },
    })
    for (const { kind, output, stick } of media) {
      progress.update({ phase: `writing ${output}`, doneBytes: 0, totalBytes: undefined })
      const { facts, directory: imageDirectory } = made
      const content = { imageDirectory, facts, server: network.server }
      await makeMedium({ kind, output, stick, ...content }, io.signal)
    }
    progress.end()
    const outputs = media.map(({ output }) => output)
    if (flags.json) writeJson(io, { type: 'autoinstall', ...made, ...network, media: outputs })
    else io.stdout.write(describe(made, network, outputs))
  } finally {
    progress.end()
  }
}

async function readLocalConfiguration(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new InvalidArgumentError(`Cannot read ${path}: ${error.message}.`)
  })
}

function describe(
  made: MadeAutoinstall,
  { server, configuration }: NetworkBoot,
  media: readonly string[],
): string {
  const { facts, directory, initramfsBytes } = made
  return `${directory}: kernel ${facts.kernel}, initramfs ${formatSize(initramfsBytes)}
To install machines with it:
  si-server                                      answers at ${server}
  dnsmasq --no-daemon --conf-file=${configuration}
  si-netboot HOSTS install                       for hosts of cluster.yaml; then let them boot from the network
${media.map((path) => `${path} installs a machine that is started from it\n`).join('')}`
}
