#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the shell tests of EMT share. Needs bash, ip and the programs built here.

dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=/dev/null
source "$dir/../../kselftest/ktap_helpers.sh"
PATH=$dir:$PATH
DEV=emt0
MAC_A=02:00:00:00:00:0a
MAC_B=02:00:00:00:00:0b

# How long anything that must happen may take, on an emulated debug kernel.
WAIT_S=60

# skip_all REASON: the whole file is skipped.
skip_all()
{
	ktap_skip_all "$*"
	exit "$KSFT_SKIP"
}

# Ends the file early if this machine cannot run it.
require()
{
	local tool

	[ "$(id -u)" = 0 ] || skip_all "needs root"
	for tool in ip emtctl emtload "$@"; do
		command -v "$tool" >/dev/null || skip_all "needs the program $tool"
	done
	emtctl list >/dev/null 2>&1 || skip_all "$(emtctl list 2>&1)"
}

# wait_for COMMAND...: until it succeeds; fails after WAIT_S seconds.
wait_for()
{
	local end=$((SECONDS + WAIT_S))

	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Two hosts, the namespaces $A and $B, joined by $DEV, which carries EMT.
make_hosts()
{
	A=emt-a-$$
	B=emt-b-$$
	ip netns add "$A" && ip netns add "$B" &&
	ip link add "$DEV" address "$MAC_A" netns "$A" type veth \
		peer name "$DEV" address "$MAC_B" netns "$B" &&
	for ns in "$A" "$B"; do
		ip -n "$ns" link set lo up &&
		ip -n "$ns" link set "$DEV" up &&
		ip netns exec "$ns" emtctl enable "$DEV" || return
	done
	# A veth drops in silence until both of its ends have come up.
	wait_for is_up "$A" && wait_for is_up "$B"
}

is_up()
{
	ip -n "$1" -o link show "$DEV" | grep -q "state UP"
}

remove_hosts()
{
	ip netns del "$A" 2>/dev/null
	ip netns del "$B" 2>/dev/null
}

# check DESCRIPTION COMMAND...: one test.
check()
{
	local description=$1

	shift
	if "$@"; then
		ktap_test_pass "$description"
	else
		ktap_test_fail "$description"
	fi
}
