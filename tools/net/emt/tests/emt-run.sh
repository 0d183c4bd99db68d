#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# emt-run.sh EMT-RUN: what emt-run says and passes on. EMT-RUN is of a build with the feature stand-in, which does not ask for
# AF_EMT. Prints TAP.
# shellcheck source=tools/net/emt/tests/lib.sh
. "$(dirname "$0")/lib.sh"
run=$(realpath "${1:?name an emt-run that was built with --features stand-in}")
cd "$scratch" || exit
unset EMT_MAP
printf '%s\n' "# a map" "10.0.0.2/32	eth0 2:0:0:0:0:2" "local 10.0.0.1 eth0" >map
printf '%s\n' "10.0.0.2 eth0 2:0:0:0:0:2" "10.0.0.2 eth0 2:0:0:0:0:3" >twice

# gives STATUS TEXT WORD...: emt-run with these words ends so, and says something with TEXT in it.
gives() {
	local wanted=$1 text=$2 status=0
	shift 2
	"$run" "$@" >said.all 2>&1 || status=$?
	cat said.all
	[ $status = "$wanted" ] || { echo "status $status instead of $wanted"; return 1; }
	grep -qF -- "$text" said.all || { echo "does not say: $text"; return 1; }
}

check "a program has to be named" gives 125 "name a program" --map map
check "an unknown option is refused" gives 125 "there is no option --mop" --mop map true
check "an option that lacks its file is refused" gives 125 "--map needs a file" --map
check "help is given" gives 0 "usage: emt-run" --help
check "a map that is not there is named" gives 125 "nowhere: No such file" --map nowhere true
check "a mistake in the map is named with its line" gives 125 "twice: line 2: 10.0.0.2 has a line" --map twice true
check "a library that is not there is named" gives 125 "the library is not at nowhere" --map map --library nowhere true
check "the map is printed as it is understood" gives 0 "10.0.0.2 eth0 02:00:00:00:00:02" --check --map map
check "a program that is not there" gives 127 "no-such-program" --map map no-such-program
check "a program that cannot be run" gives 126 "/etc: Permission denied" --map map /etc
check "the program's exit status is emt-run's" gives 7 "done" --map map sh -c 'echo done; exit 7'
check "the program has its arguments" gives 0 "[-a][b c][--map]" --map map -- printf '[%s]' -a "b c" --map
# shellcheck disable=SC2016 # for the program's shell
check "the program has the map by its whole name" gives 0 "=$scratch/map=" --map map sh -c 'echo "=$EMT_MAP="'
# shellcheck disable=SC2016
EMT_MAP=map check "the map may come from the environment" gives 0 "=$scratch/map=" sh -c 'echo "=$EMT_MAP="'
# shellcheck disable=SC2016
LD_PRELOAD=libc.so.6 check "what is preloaded already stays" gives 0 "libemt_preload.so:libc.so.6" --map map sh -c 'echo $LD_PRELOAD'

# The program goes on as one of IP, and says so.
lost() {
	env EMT_MAP="$1" LD_PRELOAD="$(dirname "$run")/libemt_preload.so" true 2>&1 | tee said.all
	[ "${PIPESTATUS[0]}" = 0 ] && grep -qF "all stays IP" said.all
}
check "a child that cannot read the map says so" lost "$scratch/nowhere"
check "a child that does not understand the map says so" lost "$scratch/twice"
finish
