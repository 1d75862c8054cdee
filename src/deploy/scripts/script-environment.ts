// What a script finds in its environment; pure. The table for administrators: cluster/CLUSTER.md, "Scripts".
import type { ManifestHeader } from '../../image/image.ts'
import type { Firmware } from '../finish/firmware.ts'
import type { DeployPlan } from '../plan.ts'
import type { ScriptOptions, Stage } from './script.ts'

/** What all scripts of a deployment are told. */
export interface ScriptFacts {
  readonly header: Pick<ManifestHeader, 'name' | 'version'>
  /** Null: that of the golden client. */
  readonly hostName: string | null
  readonly firmware: Firmware
  readonly plan: DeployPlan
}

/** Nothing of the environment of the installing program: neither its settings nor its secrets. */
const PLAIN = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ...{ HOME: '/root', TERM: 'dumb', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
}

/** All variables are always set; what is not known is empty. */
export function scriptEnvironment(
  script: { readonly stage: Stage; readonly name: string },
  facts: ScriptFacts,
  { parameters, groups, server }: Pick<ScriptOptions, 'parameters' | 'groups' | 'server'>,
): Readonly<Record<string, string>> {
  const { header, hostName, firmware, plan } = facts
  const isDisk = plan.kind !== 'root'
  const own = Object.entries(parameters).map(([name, value]) => [parameterVariable(name), value])
  return {
    ...PLAIN,
    SI_STAGE: script.stage,
    SI_SCRIPT: script.name,
    SI_HOST_NAME: hostName ?? '',
    SI_GROUPS: groups.join(' '),
    SI_IMAGE: header.name,
    SI_IMAGE_VERSION: header.version,
    SI_TARGET: isDisk ? 'disk' : plan.directory,
    SI_DISKS: isDisk ? plan.disks.map(({ device }) => device).join(' ') : '',
    SI_FIRMWARE: firmware,
    SI_SERVER: server,
    ...Object.fromEntries(own),
  }
}

/** `rack` → `SI_PARAM_RACK`. */
export function parameterVariable(name: string): string {
  return `SI_PARAM_${name.toUpperCase()}`
}
