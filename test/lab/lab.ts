// The door of the lab: machines, networks and disks that are made for one run on this computer and
// are gone afterwards. The demo, the end-to-end tests and the benchmarks are built from it.
export * from './cable-counters.ts'
export * from './compare-trees.ts'
export * from './deployed-disk.ts'
export * from './fluid-limit.ts'
export * from './golden-client.ts'
export * from './lab-program.ts'
export * from './loop-disk.ts'
export * from './network.ts'
export * from './own-network.ts'
export * from './program-on-host.ts'
export * from './scope.ts'
export * from './within.ts'
