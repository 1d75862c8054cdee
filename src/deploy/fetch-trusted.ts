// The manifest, from peers to believed. Invariant: the signature is checked over the manifest's bytes before
// anything of them is unpacked or parsed.
import { SiError } from '../core/core.ts'
import { imageFilesOf } from '../image/image.ts'
import { checkSigned, type Trust, type Verdict } from '../pki/pki.ts'
import type { Metainfo } from '../torrent/torrent.ts'
import type { Download } from './download.ts'
import type { ExpectedImage } from './options.ts'
import type { ManifestTables } from './worker-protocol.ts'

export interface TrustRequest {
  readonly metainfo: Metainfo
  readonly trust: Trust
  readonly expect?: ExpectedImage | undefined
}

/** What needs no peer to be known is said before any is asked. Throws ERR_SI_UNTRUSTED. */
export async function refuseUnsigned(metainfo: Metainfo, trust: Trust): Promise<void> {
  if (imageFilesOf(metainfo).signature !== null) return
  await checkSigned(trust, { what: nameOf(metainfo), signature: undefined, digest: noDigest })
}

/** Throws ERR_SI_UNTRUSTED, ERR_SI_MANIFEST_FORMAT, ERR_SI_UNSAFE_PATH. */
export async function fetchTrusted(
  download: Download,
  { metainfo, trust, expect }: TrustRequest,
  signal: AbortSignal,
): Promise<{ readonly tables: ManifestTables; readonly verdict: Verdict }> {
  await download.fetchManifest(signal)
  const isSigned = imageFilesOf(metainfo).signature !== null
  const verdict = await checkSigned(trust, {
    what: nameOf(metainfo),
    signature: isSigned ? await download.runTask('readSignature', null) : undefined,
    digest: (algorithm) => download.runTask('hashManifest', algorithm),
  })
  const tables = await download.runTask('readManifest', null)
  refuseOther(tables, expect)
  return { tables, verdict }
}

/** A good signature does not say that it is the image that was meant: older ones were signed, too. */
function refuseOther({ manifest }: ManifestTables, expect: ExpectedImage | undefined): void {
  const { name, version } = manifest.header
  if (expect === undefined) return
  if (name === expect.name && (expect.version ?? version) === version) return
  const wanted = expect.version === undefined ? expect.name : `${expect.name}/${expect.version}`
  const message = `Cannot use image ${name}/${version}: ${wanted} was asked for`
  throw new SiError('ERR_SI_UNTRUSTED', message, {
    hint: 'Fetch the torrent again from the image server, or change --expect',
  })
}

function nameOf(metainfo: Metainfo): string {
  return `image ${metainfo.name}`
}

function noDigest(): never {
  throw new SiError('ERR_SI_INTERNAL', 'An unsigned image has nothing to compare')
}
