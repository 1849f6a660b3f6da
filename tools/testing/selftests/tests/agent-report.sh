# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# dax/report_failure: an agent reports bytes that failed.  The holder is notified of these bytes.
# They are recorded, unmapped from the tasks that map them, and repaired like any others.
#
# expect: rust pass
# timeout: 200
# regions: 2

. "$(dirname "$0")/../lib.sh"
plan 64

# report WORDS: "ok" or the error's text.
report() {
	local words
	if words=$( (printf '%s\n' "$*" >"$entry") 2>&1); then echo ok; else echo "${words##*: }"; fi
}

# calls NAME: what it was told, comma separated.
calls() {
	sed -n 's/^call //p' "/sys/kernel/debug/dax_holder_test/$1" | paste -sd,
}

namespace
entry=/sys/block/$dev/dax/report_failure
size=$(blockdev --getsize64 "$disk")
equal "root alone may write" "200 root" "$(stat -c '%a %U' "$entry")"

# Reports need a privilege.
exec 9>"$entry"
equal "an open file that was passed on gives no privilege" "Operation not permitted" \
	"$(setpriv --reuid=1000 --regid=1000 --clear-groups bash -c 'echo 0 512 >&9' 2>&1 | sed 's/.*: //')"
equal "nor is root without the capability" "Operation not permitted" \
	"$(setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin bash -c 'echo 0 512 >&9' 2>&1 | sed 's/.*: //')"
exec 9>&-

# What is no range.
for words in "" "1" "0 0" "1 2 3" "-1 4" "a 4" "1k 4" "0x 4" "0 0x" "1,4"; do
	equal "'$words' is invalid" "Invalid argument" "$(report "$words")"
done
for words in "$size 1" "0 $((size + 1))" "$((size - 1)) 2" "18446744073709551615 1" "1 18446744073709551615" \
	"18446744073709551616 1" "0x10000000000000000 1"; do
	equal "'$words' is out of range" "Numerical result out of range" "$(report "$words")"
done
equal "nothing came of it" - "$(bad_sectors)"

# A holder is told to the byte.
modprobe dax_holder_test || bail "modprobe dax_holder_test"
for words in "open it $disk" "get it"; do
	echo "$words" >/sys/kernel/debug/dax_holder_test/control || bail "$words"
done
equal "three bytes" ok "$(report 0x100001 3)"
equal "the holder is told of three bytes" "0x100001 0x3 0x0" "$(calls it)"
equal "their sector is on record" "2048 1" "$(bad_sectors)"
equal "across a sector" ok "$(report 1049087 2)"
equal "the holder is told of two bytes" "0x100001 0x3 0x0,0x1001ff 0x2 0x0" "$(calls it)"
equal "both sectors are on record" "2048 2" "$(bad_sectors)"
equal "the last byte" ok "$(report $((size - 1)) 1)"
matches "the holder is told of that" "*,$(printf '%#x' $((size - 1))) 0x1 0x0" "$(calls it)"
equal "they are read up to the first" EIO "$(poison pread "$disk" 1048576 4096 direct)"
equal "a block write repairs" 1024 "$(poison pwrite "$disk" 1048576 1024 R direct)"
equal "and the other" 512 "$(poison pwrite "$disk" $((size - 512)) 512 R direct)"
equal "nothing is on record" - "$(bad_sectors)"
for words in "put it" "close it"; do
	echo "$words" >/sys/kernel/debug/dax_holder_test/control || bail "$words"
done
rmmod dax_holder_test

# part_of_a_page FS OFFSET LEN: those bytes of page 5 of $f, which three have mapped, fail.  The
# page is $phys, and at byte $at of the device.
part_of_a_page() {
	f=$mnt/file
	poison fill "$f" 0 16 3
	sync
	phys=$(poison phys "$f" 5)
	at=$((phys - $(data_start)))
	mappers_of 3 shared,early 5 "$f"
	equal "$1: a part of a page" ok "$(report "$((at + $2)) $3")"
	equal "$1: nobody has the page" 0 "$(ask mapped)"
	equal "$1: early-kill tasks are notified" "3 SIGBUS code=MCEERR_AO lsb=12 offset=0x5000" "$(ask told)"
	equal "$1: a touch tells" "3 SIGBUS code=MCEERR_AR lsb=12 offset=0x5000" "$(ask touch)"
	end_mappers
}

