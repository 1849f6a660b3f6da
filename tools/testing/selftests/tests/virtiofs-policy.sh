# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which range goes when all are taken, and what the server is asked for it: what is used stays, and
# no more is asked than has to be.
#
# expect: rust pass, c fail
# regions: 0
# boot: --virtiofs @SCRATCH@,window=16,cache=always --share @SCRATCH@
# timeout: 500

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 14

MIB=1048576
noise "$there/hot" $((2 * MIB))
# In small pieces 9p takes long.
dd if=/dev/urandom of="$there/cold" bs=1M count=64 status=none
cold=$(sum "$there/cold")
virtiofs_mount

# What is read all the time is not what goes: eight ranges, one of them hot, 32 cold ones pass by.
window read "$here/hot" 0 4096 >/dev/null
virtiofs zero >/dev/null
for ((i = 0; i < 32; i++)); do
	window read "$here/cold" $((i * 2 * MIB)) 4096 "$there/cold"
	window read "$here/hot" 4096 4096 "$there/hot"
done >/tmp/reads
asked=$(virtiofs count SETUPMAPPING)
equal "one hot and 32 cold ranges: all reads are whole" "     64 4096" "$(uniq -c /tmp/reads)"
echo "# one hot and 32 cold ranges: $asked SETUPMAPPING"
defect check "what is used all the time stays ($asked SETUPMAPPING for 32 new ranges)" test "$asked" -le 33

# In order through a file of four windows, by read and by mapping: about one request a range is enough.
for how in read mmap; do
	again always
	virtiofs zero >/dev/null
	equal "in order, $how: the data" "$cold" "$(bounded 100 window cat $how "$here/cold" | sha256sum | cut -d' ' -f1)"
	asked=$(virtiofs count SETUPMAPPING) removed=$(virtiofs count REMOVEMAPPING)
	echo "# in order, $how: $asked SETUPMAPPING, $removed REMOVEMAPPING for 32 ranges"
	# A range that is evicted while a task reads in it is asked for again.
	check "in order, $how: hardly a range twice ($asked)" test "$asked" -le 40
	defect check "in order, $how: ranges are given back in batches ($removed REMOVEMAPPING)" test "$removed" -le 16
done

# A file that fits is asked for once.
again always
virtiofs zero >/dev/null
check "a file that fits is read" dd if="$here/hot" of=/dev/null bs=4096 status=none
check "and written" dd if=/dev/zero of="$here/hot" bs=4096 count=512 conv=notrunc status=none
asked=$(virtiofs count SETUPMAPPING)
check "read, then written: one request and its upgrade ($asked)" test "$asked" -le 2
virtiofs zero >/dev/null
check "it is written again, through a mapping" mapped fill "$here/hot" 0 $((2 * MIB)) 4
equal "which asks for nothing" 0 "$(virtiofs count SETUPMAPPING)"

# Used here and there, then in order, in one mapping: large pages come where small ones were.  (C:
# a fault that finds no free range is one for a small page for good.)  A quarter of the pages is far
# more than what goes by until the file is mapped in blocks again.
PAGES=8192
poison fill /tmp/turns 0 $PAGES 5
cp /tmp/turns "$there/turns"
again always
faults=$(bounded 200 window turns "$here/turns" 3000 5)
echo "# at random, then in order: $faults faults for $PAGES pages"
defect check "at random, then in order: by large pages ($faults faults)" test "$faults" -le $((PAGES / 4))
umount "$mnt"
finish
