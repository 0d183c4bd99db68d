#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# iperf3.sh: a real iperf3 at both ends; lib.sh says what the environment is to hold. Prints TAP.
# shellcheck source=tools/net/emt/tests/lib.sh
. "$(dirname "$0")/lib.sh"
needs iperf3 iperf3
needs python3 python3

# run SERVER-WORDS CLIENT-WORD...: one server for one client; bytes have to arrive, in each stream.
run() {
	local bind=$1
	shift
	# shellcheck disable=SC2086 # words
	on_server timeout 60 iperf3 -s -1 $bind >"$scratch/server" 2>&1 &
	local server=$!
	started+=("$server")
	local status=1
	for _ in $(seq 50); do
		sleep 0.2
		status=0
		on_client iperf3 -c "$ADDRESS" -J "$@" >"$scratch/client" 2>&1 && break
		status=1
		grep -q 'Connection refused' "$scratch/client" || break
	done
	[ $status = 0 ] || { cat "$scratch/client" "$scratch/server"; return 1; }
	wait "$server" || { cat "$scratch/server"; return 1; }
	python3 - "$scratch/client" >"$scratch/rate" <<-'END'
		import json, sys
		said = json.load(open(sys.argv[1]))
		streams = [s["receiver"]["bytes"] for s in said["end"]["streams"]]
		assert streams and all(streams), f"bytes of the streams: {streams}"
		total = said["end"]["sum_received"]
		print(f"{len(streams)} streams, {total['bytes']} bytes, {total['bits_per_second'] / 1e6:.0f} Mbit/s")
	END
}

check "one stream" run "-B $ADDRESS" -t 2
note "$scratch/rate"
check "four streams" run "-B $ADDRESS" -t 2 -P 4
note "$scratch/rate"
check "the other way" run "-B $ADDRESS" -t 2 -R
note "$scratch/rate"
check "writes of 100 bytes at once" run "-B $ADDRESS" -t 1 -l 100 -N
note "$scratch/rate"
check "buffers of a size that was asked for" run "-B $ADDRESS" -t 1 -w 100K
note "$scratch/rate"
if [ -n "$LISTEN_ALL" ]; then
	check "a server on all addresses" run "" -t 1
	check "a server on all addresses, IPv4 only" run "-4" -t 1
fi
finish