# A file system.
xfs
part_of_a_page XFS 1030 600
equal "XFS: the sectors are on record" "$((at / 512 + 2)) 2" "$(bad_sectors)"
equal "XFS: the page is marked" 0 "$(poison flags "$phys" 1)"
equal "XFS: its first sectors are read" 1024 "$(poison pread "$f" $((5 * 4096)) 4096)"
equal "XFS: the others are not" EIO "$(poison pread "$f" $((5 * 4096 + 1024)) 512)"
equal "XFS: a pwrite repairs" 4096 "$(poison pwrite "$f" $((5 * 4096)) 4096 v)"
equal "XFS: nothing is on record" - "$(bad_sectors)"
equal "XFS: nor marked" none "$(poison flags "$phys" 1)"
# Many pages at once, of a file in one piece; one of them was touched.
mappers_of 2 shared,early 8 "$f"
equal "XFS: six pages" ok "$(report "$((at + 2 * 4096)) $((6 * 4096))")"
equal "XFS: nobody has them" 0 "$(ask mapped)"
matches "XFS: early-kill tasks are notified of the first" "2 SIGBUS code=MCEERR_AO lsb=1? offset=0x7000" "$(ask told)"
end_mappers
equal "XFS: none of them can be touched" "EIO EIO" "$(poison pread "$f" $((7 * 4096)) 1) $(poison pread "$f" $((12 * 4096)) 1)"
equal "XFS: it can all be repaired" $((6 * 4096)) "$(poison pwrite "$f" $((7 * 4096)) $((6 * 4096)) w)"
equal "XFS: nothing is on record then" - "$(bad_sectors)"
umount "$mnt"

# Nobody holds the device.
region=''
namespace
entry=/sys/block/$dev/dax/report_failure
ext4
part_of_a_page ext4 600 10
equal "ext4: the sector is on record" "$((at / 512 + 1)) 1" "$(bad_sectors)"
equal "ext4: the page is marked" 0 "$(poison flags "$phys" 1)"
equal "ext4: a pwrite repairs" 4096 "$(poison pwrite "$f" $((5 * 4096)) 4096 v)"
equal "ext4: nor marked" none "$(poison flags "$phys" 1)"
equal "ext4: bytes that nobody has" ok "$(report "$(($(blockdev --getsize64 "$disk") - 8192)) 8192")"
umount "$mnt"

# All of the device: users are looked for in 128 MiB at a time, and the first are held.
size=$(blockdev --getsize64 "$disk")

# pages_left: of how many the users were not looked for, says the log.
pages_left() {
	dmesg | sed -n 's/.*report ends early: .* its last \([0-9]*\) pages .*/\1/p' | tail -n 1
}

hold_in mf_dax_collect_pfns
printf '0 %d\n' "$size" >"$entry" &
writer=$!
wait_for 20 held || bail "no report in mf_dax_collect_pfns()"
kill -KILL "$writer"
let_go
wait "$writer"
equal "a writer that is killed: the report ends" $((size / 4096 - 32768)) "$(pages_left)"
equal "a writer that is killed: all is on record" EIO "$(poison pread "$disk" $((size - 4096)) 4096 direct)"

hold_in mf_dax_collect_pfns
report "$((32768 * 4096)) $((size - 32768 * 4096))" >/tmp/said &
writer=$!
wait_for 20 held || bail "no report in mf_dax_collect_pfns()"
unbind &
unbinder=$!
check "the disk waits for the report" wait_for 20 blocked_in 'kernfs_drain|kernfs_remove' "$unbinder"
let_go
wait "$writer" "$unbinder"
equal "a device that goes: the report ends" $((size / 4096 - 65536)) "$(pages_left)"
equal "a device that goes: the writer is told" "No such device" "$(cat /tmp/said)"
# A test on the same kernel may want it for another function.
rmmod dax_delay
finish
