#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An unmodified socat talks AF_EMT by its generic socket addresses: requests and
# answers, and a file, in both directions.

source "$(dirname "$(readlink -f "$0")")/emt_lib.sh"
require socat cmp
AF=46 DGRAM=2
tmp=$(mktemp -d /tmp/emt-socat.XXXXXX) || skip_all "needs a writable /tmp"
pids=()

cleanup()
{
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
	remove_hosts
	rm -rf "$tmp"
}

# The 32-bit number $1 in this machine's byte order, as hexadecimal digits.
host32()
{
	local be

	be=$(printf '%08x' "$1")
	if [ "$(printf '\1\0' | od -An -tu2 | tr -d ' ')" = 1 ]; then
		echo "${be:6:2}${be:4:2}${be:2:2}${be:0:2}"
	else
		echo "$be"
	fi
}

# address IFINDEX PORT [MAC]: struct sockaddr_emt without its family, for socat.
address()
{
	local mac=${3//:/}

	printf 'x%04x%s%02x000000%-16s' "$2" "$(host32 "$1")" $((${#mac} / 2)) "$mac" | tr ' ' 0
}

# The index of the device in a host. A socat that waits for an answer takes it
# only from exactly the address it wrote to, interface included.
index_in()
{
	ip -n "$1" -o link show "$DEV" | cut -d: -f1
}

# in_host NAMESPACE LOG ARGUMENT...: a socat in the background.
in_host()
{
	local ns=$1 log=$2

	shift 2
	ip netns exec "$ns" socat -d -d -d -d -lf "$log" "$@" &
	pids+=($!)
}

bound()
{
	grep -q 'bind() -> 0' "$1" 2>/dev/null
}

# answers FROM TO MAC: host FROM asks host TO, whose address is MAC, and is answered.
answers()
{
	local from=$1 to=$2 mac=$3 server client

	rm -f "$tmp"/log "$tmp"/answer
	in_host "$to" "$tmp/log" SOCKET-RECVFROM:$AF:$DGRAM:0:"$(address 0 5000)",fork \
		SYSTEM:'read -r line; echo "you said $line"'
	server=$!
	wait_for bound "$tmp/log" || return
	echo "hello from $from" >"$tmp/question"
	in_host "$from" "$tmp/log2" -t $WAIT_S \
		"OPEN:$tmp/question!!CREATE:$tmp/answer" \
		SOCKET-SENDTO:$AF:$DGRAM:0:"$(address "$(index_in "$from")" 5000 "$mac")"
	client=$!
	wait_for test -s "$tmp/answer"
	kill $server $client
	wait $server $client 2>/dev/null
	[ "$(cat "$tmp/answer")" = "you said hello from $from" ]
}

same_size()
{
	[ "$(stat -c %s "$1")" = "$(stat -c %s "$2" 2>/dev/null)" ]
}

# copies FROM TO MAC: a file goes from host FROM to host TO.
copies()
{
	local from=$1 to=$2 mac=$3 server

	rm -f "$tmp"/log "$tmp"/copy
	head -c 50000 /dev/urandom >"$tmp/file"
	in_host "$to" "$tmp/log" -u -b 2000 SOCKET-RECV:$AF:$DGRAM:0:"$(address 0 5001)" \
		CREATE:"$tmp/copy"
	server=$!
	wait_for bound "$tmp/log" || return
	ip netns exec "$from" socat -u -b 1400 OPEN:"$tmp/file" \
		SOCKET-SENDTO:$AF:$DGRAM:0:"$(address "$(index_in "$from")" 5001 "$mac")" || return
	wait_for same_size "$tmp/file" "$tmp/copy"
	kill $server
	wait $server 2>/dev/null
	cmp "$tmp/file" "$tmp/copy"
}

ktap_print_header
ktap_set_plan 4
trap cleanup EXIT
make_hosts || ktap_exit_fail_msg "cannot make two hosts"
check "a answers b" answers "$B" "$A" $MAC_A
check "b answers a" answers "$A" "$B" $MAC_B
check "a file goes from a to b" copies "$A" "$B" $MAC_B
check "a file goes from b to a" copies "$B" "$A" $MAC_A
ktap_finished
