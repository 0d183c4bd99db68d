#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# stand-in.sh EMT-RUN: the programs over the shim on a kernel without AF_EMT, whose sockets those of IPv6 stand in for;
# EMT-RUN and the library beside it are of a build with the feature stand-in. In a network namespace of its own, as root.
# Prints TAP.
here=$(cd "$(dirname "$0")" && pwd)
run=$(realpath "${1:?name an emt-run that was built with --features stand-in}")
if [ -z "${INSIDE:-}" ]; then
	unshare -n true 2>/dev/null || { echo "1..0 # SKIP no network namespace can be made here: run it as root"; exit 4; }
	[ -e /proc/net/if_inet6 ] || { echo "1..0 # SKIP this kernel has no IPv6"; exit 4; }
	INSIDE=1 exec unshare -n "$0" "$run"
fi

# What src/stand_in.rs expects: one interface, and a loopback device that takes what stands for link-layer addresses.
ip link set lo up
ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth1 || exit
ip link set eth0 up
ip link set eth1 up
own=fd46:0:0:$(printf %x "$(ip -o link show eth0 | cut -d: -f1)"):0:200:0:1
ip -6 addr add "$own/128" dev lo nodad
ip -6 route add local fd46::/16 dev lo src "$own" || exit
# shellcheck source=tools/net/emt/tests/parts.sh
. "$here/parts.sh"
map=$(mktemp)
trap 'rm -f "$map" "$parts_log"' EXIT
printf '%s\n' "local 10.0.0.1 eth0" listen-all >"$map"

export SERVER="$run --map $map" CLIENT="$run --map $map" ADDRESS=10.0.0.1 PEER=10.0.0.1 LISTEN_ALL=1
# Two listeners on all addresses, one of them for IPv6 alone, have two ports beside AF_EMT, and one in place of it.
export REDIS_ALL="--bind 0.0.0.0"
part sockets $SERVER python3 -W ignore "$here/sockets.py" 10.0.0.1 10 127.0.0.1
part redis "$here/redis.sh"
part iperf3 "$here/iperf3.sh"
parts_end
