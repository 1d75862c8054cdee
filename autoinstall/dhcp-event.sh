#!/bin/sh
# What udhcpc calls with "bound" and its findings in the environment: writes them down as KEY=VALUE lines for
# si-autoinstall, which configures the interface itself. It is called with other events, too: nothing to do then.
set -eu
[ "${1:-}" = bound ] || [ "${1:-}" = renew ] || exit 0
: "${interface:?is set by udhcpc}" "${ip:?is set by udhcpc}"
file=/run/swarmimager/dhcp.$interface
{
  printf 'ip=%s\n' "$ip"
  printf 'mask=%s\n' "${mask:-24}"
  printf 'router=%s\n' "${router:-}"
  printf 'dns=%s\n' "${dns:-}"
  printf 'domain=%s\n' "${search:-${domain:-}}"
  printf 'hostname=%s\n' "${hostname:-}"
  printf 'lease=%s\n' "${lease:-}"
  printf 'ntpsrv=%s\n' "${ntpsrv:-}"
} >"$file.new"
mv "$file.new" "$file"
