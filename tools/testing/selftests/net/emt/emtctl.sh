#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# emtctl: what it does, what it prints, and that it says what is wrong.

source "$(dirname "$(readlink -f "$0")")/emt_lib.sh"
require

a()
{
	ip netns exec "$A" "$@"
}

# says STATUS TEXT COMMAND...: the command ends with that status and prints that text.
says()
{
	local status=$1 text=$2 out rc

	shift 2
	out=$(a "$@" 2>&1)
	rc=$?
	[ $rc = "$status" ] && [[ $out == *"$text"* ]] && return
	ktap_print_msg "$*: exit $rc, \"$out\"; expected $status, \"$text\""
	return 1
}

ktap_print_header
ktap_set_plan 18
trap remove_hosts EXIT
make_hosts || ktap_exit_fail_msg "cannot make two hosts"
a ip link add spare type dummy || ktap_exit_fail_msg "cannot add a dummy device (CONFIG_DUMMY)"
index=$(a cat /sys/class/net/$DEV/ifindex 2>/dev/null || a ip -o link show $DEV | cut -d: -f1)

check "list names a device with its address and limit" \
	says 0 "$DEV index $index address $MAC_A max 1488 up" emtctl list
check "list names the loopback" \
	says 0 "lo index 1 address 00:00:00:00:00:00 max 65523 up loopback" emtctl list
check "enable is silent" says 0 "" emtctl enable spare
check "an enabled device is listed, down" says 0 "max 1488 down" emtctl list
check "enable again says that it is" says 1 "carries EMT already" emtctl enable spare
check "disable ends it" says 0 "" emtctl disable spare
check "disable again says that it is not" says 1 "does not carry EMT" emtctl disable spare
check "the loopback cannot be disabled" says 1 "not supported" emtctl disable lo
check "an unknown device is named" says 1 "nosuch: No such device" emtctl enable nosuch
check "stats of a device" says 0 "tx_packets       0" emtctl stats $DEV
check "stats of the namespace" says 0 "rx_no_memory     0" emtctl stats
check "stats of a device not enabled" says 1 "does not carry EMT" emtctl stats spare
check "a peer that nothing is known of" \
	says 1 "nothing was exchanged" emtctl peer $DEV 02:00:00:00:00:77
check "the limit of messages" says 0 "16777216" emtctl limit
check "a limit can be set" says 0 "" emtctl limit 1000
check "a limit out of range is refused" says 1 "1 to 1073741824" emtctl limit 0
check "no verb is answered with the usage" says 2 "usage: emtctl enable DEV" emtctl
check "help is no error" says 0 "usage: emtctl enable DEV" emtctl --help
ktap_finished
