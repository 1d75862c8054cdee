#!/bin/sh
# The golden client of the lab: what a node needs to boot by itself, and the image server's key. Argument: the public key.
# Nothing of SwarmImager is installed here. Can be run again.
set -eu
key=${1:?the public key of the image server}
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --yes --quiet --no-install-recommends openssh-server tar fdisk
keys=$(getent passwd root | cut -d: -f6)/.ssh
install -d -m 700 "$keys"
grep -qxF "$key" "$keys/authorized_keys" 2>/dev/null || printf '%s\n' "$key" >>"$keys/authorized_keys"
# What tells a deployed machine from any other.
printf 'Configured on golden01.\n' >/etc/motd
