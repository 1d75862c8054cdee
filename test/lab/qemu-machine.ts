// Virtual machines under QEMU without hardware assistance (TCG), so that they run wherever the tests
// do. A machine is switched off with its scope; the log of its console is kept when the run fails.
import { copyFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { startInLab, type LabProgram } from './lab-program.ts'
import { openConsole, type MachineConsole } from './machine-console.ts'
import { onHost, type VirtualHost } from './network.ts'
import { runQmp } from './qmp.ts'
import { type Scope } from './scope.ts'
import { serveFolder, type SharedFolder } from './shared-folder.ts'

export interface MachineDisk {
  /** A raw disk image. */
  readonly file: string
  readonly bus: 'virtio' | 'nvme'
  /** Shown in /dev/disk/by-id; at most 20 characters. */
  readonly serial: string
  /** What is written is forgotten at the end; the file stays as it is. */
  readonly isSnapshot?: boolean
  /** File for QEMU's blkdebug: when which requests fail, and how. */
  readonly faults?: string
}

export interface DirectKernel {
  readonly file: string
  readonly initramfs?: string
  readonly parameters: string
}

/** What somebody put in: booted before everything else. */
export interface MachineMedium {
  readonly kind: 'cd' | 'usb-stick'
  readonly file: string
}

export interface MachineOptions {
  readonly name: string
  readonly medium?: MachineMedium
  readonly disks: readonly MachineDisk[]
  readonly memoryMiB?: number
  /** `bios` when left out. The variables of UEFI begin empty at each start. */
  readonly firmware?: 'bios' | 'uefi'
  /** Loaded by QEMU itself; otherwise the firmware boots from network and disks. */
  readonly kernel?: DirectKernel
  /** Its cable in the lab's network; without it there is none. */
  readonly network?: VirtualHost
  /** What the firmware tries first; `disk` when left out. */
  readonly bootFirst?: 'disk' | 'network'
  readonly folders?: readonly SharedFolder[]
  /** What its clock says when it is switched on, such as 2001-01-01; now when left out. */
  readonly clock?: string
  /** Socket that gets what the guest writes to /dev/virtio-ports/lab.output. */
  readonly output?: string
}

export interface Machine {
  readonly name: string
  readonly console: MachineConsole
  /** Settles with QEMU's exit status once the machine is off; rejects when interrupted. */
  readonly exited: Promise<number>
  /** Types on the serial console. */
  type(text: string): Promise<void>
  /** As the reset button. */
  reset(): Promise<void>
  /** Asks its operating system to shut down, as the power button does. */
  pressPower(): Promise<void>
  /** Pulls the plug: what the guest had not flushed may be lost. */
  cutPower(): Promise<void>
}

const DEFAULT_MEMORY_MIB = 1024
const FIRMWARE = '/usr/share/OVMF'

export async function startMachine(scope: Scope, options: MachineOptions): Promise<Machine> {
  const base = join(scope.directory, options.name)
  const consoleFile = `${base}-console.log`
  const consoleSocket = `${base}-console.sock`
  const qmp = `${base}-qmp.sock`
  const args = [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-smp', '2', '-cpu', 'max'],
    ...[
      '-accel',
      'tcg,thread=multi',
      '-rtc',
      `base=${options.clock ?? 'utc'}`,
      '-device',
      'virtio-rng-pci',
    ],
    ...memoryArguments(options),
    ...consoleArguments(consoleFile, consoleSocket),
    ...['-qmp', `unix:${qmp},server=on,wait=off`],
    ...outputArguments(options),
    ...(await firmwareArguments(base, options)),
    ...mediumArguments(options.medium),
    ...options.disks.flatMap((disk, index) => diskArguments(disk, { index, ...options })),
    ...networkArguments(options),
  ]
  for (const folder of options.folders ?? []) {
    args.push(...(await serveFolder(scope, options.name, folder)))
  }
  const program = startQemu(scope, options, args)
  return describeMachine(scope, { name: options.name, consoleFile, consoleSocket, qmp, program })
}

/** Written to a file; whoever types connects to the socket. */
function consoleArguments(file: string, socket: string): string[] {
  const device = `socket,id=console,path=${socket},server=on,wait=off`
  return ['-chardev', `${device},logfile=${file},logappend=on`, '-serial', 'chardev:console']
}

function startQemu(scope: Scope, options: MachineOptions, qemu: readonly string[]): LabProgram {
  // A tap is a file descriptor of the namespace where it lies: the program must start there.
  const words: [string, readonly string[]] = ['qemu-system-x86_64', qemu]
  const { network } = options
  const [program, args] = network === undefined ? words : onHost(network, ...words)
  return startInLab(scope, options.name, { program, args })
}

function describeMachine(
  scope: Scope,
  started: {
    readonly name: string
    readonly consoleFile: string
    readonly consoleSocket: string
    readonly qmp: string
    readonly program: LabProgram
  },
): Machine {
  const { name, program, qmp, consoleSocket } = started
  let hasEnded = false
  let keyboard: Socket | undefined
  program.exited.finally(() => (hasEnded = true)).catch(() => {})
  const command = async (text: string) => {
    await runQmp(qmp, text, { signal: scope.signal })
  }
  return {
    name,
    console: openConsole(scope, started.consoleFile, { name, hasEnded: () => hasEnded }),
    exited: program.exited,
    async type(text) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      keyboard ??= openKeyboard(consoleSocket)
      keyboard.write(text, (error) => (error ? reject(error) : resolve()))
      await promise
    },
    reset: () => command('system_reset'),
    pressPower: () => command('system_powerdown'),
    cutPower: () => program.stop('SIGKILL'),
  }
}

