// By which firmware this machine was booted (efivarfs, sysfs-firmware-efi ABI).
import { existsSync } from 'node:fs'

export function readFirmware(): 'bios' | 'uefi' {
  return existsSync('/sys/firmware/efi') ? 'uefi' : 'bios'
}
