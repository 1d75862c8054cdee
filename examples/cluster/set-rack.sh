#!/bin/sh
# A post-install script: it runs as root in the finished system, before the machine starts from it.
set -eu
printf '%s\n' "${SI_PARAM_RACK:-unknown}" > /etc/rack
printf '%s of group %s is in rack %s\n' "$SI_HOST_NAME" "${SI_GROUPS:-none}" "${SI_PARAM_RACK:-unknown}"
