// The door of pki: the authority that issues certificates, and the checks of those who rely on them.
export {
  createAuthority,
  CRL_DAYS,
  openAuthority,
  type Authority,
  type IssuedCertificate,
  type IssueRequest,
} from './authority.ts'
export { REVOCATION_REASONS, type IssuedRecord, type RevocationReason } from './authority-index.ts'
export { chainOf, type CallOptions, type TlsMaterial } from './call-options.ts'
export { createCertificateRequest, type NewRequest } from './certificate-request.ts'
export { fingerprintOf, type Certificate } from './certificate.ts'
export {
  anonymousCallOptions,
  openCredentials,
  PEER_ROLES,
  type CredentialFiles,
  type Credentials,
  type Demand,
} from './credentials.ts'
export { writeDurably } from './durable-file.ts'
export { parseIdentityName, parseRole, ROLES, type Identity, type Role } from './identity.ts'
export { KEY_MODE, KEY_TYPES, type KeyType } from './private-key.ts'
export { type DigestAlgorithm } from './signature-algorithms.ts'
export { hashFile, loadSigner, type Signer, type SignerFiles } from './signer.ts'
export { makeSite, type Site, type SiteOptions } from './site.ts'
export {
  checkSigned,
  describeSignature,
  loadTrust,
  type SignatureFacts,
  type SignedContent,
  type Trust,
  type TrustSources,
  type Verdict,
} from './trust.ts'