/** Stays open as long as the machine runs: what it writes while somebody hangs up is in no log. */
function openKeyboard(path: string): Socket {
  const socket = connect(path)
  socket.on('error', () => {}) // whoever types is told
  return socket.resume().unref()
}

function memoryArguments(options: MachineOptions): string[] {
  const mebibytes = options.memoryMiB ?? DEFAULT_MEMORY_MIB
  const backend = `memory-backend-memfd,id=memory,size=${mebibytes}M,share=on`
  // Without graphics SeaBIOS, and what it starts, writes to the serial console, as UEFI does anyway.
  const machine = 'q35,memory-backend=memory,graphics=off'
  return ['-m', `${mebibytes}`, '-object', backend, '-machine', machine]
}

function outputArguments({ output }: MachineOptions): string[] {
  if (output === undefined) return []
  return [
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=output,path=${output}`],
    ...['-device', 'virtserialport,chardev=output,name=lab.output'],
  ]
}

async function firmwareArguments(base: string, options: MachineOptions): Promise<string[]> {
  const { kernel } = options
  if (kernel !== undefined) {
    const initramfs = kernel.initramfs === undefined ? [] : ['-initrd', kernel.initramfs]
    // A kernel that panics restarts the machine, and that ends it: no test waits for a dead guest.
    const parameters = `${kernel.parameters} panic=1`
    return ['-no-reboot', '-kernel', kernel.file, ...initramfs, '-append', parameters]
  }
  if (options.firmware !== 'uefi') return []
  const variables = `${base}-variables.fd`
  await copyFile(join(FIRMWARE, 'OVMF_VARS_4M.fd'), variables)
  const code = join(FIRMWARE, 'OVMF_CODE_4M.fd')
  return [
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${variables}`],
  ]
}

function diskArguments(
  disk: MachineDisk,
  machine: { readonly index: number; readonly bootFirst?: 'disk' | 'network' },
): string[] {
  const id = `disk${machine.index}`
  const file = disk.faults === undefined ? disk.file : `blkdebug:${disk.faults}:${disk.file}`
  const snapshot = disk.isSnapshot === true ? ',snapshot=on' : ''
  const order = (machine.bootFirst === 'network' ? 2 : 1) + machine.index
  const device = disk.bus === 'nvme' ? 'nvme' : 'virtio-blk-pci'
  return [
    ...['-drive', `if=none,id=${id},format=raw,discard=unmap,file=${file}${snapshot}`],
    ...['-device', `${device},drive=${id},serial=${disk.serial},bootindex=${order}`],
  ]
}

function mediumArguments(medium: MachineMedium | undefined): string[] {
  if (medium === undefined) return []
  const drive = `if=none,id=medium,format=raw,readonly=on,file=${medium.file}`
  if (medium.kind === 'cd') {
    return ['-drive', `${drive},media=cdrom`, '-device', 'ide-cd,drive=medium,bootindex=0']
  }
  const stick = 'usb-storage,drive=medium,removable=on,bootindex=0'
  return ['-drive', drive, '-device', 'qemu-xhci', '-device', stick]
}

function networkArguments(options: MachineOptions): string[] {
  const { network } = options
  if (network === undefined) return ['-nic', 'none']
  const order = options.bootFirst === 'network' ? 1 : options.disks.length + 1
  // QEMU's ROM for UEFI is an iPXE: without it the firmware has to boot from the network by itself, as real ones do.
  const rom = options.firmware === 'uefi' ? ',romfile=' : ''
  return [
    ...['-netdev', `tap,id=cable,ifname=${network.name},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=cable,mac=${network.mac},bootindex=${order}${rom}`],
  ]
}
