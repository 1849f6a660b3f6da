# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The results of C kernels, kept in the cache by what they were made from: the kernel's build,
# the test, its helpers and its judging, QEMU, and how the machine was booted.  A file per test:
#
#   VERDICT DATE WORDS      VERDICT: expected, unexpected
#   @c ...                  what `compare` compares
#
# Sourced by run-all after heads.sh.
#
# The variables of run-all, and those that it reads, are not known here.
# shellcheck disable=SC2034,SC2154

# kernel_key FLAVOUR: that of its build.  fresh_kernel FLAVOUR: is it built, as it should be?
kernel_key() {
	"$RDAX_TOP/scripts/build" --key "$1" 2>/dev/null || cat "$RDAX_CACHE/build-$1/.rdax-key" 2>/dev/null || echo none
}

fresh_kernel() {
	[ "$(cat "$RDAX_CACHE/build-$1/.rdax-key" 2>/dev/null)" = "$(kernel_key "$1")" ]
}

# prepare_kept: sets $shared_key, of all that tests of any kernel have in common.
prepare_kept() {
	shared_key=$({
		(cd "$here" && sourced_by_tests | xargs cat guest-run judge.sh src/*.[ch] "$RDAX_TOP"/scripts/guest/init)
		find "$RDAX_TOP"/scripts/guest/bin -type f -exec cat {} +
		# How the machine is made, and what it is told.
		grep -E '^[^#]*(machine|memory|cmdline|cpu|accel)(\+)?=' "$RDAX_TOP/scripts/boot"
		"$RDAX_TOP/scripts/in-sysroot" qemu-system-x86_64 --version
	} | sha256sum)
	daemon_key=$(cd "$RDAX_TOP/tools/testing/virtiofs" && find . -type f -not -name '*.md' -print0 | LC_ALL=C sort -z | xargs -0 cat | sha256sum)
}
declare -A kept_kernels=()

# kept_file FLAVOUR TEST: sets $kept to where its result is.
kept_file() {
	local value words key helper
	head_of "$2" boot ""
	words=$value
	# Helpers that only some tests have.
	# shellcheck disable=SC2016
	while read -r helper; do
		words+=$(<"$here/$helper")
	done < <(sed -n 's|^\. "$(dirname "$0")/\.\./\(.*\.sh\)"$|\1|p' "$here/tests/$2.sh" | grep -vxE '(lib|virtiofs|xfs)\.sh')
	[ -n "${kept_kernels[$1]:-}" ] || kept_kernels[$1]=$(kernel_key "$1")
	case $words in *--virtiofs*) words+=$daemon_key ;; esac
	key=$({
		echo "$1 ${kept_kernels[$1]} $words $shared_key"
		# What is expected of another kernel is nothing to this one.
		sed '/^# expect:/s/, fixed pass//' "$here/tests/$2.sh"
	} | sha256sum | cut -c1-16)
	kept=$RDAX_CACHE/results-c/$1/$2-$key
}

# keep FLAVOUR TEST VERDICT WORDS OUTPUT: those of a season ago go.
keep() {
	local kept
	kept_file "$1" "$2"
	mkdir -p "${kept%/*}"
	find "${kept%/*}" -type f -mtime +90 -delete
	{
		echo "$3 $(date -I) $4"
		grep "^@$1 " "$5" || :
	} >"$kept.part"
	mv "$kept.part" "$kept"
}

# kept_result FLAVOUR TEST: sets $kept, $verdict, $date and $words; not where there is none.
kept_result() {
	kept_file "$1" "$2"
	[ -f "$kept" ] || return 1
	read -r verdict date words <"$kept"
}
