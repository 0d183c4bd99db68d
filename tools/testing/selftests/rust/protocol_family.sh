#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The commands that Documentation/networking/rust-protocol-families.rst shows:
# two hosts, one of which answers the other through the sample's sockets.

dir=$(dirname "$(readlink -f "$0")")
# shellcheck source=/dev/null
source "$dir/../kselftest/ktap_helpers.sh"
: "${MODPROBE:=modprobe}"
PATH=$dir:$PATH

# MODPROBE is how to load a module, where that is not by modprobe alone.
modprobe()
{
	command $MODPROBE "$@"
}

skip_all()
{
	ktap_skip_all "$*"
	exit "$KSFT_SKIP"
}

ktap_print_header
[ "$(id -u)" = 0 ] || skip_all "needs root"
command -v ip >/dev/null || skip_all "needs the program ip"
modprobe -n -q rust_protocol_family || skip_all "needs CONFIG_SAMPLE_RUST_PROTOCOL_FAMILY"
ktap_set_plan 3
cd "$dir" || exit

cleanup()
{
	[ -z "$server" ] || kill "$server" 2>/dev/null
	ip netns del one 2>/dev/null
	ip netns del two 2>/dev/null
}
trap cleanup EXIT

# Outside of the shown commands: what a person does by being slow.
settle()
{
	local end=$((SECONDS + 60))

	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

are_up()
{
	[[ $(ip -n one -br link show ash0) == *LOWER_UP* ]] &&
		[[ $(ip -n two -br link show ash0) == *LOWER_UP* ]]
}

one_socket()
{
	ip netns exec two grep -q 'RUST-SAMPLE *[0-9]* *1 ' /proc/net/protocols
}

# [load
modprobe rust_protocol_family
grep RUST-SAMPLE /proc/net/protocols
# load]
grep -q RUST-SAMPLE /proc/net/protocols &&
	ktap_test_pass "the module is loaded" || ktap_test_fail "the module is loaded"

# [hosts
ip netns add one
ip netns add two
ip link add ash0 netns one address 02:00:00:00:00:01 type veth \
	peer name ash0 netns two address 02:00:00:00:00:02
ip -n one link set ash0 up
ip -n two link set ash0 up
# hosts]
settle are_up

# [talk
ip netns exec two ./protocol_family_talk answer 7 &
server=$!
# talk]
settle one_socket
said=$(
# [ask
ip netns exec one ./protocol_family_talk ask ash0 02:00:00:00:00:02 7 hello
# ask]
)
if [ "$said" = HELLO ]; then
	ktap_test_pass "the socket answers"
else
	ktap_test_fail "the socket answers: \"$said\""
fi

# [unload
kill $server
ip netns del one
ip netns del two
rmmod rust_protocol_family
# unload]
unloaded()
{
	rmmod rust_protocol_family 2>/dev/null
	[ ! -e /sys/module/rust_protocol_family ]
}
if settle unloaded; then
	ktap_test_pass "the module is unloaded"
else
	ktap_test_fail "the module is unloaded"
fi
ktap_finished
