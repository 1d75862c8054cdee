// Media for machines that do not boot from the network: what lies on an ISO image and on a USB stick alike. GRUB
// (https://www.gnu.org/software/grub/manual/) loads kernel and initramfs with the parameters of its menu, and behind them those of
// parameters.cfg, which whoever holds a stick can edit. Invariant: no parameter ends GRUB's word that it stands in.
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError } from '../core/core.ts'
import { INITRAMFS_FILE, KERNEL_FILE, type BootFacts } from './boot-folder.ts'
import { consoleParameters } from './ipxe-script.ts'

export interface MediumOptions {
  /** Of the image: holds kernel and initramfs. */
  readonly imageDirectory: string
  readonly facts: BootFacts
  /** URL of si-server, as machines reach it. */
  readonly server: string
}

export const MEDIUM_LABEL = 'SWARMIMAGER'
/** How long the menu waits for a key. */
const MENU_SECONDS = 5

/** Puts into an empty folder what the medium holds. */
export async function stageMedium(directory: string, options: MediumOptions): Promise<void> {
  const { imageDirectory } = options
  await mkdir(join(directory, 'boot/grub'), { recursive: true })
  for (const file of [KERNEL_FILE, INITRAMFS_FILE]) {
    await copyFile(join(imageDirectory, file), join(directory, 'boot', file))
  }
  await writeFile(join(directory, 'boot/grub/grub.cfg'), grubMenu(options))
  await writeFile(join(directory, 'parameters.cfg'), PARAMETERS)
}

/** A file of its own: the menu is not for everybody to edit. */
const PARAMETERS = `# Further parameters of the installation, between the quotes; they override all others. For a network without DHCP:
# set parameters="si.ip=10.0.0.7/24 si.gateway=10.0.0.1 si.dns=10.0.0.1"
set parameters=""
`

export function grubMenu({ facts, server }: Omit<MediumOptions, 'imageDirectory'>): string {
  const parameters = [
    ...[`si.server=${server}`, `si.image=${facts.image}`, ...consoleParameters(facts)],
    ...facts.parameters.split(/\s+/).filter(Boolean),
  ]
  const [, unit = '0', baud = '115200'] =
    /(?:^|\s)console=ttyS(\d+)(?:,(\d+))?/.exec(parameters.join(' ')) ?? []
  return `# SwarmImager: menu of the installation medium.
if serial --unit=${unit} --speed=${baud}; then
  terminal_input --append serial
  terminal_output --append serial
fi
if [ "$grub_platform" = efi ]; then
  insmod all_video # a screen for the kernel
fi
source /parameters.cfg
set timeout=${MENU_SECONDS}
menuentry ${quoted(`Install ${facts.image} (${facts.version}) on this machine`)} {
  echo 'Loading the installation'
  linux /boot/${KERNEL_FILE} ${parameters.map(quoted).join(' ')} $parameters
  initrd /boot/${INITRAMFS_FILE}
}
menuentry 'Start what this machine has on its disks' {
  exit 1
}
`
}

function quoted(word: string): string {
  if (/^[^'\n]*$/.test(word)) return `'${word}'`
  throw new SiError(
    'ERR_SI_CONFIGURATION',
    `${JSON.stringify(word)} cannot stand in a menu of GRUB`,
    {
      hint: "Leave out ' and line ends",
    },
  )
}
