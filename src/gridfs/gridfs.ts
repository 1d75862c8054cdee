// The door of gridfs: the grid file system, and the FUSE binding under it.
export * from './fuse/fuse.ts'
export * from './lock-table.ts'
