# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A broken or hostile server: what the application sees of each fault, that nothing hangs, and
# that all is well when the server is well again.
#
# expect: rust pass, c pass
# regions: 0
# alone: c debug-c fixed
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 46

MIB=1048576
noise "$there/file" $((8 * MIB))
want=$(sum "$there/file")
virtiofs_mount

# ordered FAULT: nothing is mapped, and that goes wrong from now on.
ordered() {
	virtiofs reset >/dev/null
	again always
	stat "$here/file" >/dev/null
	local answer
	answer=$(virtiofs fault "$1")
	[ "$answer" = ok ] || bail "$answer"
}

# well NAME: the server is well again; so is the file.
well() {
	virtiofs reset >/dev/null
	equal "$1: then the server is well, and the file" "$want" "$(bounded 60 window cat mmap "$here/file" | sha256sum | cut -d' ' -f1)"
}

# sees NAME FAULT FAULTED READ: what a load through a mapping and a pread get.
sees() {
	ordered "$2"
	equal "$1: through a mapping" "$3" "$(bounded 30 window touch "$here/file" 0)"
	ordered "$2"
	equal "$1: by pread" "$4" "$(bounded 30 window read "$here/file" 0 4096 "$there/file")"
	well "$1"
}

# -- errors
# The fault is for all requests (=*): a task that asks again and is answered then sees no error.
sees "EIO" "fail-setupmapping=*" SIGBUS EIO
sees "ENOSPC" "fail-setupmapping=*:ENOSPC" SIGBUS ENOSPC
sees "ENOSYS" enosys SIGBUS ENOSYS
sees "EINVAL" "fail-setupmapping=*:EINVAL" SIGBUS EINVAL
ordered "fail-setupmapping=2+"
equal "an error in the second range: a read before it is short" $((2 * MIB)) "$(bounded 30 window read "$here/file" 0 $((4 * MIB)) "$there/file")"
well "an error in the second range"
ordered "fail-setupmapping=1"
matches "one error: through a mapping, the page or SIGBUS" "@(loaded|SIGBUS)" "$(bounded 30 window touch "$here/file" 0)"
well "one error"

# -- an error that there is not: neither is it success
ordered "fail-setupmapping=*:7"
equal "a nonsense error: by pread" EIO "$(bounded 30 window read "$here/file" 0 4096)"
well_or_not() {
	virtiofs reset >/dev/null
	again always
	equal "$1: after a remount the file is well" "$want" "$(bounded 60 window cat mmap "$here/file" | sha256sum | cut -d' ' -f1)"
}
well_or_not "a nonsense error"
ordered "fail-setupmapping=*:7"
equal "a nonsense error: through a mapping" SIGBUS "$(bounded 30 window touch "$here/file" 0)"
well_or_not "a nonsense error"

# -- damaged replies
for kind in garbage short length unique silent; do
	ordered "$kind-setupmapping=1"
	got=$(bounded 30 window read "$here/file" 0 4096 "$there/file")
	case $kind in
	# The header's error is what the noise says: no error of the system.
	garbage) matches "$kind: by pread, an error" "E*" "$got" ;;
	# Served, and then said in a way that can be understood all the same, or not.
	*) matches "$kind: by pread, the data or an error" "@(4096|EIO)" "$got" ;;
	esac
	well_or_not "$kind"
done
for kind in garbage short silent; do
	ordered "$kind-removemapping=*"
	got=$(bounded 60 window cat mmap "$here/file" | sha256sum | cut -d' ' -f1)
	matches "$kind replies to REMOVEMAPPING: the data or an error, no other data" "@($want|$(sha256sum </dev/null | cut -d' ' -f1))" "$got"
	well_or_not "$kind replies to REMOVEMAPPING"
done

# -- what cannot be removed
ordered "fail-removemapping=*:EIO"
equal "REMOVEMAPPING fails always: the file is read all the same" "$want" "$(bounded 60 window cat read "$here/file" | sha256sum | cut -d' ' -f1)"
well "REMOVEMAPPING fails always"

# -- slow
ordered "delay-setupmapping=*:300"
equal "slow: the data" "$(head -c $((4 * MIB)) "$there/file" | sha256sum)" "$(bounded 60 head -c $((4 * MIB)) "$here/file" | sha256sum)"
well "slow"

# -- mappings that the server takes back by itself.  The guest's processor sees no error there.
ordered "drop-mapping=1"
matches "a dropped mapping: no hang" "@(loaded|SIGBUS)" "$(bounded 30 window touch "$here/file" 0)"
well_or_not "a dropped mapping"
equal "all mappings taken back: there was one" 4096 "$(bounded 30 window read "$here/file" 0 4096 "$there/file")"
matches "all mappings taken back" "ok *" "$(virtiofs unmap)"
matches "all mappings taken back: no hang" "@(loaded|SIGBUS)" "$(bounded 30 window touch "$here/file" 0)"
well_or_not "all mappings taken back"

umount "$mnt"
finish
