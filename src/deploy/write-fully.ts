// Writing all of it: write(2) may take less than it is given.
import { writeSync } from 'node:fs'

/** Writes `bytes` at `position`, synchronously, in as many calls as it takes. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done)
  }
}
