# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For tests of virtio-fs: source it after lib.sh.  The boot words of such a test are
#
#   # boot: --virtiofs @SCRATCH@,window=MIB --share @SCRATCH@
#   # regions: 0
#
# so that one directory of the host is seen through the window and, through 9p, as the host
# sees it.

mnt=/mnt/vfs
mkdir -p "$mnt" /mnt/vfs2
# The directory of this test: here in the guest's file system, there as the host has it.
name=$(basename "$0" .sh)
# shellcheck disable=SC2034
here=$mnt/$name there=/mnt/share/$name
mkdir -p "$there"

# The daemon is the boot's.  No fault of an earlier test is left, and counts begin at none.
if [ -e /run/rdax/virtiofs ] && virtiofs reset >/dev/null 2>&1; then virtiofs zero >/dev/null; fi
: >/run/rdax/virtiofs

# For the milliseconds of a `late` or `delay`: longer than any limit.  `virtiofs reset` ends it.
# shellcheck disable=SC2034
until_reset=100000000

# virtiofs_mount [MODE [TAG [WHERE]]]: always, dax, $mnt.
virtiofs_mount() {
	mount -t virtiofs -o "dax=${1:-always}" "${2:-dax}" "${3:-$mnt}" || bail "mount -o dax=${1:-always} ${2:-dax}"
}

# again MODE: unmount and mount; nothing of before is known.
again() {
	umount "$mnt" || bail "umount"
	virtiofs_mount "$1"
}

# sum FILE: of the host's file.  sum_by HOW FILE: of the guest's, read that way.
sum() {
	sha256sum <"$1" | cut -d' ' -f1
}
sum_by() {
	window cat "$1" "$2" | sha256sum | cut -d' ' -f1
}

# differs HOW NAME: the guest's file, read that way, has not what the host's has; what it is goes
# to stderr.  One after the other, never by a pipe: while the daemon maps a file that is shorter than the
# mapping the file is longer on the host, and who opens it there just then finds that length.
differs() {
	bounded 60 window cat "$1" "$here/$2" >/tmp/guests || echo "# window cat $1 $2 ended with $?" >&2
	! cmp /tmp/guests "$there/$2" >&2
}

# noise FILE BYTES: a file of that size whose every page is another.
noise() {
	head -c "$2" /dev/urandom >"$1"
}

# holder FILE [LEN]: a task that maps the file; `ask` has it do something and prints its answer.
holder() {
	coproc HOLDER { exec window hold "$@"; }
	# The shell forgets these when the task ends.
	# shellcheck disable=SC2153
	holder_pid=$HOLDER_PID holder_out=${HOLDER[0]} holder_in=${HOLDER[1]}
	local words=''
	read -r -t "$(patient 60)" words <&"$holder_out"
	[ "$words" = ready ] || bail "window hold $1: $words"
}
ask() {
	# An answer may be any bytes.  In another locale a byte that begins a character takes the end
	# of the line with it, and the rest is waited for.
	local words='' LC_ALL=C
	echo "$*" >&"$holder_in"
	read -r -t "$(patient 60)" words <&"$holder_out" || words="no answer"
	echo "$words"
}
holder_ends() {
	exec {holder_in}>&-
	# It may be that it cannot: when a fault has given back a lock once too often, for instance.
	if ! wait_for 30 ended "$holder_pid"; then
		result 1 "who has the file mapped comes to an end" "$(cat "/proc/$holder_pid/wchan" 2>&1)"
	fi
}

# release: as in lib.sh, once the task that has a file mapped is gone, and no reply is late any more.
release() {
	bounded 10 virtiofs reset >/dev/null 2>&1
	if [ -n "${holder_pid:-}" ]; then
		kill -KILL "$holder_pid" 2>/dev/null
		wait_for 60 ended "$holder_pid"
	fi
	while grep -q " $mnt " /proc/mounts; do umount "$mnt" || return; done
}

# bounded SECONDS COMMAND...: killed after that time: a test that finds a hang says so, and ends.
bounded() {
	timeout -k 5 -s KILL "$(patient "$1")" "${@:2}"
}
