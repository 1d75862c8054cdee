// Writing all of it: write(2) may take less than it is given.
import { writeSync } from 'node:fs'

/**
 * Of one call. ext4 keeps a long write in one large folio, and a virtual machine that gives free memory back to
 * its host has to fetch those anew: with 1 MiB at a time a transfer took three times the CPU time.
 * Elsewhere shorter writes cost a few system calls.
 */
const WRITE_BYTES = 64 * 1024

/** Writes `bytes` at `position`, synchronously, in as many calls as it takes. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    const wanted = Math.min(WRITE_BYTES, bytes.length - done)
    done += writeSync(fd, bytes, done, wanted, position + done)
  }
}
