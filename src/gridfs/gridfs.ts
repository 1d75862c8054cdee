// The door of gridfs: the grid file system, and the FUSE binding under it.
export * from './fuse/fuse.ts'
export * from './lock-table.ts'
export * from './client/mount.ts'
export * from './volumes/volume-source.ts'
export * from './server/server.ts'
export * from './server/exports.ts'
export * from './server/server-state.ts'
