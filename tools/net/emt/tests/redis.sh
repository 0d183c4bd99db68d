#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# redis.sh: a real redis-server and its clients; lib.sh says what the environment is to hold. Prints TAP.
# shellcheck source=tools/net/emt/tests/lib.sh
. "$(dirname "$0")/lib.sh"
needs redis-server redis-server
needs redis-tools redis-cli redis-benchmark
requests=${REQUESTS:-20000}

redis() { on_client redis-cli -h "$ADDRESS" "$@"; }
says() { # says TEXT COMMAND...
	local wanted=$1 found
	shift
	found=$("$@")
	[ "$found" = "$wanted" ] && return
	echo "\"$found\" instead of \"$wanted\""
	return 1
}

# start WORD...: a server that keeps nothing, and is up.
start() {
	on_server redis-server --port 6379 --protected-mode no --save '' --appendonly no --dir "$scratch" "$@" \
		>"$scratch/log" 2>&1 &
	server=$!
	started+=("$server")
	for _ in $(seq 100); do
		[ "$(redis ping 2>/dev/null)" = PONG ] && return
		sleep 0.1
	done
	cat "$scratch/log"
	return 1
}

stop() {
	redis shutdown nosave
	wait "$server"
}

values() {
	local n
	says OK redis set key "a value" && says "a value" redis get key || return
	head -c 3000000 /dev/urandom >"$scratch/big"
	redis -x set big <"$scratch/big" && says 3000000 redis strlen big || return
	redis --raw get big | head -c 3000000 | cmp - "$scratch/big" || return
	for n in $(seq 20000); do echo "SET number:$n value-of-$n"; done | redis --pipe || return
	says 20002 redis dbsize && says value-of-1 redis get number:1 && says value-of-20000 redis get number:20000
}

# The server and the client tell the same of both ends, and they are addresses of IP.
ends() {
	redis client list | tee "$scratch/ends"
	grep -q "addr=$PEER:[0-9]* laddr=$ADDRESS:6379 " "$scratch/ends"
}

push() {
	local got
	redis subscribe news >"$scratch/news" 2>&1 &
	started+=($!)
	for _ in $(seq 50); do
		got=$(redis publish news hello) || return
		[ "$got" = 1 ] && break
		sleep 0.1
	done
	sleep 0.5
	grep -q hello "$scratch/news"
}

bench() { on_client redis-benchmark -h "$ADDRESS" -n "$requests" -q "$@" >"$scratch/bench"; }

check "a server starts on its address" start --bind "$ADDRESS"
check "values are what they were set to" values
check "both ends have addresses of IP" ends
check "what is published arrives" push
check "50 clients at once" bench -c 50 -t set,get
note "$scratch/bench"
check "50 clients that send 16 requests at once" bench -c 50 -P 16 -t set,get,lpush,lrange_100
note "$scratch/bench"
check "50 clients with values of 10 kB" bench -c 50 -d 10000 -t set,get
note "$scratch/bench"
check "clients that connect for each request" bench -c 20 -k 0 -n 2000 -t ping
check "the server ends" stop
check "nobody is there any more" bash -c '! "$@"' - "${CLIENT[@]}" redis-cli -h "$ADDRESS" ping
if [ -n "$LISTEN_ALL" ]; then
	# shellcheck disable=SC2086 # words
	check "a server starts on all addresses" start ${REDIS_ALL:-}
	check "it has values, too" says OK redis set key value
	check "it ends, too" stop
fi
finish
