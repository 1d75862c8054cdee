// Scripts for iPXE (https://ipxe.org/scripting). Firmware gets the first one over TFTP, or with the DHCP answer; it asks
// si-server what this machine is to do, and goes on asking while the server is down. Invariant: a value that
// comes from elsewhere never adds a line or a command.
import { SiError } from '../core/core.ts'
import { INITRAMFS_FILE, KERNEL_FILE, type BootFacts } from './boot-folder.ts'

/** Between two questions to a server that does not answer. */
const PAUSE_SECONDS = 5

/**
 * What iPXE begins with; the same for all machines. `server`: URL of si-server. UEFI takes a loader that ends well for the end of
 * its work, and shows its menu: only after a failure it goes on to the disk.
 */
export function firstScript(server: string): string {
  const url = `${checked(server)}/boot/ipxe?mac=\${netX/mac}&uuid=\${uuid}&platform=\${platform}`
  return `#!ipxe
echo SwarmImager: asking ${checked(server)} what to do
:again
chain --autofree ${url} && goto leave ||
echo SwarmImager: asking ${checked(server)} again in ${PAUSE_SECONDS} s
sleep ${PAUSE_SECONDS}
goto again
:leave
iseq \${platform} efi && exit 1 ||
exit 0
`
}

export interface InstallScriptOptions {
  /** URL of si-server, as this machine reaches it. */
  readonly server: string
  /** The same for firmware, which knows no TLS; `server` when left out. */
  readonly bootUrl?: string
  readonly facts: BootFacts
  /** undefined: the server does not know this machine; the image of the facts is installed. */
  readonly host: string | undefined
  /** NAME or NAME/VERSION; undefined: what the server orders. */
  readonly image: string | undefined
}

/** Boots into the installation. */
export function installScript(options: InstallScriptOptions): string {
  const { server, bootUrl = server, facts, host, image } = options
  const url = `${checked(bootUrl)}/boot/${checked(facts.image)}`
  const parameters = [
    `initrd=${INITRAMFS_FILE}`, // EFI kernels find it by name
    `si.server=${checked(server)}`,
    ...(image === undefined ? [] : [`si.image=${checked(image)}`]),
    ...(host === undefined ? [] : [`si.host=${checked(host)}`]),
    'BOOTIF=01-${netX/mac:hexhyp}',
    ...consoleParameters(facts),
    ...facts.parameters.split(/\s+/).filter(Boolean).map(checked),
  ]
  return `#!ipxe
echo SwarmImager: installing ${checked(image ?? facts.image)}${host === undefined ? '' : ` on ${checked(host)}`}
:again
kernel ${url}/${KERNEL_FILE} ${parameters.join(' ')} || goto failed
initrd --name ${INITRAMFS_FILE} ${url}/${INITRAMFS_FILE} || goto failed
boot ||
:failed
imgfree
echo Trying again in ${PAUSE_SECONDS} s
sleep ${PAUSE_SECONDS}
goto again
`
}

/** Screen and first serial port, unless the parameters name consoles themselves. */
export function consoleParameters({ parameters }: BootFacts): readonly string[] {
  return /(?:^|\s)console=/.test(parameters) ? [] : ['console=tty0', 'console=ttyS0,115200']
}

/** Boots what is on the disk: UEFI goes on in its own order, a BIOS is told to start the first disk. */
export function localScript(host: string | undefined): string {
  // What has to be written into cluster.yaml stands on the screen of the machine.
  const who = host === undefined ? '${netX/mac} is not in cluster.yaml' : checked(host)
  return `#!ipxe
echo SwarmImager: ${who}: booting from disk
iseq \${platform} efi && exit ||
sanboot --no-describe --drive 0x80 ||
exit
`
}

/** For machines that cannot be helped yet: says why; the script before this one asks again. */
export function waitScript(reason: string): string {
  const text = reason.replaceAll(/[^\w .,:()/'"=+-]/g, '?').slice(0, 300)
  return `#!ipxe
echo SwarmImager: ${text}
sleep 30
exit 1
`
}

/** Refuses what would end a word or a line, or what iPXE would expand. */
function checked(word: string): string {
  if (/^[^\s$|&;#"'\\]+$/.test(word)) return word
  throw new SiError(
    'ERR_SI_CONFIGURATION',
    `${JSON.stringify(word)} cannot stand in an iPXE script`,
    {
      hint: 'Leave out blanks, quotes, and the characters $ | & ; # \\',
    },
  )
}
