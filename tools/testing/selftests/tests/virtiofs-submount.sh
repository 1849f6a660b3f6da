# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A directory of the server's is a mount of its own, which shares the window with what it is mounted in.
# When it goes it gives back the ranges of its files.
#
# expect: rust pass, c pass
# regions: 0
# alone: c debug-c fixed
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=8,cache=always,submount=sub --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 35

MIB=1048576
mkdir "$there/sub"
for file in file sub/file sub/held; do noise "$there/$file" $((8 * MIB)); done
virtiofs_mount

mounted() {
	grep -q " $here/sub " /proc/mounts
}

# -- it is a mount, and its files have DAX
equal "nothing is mounted there at first" 1 "$(mounted; echo $?)"
equal "its data, by read()" "$(sum "$there/sub/file")" "$(sum_by read "$here/sub/file")"
check "now it is a mount" mounted
check "of its own" test "$(stat -c %d "$here/sub/file")" != "$(stat -c %d "$here/file")"
equal "its file is DAX" dax "$(mapped dax "$here/sub/file")"
equal "its data, through a mapping" "$(sum "$there/sub/file")" "$(sum_by mmap "$here/sub/file")"
holder "$here/sub/held"
equal "a store" ok "$(ask put 4096 STORED)"
equal "is the host's" STORED "$(tail -c +4097 "$there/sub/held" | head -c 6)"
echo APPENDED >>"$here/sub/held"
equal "so is what is appended" APPENDED "$(tail -c 9 "$there/sub/held")"
equal "a mount with a mapping is busy" 32 "$(umount "$here/sub" 2>/dev/null; echo $?)"
equal "and so is what it is in" 32 "$(umount "$mnt" 2>/dev/null; echo $?)"
holder_ends

# whole FILE: it is read through a mapping.  `check` keeps what a command prints, and the shell takes
# long for 8 MiB.  Called by check.
# shellcheck disable=SC2317
whole() {
	bounded 60 window cat mmap "$1" | cat >/dev/null
	return "${PIPESTATUS[0]}"
}

# -- it goes while its file has all of the window, time and again
for round in {1..6}; do
	check "round $round: its file is read" whole "$here/sub/file"
	check "round $round: and it is unmounted" umount "$here/sub"
done
check "the other files have the window again" bounded 20 window read "$here/file" 0 65536
equal "and their data" "$(sum "$there/file")" "$(bounded 60 window cat mmap "$here/file" | sha256sum | cut -d' ' -f1)"
virtiofs zero >/dev/null
equal "it is mounted again" "$(sum "$there/sub/file")" "$(sum_by mmap "$here/sub/file")"
check "its ranges are new mappings" test "$(virtiofs count SETUPMAPPING)" -ge 4

# -- what it is in goes first
holder "$here/sub/held"
equal "a store in it" ok "$(ask put 8192 BEFORE)"
check "all is unmounted lazily" umount -l "$mnt"
equal "a store in what is mapped" ok "$(ask put 12288 AFTER)"
equal "in a range that was not" ok "$(ask put $((6 * MIB)) ANOTHER)"
holder_ends
check "the tag is free" wait_for 30 mount -t virtiofs -o dax=always dax "$mnt"
stored() {
	tail -c +$(($1 + 1)) "$there/sub/held" | head -c "$2"
}
equal "what was stored is there" "BEFORE AFTER ANOTHER" "$(stored 8192 6) $(stored 12288 5) $(stored $((6 * MIB)) 7)"
equal "and it is as the host has it" "$(sum "$there/sub/held")" "$(sum_by mmap "$here/sub/held")"
check "a mount that nobody uses goes with what it is in" umount "$mnt"
finish
