// The tables beside fstab that name disks: crypttab(5), mdadm.conf(5), and what Debian's initramfs must know of a key
// file; pure. Lines of the golden client for what is not on the target become comments.
import type { MadeArray, MadeEncryption } from '../made-storage.ts'

const LOST = '# not on this machine: '

/** Volumes with a new key at each boot, such as swap, belong to no disk's header. */
const EPHEMERAL_KEY = /^\/dev\/u?random$/

export function formatCrypttab(golden: string, encrypted: readonly MadeEncryption[]): string {
  const lines = splitLines(golden).map((line) => {
    const [name = '', , key = ''] = line.trim().split(/\s+/)
    if (isComment(line) || EPHEMERAL_KEY.test(key)) return line
    return encrypted.some((volume) => volume.name === name) ? undefined : `${LOST}${line}`
  })
  const made = encrypted.map((volume) => {
    return `${volume.name} UUID=${volume.uuid} ${volume.keyFile ?? 'none'} luks`
  })
  return joinLines([...lines.filter((line) => line !== undefined), ...made])
}

export function formatMdadmConf(golden: string, arrays: readonly MadeArray[]): string {
  const lines = splitLines(golden).filter((line) => !/^\s*ARRAY\s/i.test(line))
  const made = arrays.map(({ device, uuid }) => `ARRAY ${device} UUID=${uuid}`)
  return joinLines([...lines, ...made])
}

/** cryptsetup-initramfs(7): key files that are copied into the initramfs. */
export function formatKeyPattern(golden: string, keyFiles: readonly string[]): string {
  const lines = splitLines(golden).filter((line) => !/^\s*KEYFILE_PATTERN=/.test(line))
  return joinLines([...lines, `KEYFILE_PATTERN="${keyFiles.join(' ')}"`])
}

function isComment(line: string): boolean {
  return /^\s*(#|$)/.test(line)
}

function splitLines(text: string): string[] {
  const lines = text.split('\n')
  while (lines.at(-1)?.trim() === '') lines.pop()
  return lines
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}
