// The site of the lab: a golden machine and an image server on a network of their own. What a person would type is typed here;
// what is on the server lies in one folder.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import * as lab from '../lab/lab.ts'

export const SI = join(import.meta.dirname, '../../src/cli/si')

export interface LabSite {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly server: lab.NetworkHost
  readonly say: (text: string) => void
  /** A file or folder of the image server. */
  readonly below: (name: string) => string
}

export async function createSite(scope: lab.Scope, say: (text: string) => void): Promise<LabSite> {
  const network = await lab.createNetwork(scope, {
    hosts: ['server'],
    virtualHosts: ['golden01'],
  })
  const directory = join(scope.directory, 'site')
  await mkdir(directory)
  const below = (name: string) => join(directory, name)
  await lab.makeCertificates(below('pki'))
  return { scope, network, server: network('server'), say, below }
}
