// What a node refuses of its orders before it looks at disks or asks for a torrent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeAnswer } from '../../../src/cluster/cluster.ts'
import { silentProgress } from '../../../src/core/core.ts'
import { install, type Installation } from '../../../src/netboot/node/install.ts'
import { createReporter } from '../../../src/netboot/node/reporter.ts'
import { parseParameters } from '../../../src/netboot/netboot.ts'
import { UNSIGNED } from '../../lab/certificates.ts'

const ORDERS: NodeAnswer = {
  ...{ host: 'n1', image: 'web', groups: [], layout: null, network: null, overrides: [] },
  ...{ preInstall: [], postInstall: [{ name: 'a.sh', text: 'reboot' }], onScriptFailure: 'stop' },
  ...{ scriptTimeLimitMs: null, afterInstall: 'reboot', boot: 'install', parameters: {} },
  ...{ torrent: null, overrideTorrents: [], nonce: '' },
}

test('install() runs no scripts that nobody signed, also where unsigned images are allowed', async () => {
  const { signal } = new AbortController()
  const { parameters } = parseParameters({ commandLine: 'si.allow-unsigned' })
  const installation: Installation = {
    ...{ parameters, orders: ORDERS, ordersSigner: null, after: 'reboot', trust: UNSIGNED },
    ...{ threads: 1, progress: silentProgress, shell: () => Promise.resolve(1) },
    security: undefined,
    reporter: createReporter(undefined, undefined, { say: assert.fail, signal }),
  }
  await assert.rejects(install(installation, signal), {
    code: 'ERR_SI_UNTRUSTED',
    message: 'The server orders scripts for n1, and nobody signed that',
  })
})
