// The door of host: the only place that runs programs, makes system calls, reads /proc, /sys, /dev.
export * from './program.ts'
export * from './syscalls.ts'
