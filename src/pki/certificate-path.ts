// The way from a certificate to an authority that is trusted (RFC 5280 §6, without policies and name
// constraints, which are refused where they are critical). Invariant: the work is bounded, whatever
// certificates a stranger sends along.
import { SiError } from '../core/core.ts'
import type { Certificate } from './certificate.ts'
import type { Crl } from './crl.ts'

export interface PathOptions {
  readonly anchors: readonly Certificate[]
  /** From strangers; any order. */
  readonly others: readonly Certificate[]
  readonly crls: readonly Crl[]
  readonly now: Date
}

export interface CheckedPath {
  /** From the certificate to the anchor. */
  readonly path: readonly Certificate[]
  /** True when a CRL of its issuer was there for every certificate below the anchor. */
  readonly isRevocationChecked: boolean
}

const LONGEST_PATH = 8
/** Each costs a tenth of a millisecond. Crossed certificates of the same names would give millions. */
const MOST_SIGNATURE_CHECKS = 64

/** Throws ERR_SI_UNTRUSTED, which says why. */
export function checkPath(leaf: Certificate, options: PathOptions): CheckedPath {
  const budget = { checks: MOST_SIGNATURE_CHECKS }
  let firstFault: SiError | undefined
  for (const path of pathsFrom([leaf], options, budget)) {
    const fault = faultOf(path, options)
    if (fault === undefined) return { path, isRevocationChecked: isCovered(path, options.crls) }
    firstFault ??= fault
  }
  throw (
    firstFault ??
    untrusted(
      `no trusted authority issued the certificate ${describe(leaf)}; its issuer is ${leaf.issuer}`,
      'Give the certificate of the authority that you trust with --trust',
    )
  )
}

function* pathsFrom(
  path: readonly Certificate[],
  options: PathOptions,
  budget: { checks: number },
): Generator<readonly Certificate[]> {
  const last = path.at(-1)
  if (last === undefined) return
  for (const [candidates, isAnchor] of [
    [options.anchors, true],
    [options.others, false],
  ] as const) {
    for (const issuer of candidates) {
      if (!mayIssue(issuer, last) || path.includes(issuer)) continue
      if (budget.checks-- <= 0) return
      if (!last.isSignedBy(issuer)) continue
      if (isAnchor) yield [...path, issuer]
      else if (path.length < LONGEST_PATH) yield* pathsFrom([...path, issuer], options, budget)
    }
  }
}

function mayIssue(issuer: Certificate, subject: Certificate): boolean {
  if (issuer.subjectKey !== subject.issuerKey || !issuer.isAuthority) return false
  const { subjectKeyId } = issuer
  const { authorityKeyId } = subject
  return (
    subjectKeyId === undefined || authorityKeyId === undefined || subjectKeyId === authorityKeyId
  )
}

function faultOf(path: readonly Certificate[], options: PathOptions): SiError | undefined {
  for (const [depth, certificate] of path.entries()) {
    const fault =
      dateFault(certificate, options.now) ??
      extensionFault(certificate, depth) ??
      revocationFault(certificate, path[depth + 1], options)
    if (fault !== undefined) return fault
  }
  return undefined
}

function dateFault(certificate: Certificate, now: Date): SiError | undefined {
  const { notBefore, notAfter } = certificate
  if (now < notBefore) {
    return clockFault(
      `${describe(certificate)} is not yet valid, only from ${text(notBefore)}`,
      now,
    )
  }
  if (now > notAfter) {
    return clockFault(`${describe(certificate)} expired on ${text(notAfter)}`, now)
  }
  return undefined
}

function extensionFault(certificate: Certificate, depth: number): SiError | undefined {
  const { unknownCritical, keyUsages, pathLength } = certificate
  const what = describe(certificate)
  if (unknownCritical.length > 0) {
    return untrusted(
      `${what} restricts itself in a way that is not understood: ${unknownCritical.join()}`,
    )
  }
  if (depth === 0) return undefined
  if (keyUsages?.includes('keyCertSign') === false) {
    return untrusted(`${what} may not issue certificates`)
  }
  return depth - 1 > pathLength ? untrusted(`${what} allows no authority below it`) : undefined
}

function revocationFault(
  certificate: Certificate,
  issuer: Certificate | undefined,
  { crls, now }: PathOptions,
): SiError | undefined {
  const [crl, ...older] = issuer === undefined ? [] : crlsBy(issuer, crls)
  if (crl === undefined) return undefined
  // An older list counts as well: nobody is pardoned, and two may be of the same second.
  const revokedAt = [crl, ...older]
    .map(({ revoked }) => revoked.get(certificate.serial))
    .find((date) => date !== undefined)
  if (revokedAt !== undefined) {
    return untrusted(
      `${describe(certificate)} was revoked on ${text(revokedAt)}`,
      'Have what it signed made and signed again',
    )
  }
  const what = `the CRL of ${certificate.issuer}`
  if (now < crl.thisUpdate) {
    return clockFault(`${what} is not yet valid, only from ${text(crl.thisUpdate)}`, now)
  }
  if (crl.nextUpdate !== undefined && now > crl.nextUpdate) {
    return clockFault(`${what} expired on ${text(crl.nextUpdate)}; fetch a new one`, now)
  }
  return undefined
}

/** The CRLs that this authority signed itself, the newest first. */
function crlsBy(issuer: Certificate, crls: readonly Crl[]): readonly Crl[] {
  if (issuer.keyUsages?.includes('crlSign') === false) return []
  return crls
    .filter((crl) => crl.issuerKey === issuer.subjectKey && crl.isSignedBy(issuer))
    .sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
}

function isCovered(path: readonly Certificate[], crls: readonly Crl[]): boolean {
  return path.slice(1).every((issuer) => crlsBy(issuer, crls).length > 0)
}

function describe({ subject, identities }: Certificate): string {
  const names = identities.map(({ role, name }) => `${role}/${name}`)
  return `certificate ${[subject, ...names].join(', ')}`
}

function clockFault(what: string, now: Date): SiError {
  return untrusted(
    `${what}; the clock of this machine says ${text(now)}`,
    'Check the clock of this machine first (date): when it is wrong, set it and try again',
  )
}

export function untrusted(reason: string, hint?: string): SiError {
  return new SiError('ERR_SI_UNTRUSTED', reason, { hint })
}

function text(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}
