// Partition types: msdos type bytes as the GPT type GUIDs that mean the same (UEFI specification 2.10
// §5.3.3, Discoverable Partitions Specification).

export const EFI_SYSTEM_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
/** Holds GRUB's core image where the firmware is a BIOS and the table GPT. */
export const BIOS_BOOT_TYPE = '21686148-6449-6E6F-744E-656564454649'

const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
const MICROSOFT_BASIC = 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7'

const GPT_TYPES: Readonly<Record<string, string>> = {
  '82': '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F', // swap
  '8e': 'E6D6D379-F507-44C2-A23C-238F2A3DF928', // LVM
  fd: 'A19D880F-05FC-4D3B-A006-743F0F84911E', // RAID
  ef: EFI_SYSTEM_TYPE,
  '1': MICROSOFT_BASIC,
  '6': MICROSOFT_BASIC,
  '7': MICROSOFT_BASIC,
  b: MICROSOFT_BASIC,
  c: MICROSOFT_BASIC,
  e: MICROSOFT_BASIC,
}

/** Hexadecimal msdos type (`83`, `0x82`) → GUID; what has no counterpart becomes Linux data. */
export function toGptType(msdosType: string): string {
  const key = msdosType
    .toLowerCase()
    .replace(/^0x/, '')
    .replace(/^0+(?=.)/, '')
  return GPT_TYPES[key] ?? LINUX
}
