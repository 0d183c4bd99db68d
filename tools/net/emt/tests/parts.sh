# SPDX-License-Identifier: GPL-2.0
# Sourced by what runs several tests that each print TAP: their results become those of one test.
# shellcheck shell=bash
parts_total=0 parts_failed=0
parts_log=$(mktemp)

# part NAME COMMAND...: the command's results, with the name before them. What ends before its plan is fulfilled, or with
# a failure that none of its results is, has failed.
part() {
	local name=$1 status plan seen
	shift
	"$@" 2>&1 | tee "$parts_log" | awk -v name="$name" -v n="$parts_total" '
		/^1\.\.0 # SKIP/ { sub(/^1\.\.0 # SKIP */, ""); print "ok " ++n " " name " # SKIP " $0; next }
		/^1\.\.[0-9]+/ { next }
		/^(ok|not ok) [0-9]+/ { sub(/[0-9]+/, ++n " " name ":"); print; next }
		{ print (/^#/ ? "" : "# ") $0 }'
	status=${PIPESTATUS[0]}
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$parts_log" | head -n 1)
	seen=$(grep -cE '^(ok|not ok) [0-9]+' "$parts_log")
	parts_total=$((parts_total + seen))
	if [ "$plan" = 0 ] && [ "$seen" = 0 ]; then
		parts_total=$((parts_total + 1))
		return
	fi
	grep -qE '^not ok' "$parts_log" && parts_failed=1
	if [ "$plan" != "$seen" ] || { [ "$status" != 0 ] && ! grep -qE '^not ok' "$parts_log"; }; then
		parts_failed=1 parts_total=$((parts_total + 1))
		echo "not ok $parts_total $name: comes to its end"
		echo "# exit status $status, $seen results of ${plan:-no plan}"
	fi
}

# single NAME COMMAND...: a result of its own.
single() {
	local name=$1
	shift
	parts_total=$((parts_total + 1))
	if "$@" >"$parts_log" 2>&1; then
		echo "ok $parts_total $name"
	else
		parts_failed=1
		echo "not ok $parts_total $name"
	fi
	sed 's/^/# /' "$parts_log"
}

parts_end() {
	rm -f "$parts_log"
	echo "1..$parts_total"
	exit $parts_failed
}
