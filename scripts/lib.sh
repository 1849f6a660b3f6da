# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every script here shares: where things are, how progress and failures are
# told, and how a content key is made.  Source it; it runs nothing by itself.

set -euo pipefail

RDAX_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
RDAX_CACHE=${RDAX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rdax}
export RDAX_TOP RDAX_CACHE

# --help, for each script that sources this: the comment at its head.
case ${1:-} in
-h | --help)
	sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac

# say WORDS: one line of progress.  Standard error, so that a script's standard
# output stays its answer.
say() {
	printf 'rdax: %s\n' "$*" >&2
}

# die CAUSE HINT: every failure names the cause and what to do about it.
die() {
	printf 'rdax: error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'rdax: hint: %s\n' "$2" >&2
	exit 1
}

# need_root WHAT: chroot and bind mounts need it; the machine's own tools do not.
need_root() {
	[ "$(id -u)" = 0 ] || [ "${RDAX_SYSROOT:-${SYSROOT:-}}" = / ] || die "$1 needs root" "run it as root, or set SYSROOT=/ on a machine that has the tools"
}

# need_namespaces: root in a container may have no CAP_SYS_ADMIN.
need_namespaces() {
	[ "${RDAX_SYSROOT:-${SYSROOT:-}}" = / ] || unshare --mount true 2>/dev/null ||
		die "no mount namespace can be made here, which needs CAP_SYS_ADMIN" \
			"in a container: start it privileged; or set SYSROOT=/ on a machine that has the tools"
}

# need_machine WHAT MIB_OF_MEMORY MIB_OF_DISK: before anything is done.
need_machine() {
	local have
	[ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m), rdax is made for x86_64" "run it on an amd64 machine"
	need_root "$1"
	need_namespaces
	have=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
	[ "$have" -ge "$2" ] || die "$have MiB of memory are free, $1 needs $2" "end other programs, or take a larger machine"
	mkdir -p "$RDAX_CACHE"
	have=$(($(df --output=avail -k "$RDAX_CACHE" | tail -n 1) / 1024))
	[ "$have" -ge "$3" ] || die "$RDAX_CACHE has $have MiB free, $1 needs $3" "make room, or set RDAX_CACHE to a larger disk"
}

# content_key FILE...: a short key of the files' contents (names do not count).
content_key() {
	cat -- "$@" | sha256sum | cut -c1-16
}

# tree_key DIR...: a short key of every file's path and content below DIR.
tree_key() {
	(cd "$RDAX_TOP" && find "$@" -type f -print0 | LC_ALL=C sort -z |
		xargs -0 sha256sum) | sha256sum | cut -c1-16
}

# patch_list fixes|hooks: the patches of that kind in their order, as paths below RDAX_TOP.
patch_list() {
	local dir=patches/$1
	[ -f "$RDAX_TOP/$dir/series" ] || return 0
	sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' -e "s|^|$dir/|" "$RDAX_TOP/$dir/series"
}

# hooked_files PATCH: every file it changes, makes or deletes.
hooked_files() {
	sed -n -e 's|^--- a/\([^\t]*\).*|\1|p' -e 's|^+++ b/\([^\t]*\).*|\1|p' "$1" | LC_ALL=C sort -u
}

# missing_lines FRAGMENTS CONFIG: the lines of the fragments that are not in the
# configuration.  A symbol that does not exist vanishes silently, and so does one whose
# dependencies are missing.
missing_lines() {
	awk '
		FNR == NR { have[$0] = 1; if (match($0, /^CONFIG_[A-Za-z0-9_]+/)) set[substr($0, 1, RLENGTH)] = $0; next }
		/^CONFIG_/ && !($0 in have) { print $0 }
		/^# CONFIG_.* is not set$/ && ($2 in set) { print $0 " (it is " set[$2] ")" }
	' "$2" "$1"
}

# run_logged LOG WHAT COMMAND...: run it, a heartbeat line each half minute, and
# the log's end when it fails.
run_logged() {
	local log=$1 what=$2 pid start rc=0
	shift 2
	start=$SECONDS
	say "$what (log: $log)"
	"$@" >"$log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		# Wake at once when the command ends, and speak every 30 seconds.
		for _ in {1..60}; do
			kill -0 "$pid" 2>/dev/null || break 2
			sleep 0.5
		done
		say "$what: $((SECONDS - start)) s, at: $(tail -n 1 "$log" | cut -c1-90)"
	done
	wait "$pid" || rc=$?
	if [ "$rc" -ne 0 ]; then
		grep -nE '(^|[^_a-z])error(\[|:| )|Error [0-9]|undefined|E: ' "$log" | head -n 20 >&2 || :
		tail -n 15 "$log" >&2
		if grep -qE 'Could not resolve|Temporary failure resolving|Could not connect|Network is unreachable|Connection timed out|Failed to fetch' "$log"; then
			die "no network: apt cannot reach its mirror $(grep -oE 'https?://[^/ ]+' "$log" | head -n 1)" \
				"connect this machine, or set apt's proxy; the log of $what is $log"
		fi
		die "$what failed with status $rc" "read $log"
	fi
	say "$what: done in $((SECONDS - start)) s"
}

# sourced_by_tests: what the guest tests have in common, by the names in tools/testing/selftests.
sourced_by_tests() {
	grep -ohE '/\.\./[a-z-]+\.sh' "$RDAX_TOP"/tools/testing/selftests/tests/*.sh | sed 's|^/\.\./||' | LC_ALL=C sort -u
}
