// Certificates of a lab: made anew each time, so that none is ever kept.
import { makeSite, type Trust } from '../../src/pki/pki.ts'

/** For tests whose images are not what they are about. */
export const UNSIGNED: Trust = { anchors: [], crls: [], allowUnsigned: true }

/** What `si-server init` makes; returns the options that make commands sign, and check, with it. */
export async function makeCertificates(directory: string): Promise<readonly ['--pki', string]> {
  await makeSite({
    ...{ directory, hostName: 'server', dnsNames: ['server'], addresses: [], keyType: 'p256' },
    ...{ authorityDays: 2, passphraseFile: undefined },
  })
  return ['--pki', directory]
}
