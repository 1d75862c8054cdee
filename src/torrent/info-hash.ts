// The name of a torrent: SHA-1 of its info dictionary.
import { SiError } from '../core/core.ts'

/** 40 hexadecimal digits, lower case. Obtained from parseInfoHash or a Metainfo. */
export type InfoHash = string & { readonly __brand: 'InfoHash' }

/** Text → InfoHash, upper or lower case. Throws ERR_SI_TORRENT_FORMAT. */
export function parseInfoHash(text: string): InfoHash {
  if (!/^[0-9a-f]{40}$/i.test(text)) {
    throw new SiError('ERR_SI_TORRENT_FORMAT', `${JSON.stringify(text)} is no info hash`, {
      hint: 'Give 40 hexadecimal digits',
    })
  }
  return text.toLowerCase() as InfoHash
}
