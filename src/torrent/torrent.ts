// The door of torrent: bencoding, metainfo, the geometry of pieces and blocks, sets of pieces. Pure:
// bytes and values in, values out.
export * from './bencode.ts'
export * from './bitfield.ts'
export * from './geometry.ts'
export * from './info-hash.ts'
export * from './metainfo.ts'
export * from './web-seed-url.ts'
