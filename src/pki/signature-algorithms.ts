// The signatures that count for anything, by object identifier: ECDSA and RSA PKCS #1 with SHA-2, and Ed25519
// (RFC 5758, 8017, 8410). RSA-PSS is left out: its default hash is SHA-1.

export type DigestAlgorithm = 'sha256' | 'sha384' | 'sha512'

export const ECDSA_SHA256 = '1.2.840.10045.4.3.2'
export const ED25519 = '1.3.101.112'

interface SignatureAlgorithm {
  readonly keyType: 'ec' | 'rsa' | 'ed25519'
  /** null: the key's own. */
  readonly hash: DigestAlgorithm | null
}

export const SIGNATURE_ALGORITHMS: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  [ECDSA_SHA256, { keyType: 'ec', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { keyType: 'ec', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { keyType: 'ec', hash: 'sha512' }],
  ['1.2.840.113549.1.1.11', { keyType: 'rsa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { keyType: 'rsa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { keyType: 'rsa', hash: 'sha512' }],
  [ED25519, { keyType: 'ed25519', hash: null }],
])
