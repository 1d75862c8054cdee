// What an image can do for itself: which boot loader, initramfs maker and network program it has; pure. Answered from a set
// of paths, so that it can be asked of a manifest before anything is written, and of the tree afterwards.

export type NetworkProgram = 'NetworkManager' | 'systemd-networkd' | 'ifupdown'
export type InitramfsMaker = 'update-initramfs' | 'dracut'

export interface ImageFeatures {
  /** Whether there is a system at all, not just data. */
  readonly isSystem: boolean
  readonly network: NetworkProgram | null
  /** Whether there is any network at all, by programs that we cannot configure, too. */
  readonly hasNetwork: boolean
  readonly initramfsMaker: InitramfsMaker | null
  readonly hasSshKeygen: boolean
  readonly hasSshServer: boolean
  /** Null: no boot loader. */
  readonly grub: GrubFeatures | null
}

export interface GrubFeatures {
  readonly install: 'grub-install' | 'grub2-install'
  /** Program and arguments that write grub.cfg. */
  readonly configure: readonly [program: string, ...args: readonly string[]]
  readonly forBios: boolean
  /** As `grub-install --target` takes it; null: not for UEFI. */
  readonly efiTarget: 'x86_64-efi' | 'arm64-efi' | null
}

const PROGRAM_FOLDERS = ['usr/sbin/', 'usr/bin/', 'sbin/', 'bin/']
const PROGRAMS = [
  ...['grub-install', 'grub2-install', 'update-grub', 'update-initramfs'],
  ...['dracut', 'ssh-keygen', 'sshd', 'ifup', 'NetworkManager'],
  ...['netplan', 'connmand', 'wicked', 'dhcpcd'],
] as const
type Program = (typeof PROGRAMS)[number]

/** They bring up a network by a configuration of their own, or write that of networkd while booting. */
const OTHER_NETWORK_PROGRAMS = ['netplan', 'connmand', 'wicked', 'dhcpcd'] as const

const WANTED = 'etc/systemd/system/multi-user.target.wants/'
const FILES = {
  etc: 'etc',
  networkdEnabled: `${WANTED}systemd-networkd.service`,
  managerEnabled: `${WANTED}NetworkManager.service`,
  biosModules: 'usr/lib/grub/i386-pc/normal.mod',
  efiModules: 'usr/lib/grub/x86_64-efi/normal.mod',
  armModules: 'usr/lib/grub/arm64-efi/normal.mod',
} as const

/** Ends a sentence about an image that nothing can be configured in, or that has no network at all. */
export const NO_NETWORK_PROGRAM =
  'has neither systemd-networkd, ifupdown nor NetworkManager enabled'

/** Every path that findFeatures() looks for. */
export const FEATURE_PATHS: readonly string[] = [
  ...Object.values(FILES),
  ...PROGRAMS.flatMap((program) => PROGRAM_FOLDERS.map((folder) => folder + program)),
]

/** `has`: whether a path of FEATURE_PATHS is in the image, as a symlink or otherwise. */
export function findFeatures(has: (path: string) => boolean): ImageFeatures {
  const hasProgram = (program: Program) => PROGRAM_FOLDERS.some((folder) => has(folder + program))
  const network = findNetwork(has, hasProgram)
  return {
    isSystem: has(FILES.etc),
    network,
    hasNetwork: network !== null || OTHER_NETWORK_PROGRAMS.some(hasProgram),
    initramfsMaker: hasProgram('update-initramfs')
      ? 'update-initramfs'
      : hasProgram('dracut')
        ? 'dracut'
        : null,
    hasSshKeygen: hasProgram('ssh-keygen'),
    hasSshServer: hasProgram('sshd'),
    grub: findGrub(has, hasProgram),
  }
}

function findNetwork(
  has: (path: string) => boolean,
  hasProgram: (program: Program) => boolean,
): NetworkProgram | null {
  if (has(FILES.managerEnabled) && hasProgram('NetworkManager')) return 'NetworkManager'
  if (has(FILES.networkdEnabled)) return 'systemd-networkd'
  return hasProgram('ifup') ? 'ifupdown' : null
}

function findGrub(
  has: (path: string) => boolean,
  hasProgram: (program: Program) => boolean,
): GrubFeatures | null {
  const forBios = has(FILES.biosModules)
  const efiTarget = findEfiTarget(has)
  if (!forBios && efiTarget === null) return null
  for (const [install, config] of INSTALLERS) {
    if (!hasProgram(install)) continue
    const configure =
      install === 'grub-install' && hasProgram('update-grub')
        ? (['update-grub'] as const)
        : ([install.replace('install', 'mkconfig'), '-o', config] as const)
    return { install, configure, forBios, efiTarget }
  }
  return null
}

/** Debian and most others; Fedora and its kin. */
const INSTALLERS = [
  ['grub-install', '/boot/grub/grub.cfg'],
  ['grub2-install', '/boot/grub2/grub.cfg'],
] as const

function findEfiTarget(has: (path: string) => boolean): GrubFeatures['efiTarget'] {
  if (has(FILES.efiModules)) return 'x86_64-efi'
  return has(FILES.armModules) ? 'arm64-efi' : null
}
