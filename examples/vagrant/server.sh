#!/bin/sh
# Makes an image server of a machine on which SwarmImager is installed: certificates, image of golden01, boot files, services.
# Arguments: own address, the golden client's. Expects the key for the golden client in /tmp/swarmimager-key. Can be run again.
set -eu
address=${1:?the address of this server} golden=${2:?the address of the golden client}
here=/opt/swarmimager/examples/vagrant
keys=$(getent passwd root | cut -d: -f6)/.ssh
install -d -m 700 "$keys"
[ ! -e /tmp/swarmimager-key ] || install -m 600 /tmp/swarmimager-key "$keys/id_ed25519"
rm -f /tmp/swarmimager-key
# Machines of a lab come and go under the same names.
cat >"$keys/config" <<END
Host golden01
  HostName $golden
Host golden01 node0?
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
END
grep -q ' node01$' /etc/hosts || printf '10.77.0.10%s node0%s\n' 1 1 2 2 3 3 >>/etc/hosts

# Both machines may be coming up at the same time.
tries=120
until ssh -o BatchMode=yes -o ConnectTimeout=5 golden01 true 2>/dev/null; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "golden01 ($golden) does not answer ssh: vagrant up golden01" >&2 && exit 1; }
  sleep 5
done

si-server init --ip "$address"
install -m 644 "$here/cluster.yaml" /etc/swarmimager/cluster.yaml
si-cluster check
si-getimage golden01
si-mkautoinstall golden01 --server "http://$address:8080" --dhcp 10.77.0.150-10.77.0.199/24 --compression-level 9
si-netboot 'node[01-03]' install

if [ -d /run/systemd/system ]; then
  install -m 644 "$here/swarmimager.service" "$here/swarmimager-dhcp.service" /etc/systemd/system/
  systemctl daemon-reload
  systemctl enable --now swarmimager.service swarmimager-dhcp.service
  systemctl restart swarmimager.service swarmimager-dhcp.service
fi
echo "ready: vagrant up node01 node02 node03"
