# SPDX-License-Identifier: GPL-2.0
# Sourced by the tests that run programs on two hosts. The caller's environment says how:
#
#   SERVER, CLIENT  the words before a program that run it on the host of the server, and of the client, under the
#                   shim, for example "ip netns exec h2 /path/to/emt-run --map /tmp/map2"; empty: here, without
#   ADDRESS         the server's IP address
#   LISTEN_ALL      not empty: who listens on all addresses is reached at ADDRESS
#   PEER            the address that the server is to see its clients come from
#
# shellcheck shell=bash
set -u
read -ra SERVER <<<"${SERVER:-}"
read -ra CLIENT <<<"${CLIENT:-}"
ADDRESS=${ADDRESS:-127.0.0.1} PEER=${PEER:-127.0.0.1} LISTEN_ALL=${LISTEN_ALL:-1}
count=0 failed=0
scratch=$(mktemp -d)
started=()
end() {
	[ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null
	rm -rf "$scratch"
}
trap end EXIT

# needs PACKAGE PROGRAM...: a skip of the whole test that says what to install.
needs() {
	local package=$1 program
	shift
	for program in "$@"; do
		command -v "$program" >/dev/null && continue
		echo "1..0 # SKIP there is no $program here: apt-get install $package"
		exit 4
	done
}

on_server() { "${SERVER[@]}" "$@"; }
on_client() { "${CLIENT[@]}" timeout 120 "$@"; }

# check NAME COMMAND...: a test that passes if the command does; what it printed is shown if it does not.
check() {
	local name=$1 status=0
	shift
	count=$((count + 1))
	"$@" >"$scratch/said" 2>&1 || status=$?
	if [ $status = 0 ]; then
		echo "ok $count $name"
	else
		failed=1
		echo "not ok $count $name"
		echo "# exit status $status"
		tail -n 20 "$scratch/said" | cut -c1-200 | sed 's/^/# /'
	fi
}

# note FILE: lines that tell more than a verdict.
note() { tr '\r' '\n' <"$1" | grep -E 'per second|streams' | sed 's/^/# /'; }

finish() {
	echo "1..$count"
	exit $failed
}
