// The door of cluster: which hosts there are, and what holds for each. The file: CLUSTER.md.
export { type ClusterHost } from './hosts.ts'
export { loadCluster, type Cluster } from './load.ts'
export {
  nodeAnswerSchema,
  nodeConfigurationSchema,
  type NodeAnswer,
  type NodeConfiguration,
} from './node-configuration.ts'
export { expandList, foldNames } from './range.ts'
export {
  findHost,
  OVERRIDE_PREFIX,
  resolveNode,
  settingsOf,
  type NodeQuery,
} from './resolve-node.ts'
export { AFTER_INSTALL_CHOICES, BOOT_CHOICES, SCRIPT_FAILURE_CHOICES } from './settings.ts'
export { toAnsible, toClusterShell } from './export.ts'
export { importClusterXml, type Imported } from './import-xml.ts'
export { openClusterSource, type ClusterSource } from './cluster-source.ts'
export {
  DONE_PHASE,
  FAILED_PHASE,
  isDone,
  MAX_ERROR_CHARACTERS,
  MAX_MESSAGE_CHARACTERS,
  reportSchema,
  type KeptReport,
  type NodeReport,
} from './node-report.ts'
export { openNodeStore, type BootChoice, type NodeStore } from './node-store.ts'
export { openAnswer, SIGNATURE_HEADER, type SignedAnswer } from './signed-answer.ts'
