// One webtorrent client with one torrent, driven by webtorrent.ts: `webtorrent-peer.ts TORRENT DIRECTORY
// plain|preferred` downloads what is missing below DIRECTORY and seeds until SIGTERM.
import WebTorrent from 'webtorrent'

const [torrentPath = '', path = '', encryption] = process.argv.slice(2)

const client = new WebTorrent({
  ...{ dht: false, lsd: false, utp: false, natUpnp: false, natPmp: false },
  secure: encryption === 'plain' ? 0 : 1,
})
client.on('error', (error) => {
  throw error
})
client.on('listening', () => console.log('listening', client.torrentPort))
client.add(torrentPath, { path }).on('done', () => console.log('complete'))
process.on('SIGTERM', () => client.destroy(() => process.exit()))
