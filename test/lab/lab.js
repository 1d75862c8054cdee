// The door of the lab: machines, networks and disks that are made for one run on this computer and
// are gone afterwards. The demo, the end-to-end tests and the benchmarks are built from it.
export * from "./compare-trees.js";
export * from "./deployed-disk.js";
export * from "./fluid-limit.js";
export * from "./golden-client.js";
export * from "./loop-disk.js";
export * from "./network.js";
export * from "./program-on-host.js";
export * from "./scope.js";
