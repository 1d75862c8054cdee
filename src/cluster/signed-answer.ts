// What the server tells a node, so that the node can believe it: an answer decides which disks are erased and which
// scripts run as root. Invariant: an answer is taken only when a signer of a trusted authority signed these very
// bytes, and for the question that was asked, unless the administrator does without.
import { createHash } from 'node:crypto'
import { SiError } from '../core/core.ts'
import type { Trust, Verdict } from '../pki/pki.ts'
import { nodeAnswerSchema, type NodeAnswer } from './node-configuration.ts'

/** Header of the answer with the signature of its body: CMS, DER, base64. */
export const SIGNATURE_HEADER = 'si-signature'

export interface SignedAnswer {
  /** The body, byte by byte. */
  readonly body: Uint8Array
  /** Value of the header; undefined: there is none. */
  readonly signature: string | undefined
  /** What was sent as `nonce`, so that no earlier answer passes for this one. */
  readonly nonce: string
}

/** Throws ERR_SI_UNTRUSTED, ERR_SI_CONFIGURATION when it is no answer. */
export async function openAnswer(
  { body, signature, nonce }: SignedAnswer,
  trust: Trust,
): Promise<{ readonly answer: NodeAnswer; readonly verdict: Verdict }> {
  const { checkSigned } = await import('../pki/pki.ts') // the server signs; nodes check
  const verdict = await checkSigned(trust, {
    what: "the image server's answer",
    signature: signature === undefined ? undefined : Buffer.from(signature, 'base64'),
    digest: (algorithm) => Promise.resolve(createHash(algorithm).update(body).digest()),
  })
  const found = nodeAnswerSchema.safeParse(parseJson(body))
  if (!found.success) {
    const reason = found.error.issues[0]?.message ?? ''
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read the image server's answer: ${reason}`, {
      hint: 'Let the boot medium and the image server be of the same version',
    })
  }
  if (found.data.nonce === nonce) return { answer: found.data, verdict }
  throw new SiError('ERR_SI_UNTRUSTED', "The image server's answer is one to another question", {
    hint: 'Somebody on the network may be replaying answers; ask again',
  })
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'))
  } catch {
    return undefined
  }
}
