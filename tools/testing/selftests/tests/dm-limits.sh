# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Four volumes one above the other are told of what fails below them, and more are not: each takes
# stack.  Then the users of the page are looked for.  A report ends where a table has itself below it.
#
# expect: rust pass
# regions: 1
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 8

MIB=1048576
modprobe -a dax_holder_test hwpoison-inject || bail "modprobe"
namespace
start=$(($(data_start))) below=$disk
size=$((320 * MIB / 512))

too_many() {
	dmesg | grep -c 'mapped devices are above each other'
}

# up_to LEVELS: volumes l1 to that one.  down LEVELS: none.
up_to() {
	local i under=$below
	for ((i = 1; i <= $1; i++)); do
		dmsetup create l$i --table "0 $size linear $under $((i == 1 ? 8192 : 0))" || bail "dmsetup create l$i"
		under=/dev/mapper/l$i
	done
	disk=$under
}
down() {
	local i
	for ((i = $1; i > 0; i--)); do dmsetup remove l$i || bail "dmsetup remove l$i"; done
}

for levels in 4 5; do
	up_to $levels
	mkfs_xfs
	poison fill "$mnt/file" 0 64 1
	cp --reflink=always "$mnt/file" "$mnt/clone"
	sync
	before=$(too_many)
	watch file "$mnt/file" 5
	watch clone "$mnt/clone" 5
	corrupt "$(pfn_of "$mnt/file" 5)"
	stop_watching
	equal "$levels: the users of both files are told" "told SIGBUS offset=0x5000, told SIGBUS offset=0x5000" \
		"$(told file), $(told clone)"
	header=$((agsize * 2))
	corrupt $(((start + 4 * MIB + header) / 4096)) 2>/dev/null
	if [ $levels = 4 ]; then
		check "4: a lost group header shuts XFS down" is_shut_down
		equal "4: the log says nothing of a limit" 0 $(($(too_many) - before))
	else
		check "5: the log says that it is too many" test $(($(too_many) - before)) -gt 0
		check "5: XFS goes on" works
	fi
	umount "$mnt"
	down $levels
	dd if=/dev/zero of="$below" bs=4096 seek=$(((4 * MIB + header) / 4096)) count=1 conv=notrunc oflag=direct status=none
done

# The second half of `a` is `b`, which is all of `a`.
half=$((size / 2))
dmsetup create a --table "0 $half linear $below 8192" || bail "dmsetup create a"
dmsetup create b --table "0 $half linear /dev/mapper/a 0" || bail "dmsetup create b"
dmsetup load a <<-END
	0 $half linear $below 8192
	$half $half linear /dev/mapper/b 0
END
if dmsetup resume a; then
	holder_open "$below"
	before=$(too_many)
	timeout "$(patient 60)" bash -c "echo 'notify $holder_name $((8 * MIB)) 4096 0' >'$control'" &
	check "circle: a report ends" wait_for 30 ended $!
	check "circle: it is left before it goes round" test $(($(too_many) - before)) -gt 0
	holder_close
	dmsetup load a --table "0 $half linear $below 8192" && dmsetup resume a
else
	for i in 1 2; do skip "circle $i" "dm does not take such a table"; done
fi
dmsetup remove b
dmsetup remove a
finish
