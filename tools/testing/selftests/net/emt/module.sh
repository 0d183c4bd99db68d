#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# EMT as a module: it cannot go while sockets are open, and it can go and come
# back while frames arrive. MODPROBE is how to load it (default: modprobe).

source "$(dirname "$(readlink -f "$0")")/emt_lib.sh"
: "${MODPROBE:=modprobe}"
ROUNDS=10
[ "$KSFT_MACHINE_SLOW" != yes ] || ROUNDS=4

[ -e /proc/net/protocols ] || skip_all "needs /proc"
require rmmod
[ -e /sys/module/emt/initstate ] || skip_all "EMT is built in, not a module (CONFIG_EMT=m)"
$MODPROBE -n emt 2>/dev/null || skip_all "'$MODPROBE emt' finds no module; set MODPROBE"

users()
{
	cat /sys/module/emt/refcnt
}

no_users()
{
	[ "$(users)" = 0 ]
}

# rmmod that tries again: a socket's last reference may go a moment after its close.
unload()
{
	wait_for rmmod emt 2>/dev/null
}

# The kernel names the family's protocols in each namespace.
registered()
{
	grep -q '^EMT' /proc/net/protocols
}

refused_while_open()
{
	local rc

	coproc emtload hold 5000
	read -r -u "${COPROC[0]}" _ || return
	! rmmod emt 2>/dev/null
	rc=$?
	[ "$(users)" -gt 0 ] || rc=1
	# The end of its input ends it.
	eval "exec ${COPROC[1]}>&-"
	wait "$COPROC_PID" 2>/dev/null
	return $rc
}

unload_and_load()
{
	local i

	for ((i = 0; i < ROUNDS; i++)); do
		unload && ! registered || return
		$MODPROBE emt && registered || return
	done
}

# Frames arrive from the other host; each round uses the module in full.
under_load()
{
	local i flood holder rc=0

	ip netns exec "$B" emtload flood "$DEV" "$MAC_A" 5000 &
	flood=$!
	for ((i = 0; i < ROUNDS; i++)); do
		ip netns exec "$A" emtctl enable "$DEV" || rc=1
		coproc ip netns exec "$A" emtload hold 5000
		holder=$COPROC_PID
		read -r -u "${COPROC[0]}" _ || rc=1
		wait_for arrived || rc=1
		eval "exec ${COPROC[1]}>&-"
		wait "$holder" 2>/dev/null
		unload && $MODPROBE emt || rc=1
		[ $rc = 0 ] || break
	done
	kill "$flood"
	wait "$flood" 2>/dev/null
	return $rc
}

arrived()
{
	[ "$(ip netns exec "$A" emtctl stats "$DEV" | awk '/^rx_packets/ { print $2 }')" -gt 0 ]
}

# What was enabled is forgotten with the module.
forgotten()
{
	ip netns exec "$A" emtctl enable "$DEV" && unload && $MODPROBE emt || return
	! ip netns exec "$A" emtctl list | grep -q "^$DEV "
}

ktap_print_header
ktap_set_plan 5
trap remove_hosts EXIT
make_hosts || ktap_exit_fail_msg "cannot make two hosts"
check "unloading is refused while a socket is open" refused_while_open
check "no user is left when the last socket is closed" wait_for no_users
check "the module unloads and loads $ROUNDS times" unload_and_load
check "enabled devices are forgotten by unloading" forgotten
check "the module unloads and loads $ROUNDS times while frames arrive" under_load
ktap_finished
