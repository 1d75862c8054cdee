// A new key, and the request to certify it, for a machine that has neither certificate nor authority.
import { encodePem } from './pem.ts'
import { encodePrivateKey, generatePrivateKey } from './private-key.ts'

export interface NewRequest {
  /** PKCS #10 in PEM. */
  readonly requestPem: string
  /** Stays where it was made. */
  readonly keyPem: string
}

export async function createCertificateRequest(): Promise<NewRequest> {
  const { makeCertificateRequest } = await import('./x509.ts')
  const key = generatePrivateKey('p256')
  const requestPem = encodePem('CERTIFICATE REQUEST', await makeCertificateRequest(key))
  return { requestPem, keyPem: encodePrivateKey(key, undefined) }
}
