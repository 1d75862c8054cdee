// The door of netboot: how a machine without a system boots into the installation of one. On the image server: initramfs,
// iPXE scripts, dnsmasq's configuration. On the node (node/): what runs in the initramfs.
export { BOOT_FILES, readBootFacts, type BootFacts } from './boot-folder.ts'
export { formatDnsmasq, parseDhcpRange, type DhcpRange, type DnsmasqOptions } from './dnsmasq.ts'
export { firstScript, installScript, localScript, waitScript } from './ipxe-script.ts'
export { makeAutoinstall, type MadeAutoinstall } from './make-autoinstall.ts'
export { writeNetworkBoot, type NetworkBoot } from './network-boot.ts'
export { autoinstall } from './node/autoinstall.ts'
export type { AutoinstallIo, AutoinstallOptions, Installed } from './node/autoinstall.ts'
export { parameterTable, type After, type NodeParameters } from './node/parameter-table.ts'
export { parseParameters, splitCommandLine } from './node/parameters.ts'
export type { Reporter } from './node/server-client.ts'
