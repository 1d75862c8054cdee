// The POSIX contract against a file system of the kernel: what the contract asks must hold where it is
// beyond doubt. Needs root and python3.
import { mountExt4 } from './mount-ext4.ts'
import { describePosix } from './posix-contract.ts'

describePosix({ name: 'ext4', mount: mountExt4 })
