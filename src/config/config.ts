// The door of config: files that administrators write, in YAML.
export { closedObject, nearest } from './closed-object.ts'
export { parseConfiguration, readConfiguration } from './configuration.ts'
export type { Configuration, ConfigurationOptions } from './configuration.ts'
