// The door of host: the only place that runs programs, makes system calls, reads /proc, /sys, /dev.
export * from './block-device.ts'
export * from './disk-tools.ts'
export * from './kernel-support.ts'
export * from './memory.ts'
export * from './mounts.ts'
export * from './program.ts'
export * from './syscalls.ts'
export * from './transfer-calls.ts'
