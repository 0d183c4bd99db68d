#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# plain.sh LIBRARY: with the library preloaded and a map of other hosts, programs over TCP do what they do without it.
# In a network namespace of its own, as root. Prints TAP.
here=$(cd "$(dirname "$0")" && pwd)
library=$(realpath "${1:?name the library}")
if [ -z "${INSIDE:-}" ]; then
	unshare -n true 2>/dev/null || { echo "1..0 # SKIP no network namespace can be made here: run it as root"; exit 4; }
	INSIDE=1 exec unshare -n "$0" "$library"
fi
ip link set lo up
# shellcheck source=tools/net/emt/tests/parts.sh
. "$here/parts.sh"
map=$(mktemp)
trap 'rm -f "$map" "$parts_log"' EXIT
printf '%s\n' "192.0.2.1 eth0 02:00:00:00:00:02" "local 192.0.2.2 eth0" >"$map"

under="env EMT_MAP=$map LD_PRELOAD=$library"
export SERVER=$under CLIENT=$under ADDRESS=127.0.0.1 PEER=127.0.0.1 LISTEN_ALL=1
# shellcheck disable=SC2086 # words
part sockets $under python3 -W ignore "$here/sockets.py" 127.0.0.1 2 127.0.0.2
part redis "$here/redis.sh"
part iperf3 "$here/iperf3.sh"
parts_end
