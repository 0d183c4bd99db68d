# SPDX-License-Identifier: GPL-2.0
# Sourced by the workbench's scripts: where things are, and how a script speaks.
# shellcheck shell=bash
set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
EMT_STATE=${EMT_STATE:-${XDG_CACHE_HOME:-$HOME/.cache}/emt}
export REPO EMT_STATE

# With KDIR= the caller's tree gets a base and a build tree of its own, so that going back and forth between it and
# the fetched sources rebuilds nothing that is not different.
if [ -n "${KDIR:-}" ]; then
	SPACE=$EMT_STATE/kdir-$(printf %s "$KDIR" | sha256sum | cut -c1-8)
else
	SPACE=$EMT_STATE
fi
BASE=$SPACE/base
LINUX=$SPACE/linux
export SPACE BASE LINUX

say() { printf '%s\n' "$*" >&2; }

# die WHAT [COMMAND]: what is missing, and the command that mends it, in one line.
die() {
	say "${0##*/}: $1${2:+; mend it with: $2}"
	exit 1
}

# The archive that this machine is configured to use, as apt itself reads its settings, whatever their form.
archive() {
	local codename
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v release="$codename" '$1 == release && $2 == "main" { print $3; exit }'
}

# The compilers that setup chose, as words for make's command line.
toolchain() {
	[ -s "$EMT_STATE/toolchain" ] || die "the toolchain is not set up" "make setup"
	cat "$EMT_STATE/toolchain"
}

# target_of KIND: what make calls the architecture of a kernel of ours (um, um-sim, x86_64, x86_64-debug, x86_64-bench).
target_of() {
	case $1 in
	um | um-sim) echo um ;;
	x86_64 | x86_64-debug | x86_64-bench) echo x86_64 ;;
	*) die "there is no kernel \"$1\": um, um-sim, x86_64, x86_64-debug and x86_64-bench are" ;;
	esac
}

# kmake KIND ARGUMENT...: the kernel's own make for one of our kernels.
kmake() {
	local kind=$1 tools
	shift
	mapfile -t tools < <(toolchain)
	make -C "$LINUX" O="$SPACE/build-$kind" ARCH="$(target_of "$kind")" "${tools[@]}" "$@"
}

# warnings LOG: what the compilers said in a build's log in passing, each line with its number: a warning is a mistake that
# compiles. Without the sums at the end, and without what Linux 7.3 itself gives with these compilers before any patch of ours.
warnings() {
	grep -nE '(^|[^a-z])warning:' "$1" | grep -vE 'warnings? (emitted|generated)|LOAD segment with RWX' |
		grep -vE 'include/asm-generic/io\.h:.*null-pointer-arithmetic|/lib/test_fortify/|-mno-3dnow|struct `LocalModule` is never' || true
}
