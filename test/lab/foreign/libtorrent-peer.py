#!/usr/bin/python3
"""One libtorrent session with one torrent, driven by test/lab/foreign/libtorrent.ts.

    libtorrent-peer.py TORRENT DIRECTORY HOST plain|preferred

Downloads what is missing below DIRECTORY and seeds until SIGTERM. Prints `listening PORT`, then
`complete` when all pieces are there and verified. Settings: see libtorrent's tuning guide.
"""

import signal
import sys

import libtorrent as lt

torrent_path, directory, host, encryption = sys.argv[1:]

# The preset for many fast peers (big send buffers, long request queues, no limit of unchoked peers), and
# what helps one fast peer: threads for the disk and for hashing, more bytes on their way to the disk.
settings = lt.high_performance_seed()
settings.update(
    {
        "listen_interfaces": host + ":0",
        "outgoing_interfaces": host,
        "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "announce_to_all_tiers": True,
        "allow_multiple_connections_per_ip": True,
        "aio_threads": 8,
        "hashing_threads": 2,
        "max_queued_disk_bytes": 64 * 2**20,
        "suggest_mode": 0,
    }
)
policy = lt.enc_policy.disabled if encryption == "plain" else lt.enc_policy.enabled
settings["out_enc_policy"] = settings["in_enc_policy"] = int(policy)

session = lt.session(settings)
parameters = lt.add_torrent_params()
parameters.ti = lt.torrent_info(torrent_path)
parameters.save_path = directory
parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
session.add_torrent(parameters)
print("listening", session.listen_port(), flush=True)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.torrent_finished_alert):
            print("complete", flush=True)
        elif alert.category() & lt.alert.category_t.error_notification:
            print(alert.message(), file=sys.stderr, flush=True)
