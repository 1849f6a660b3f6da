# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# write() to a mapped file whose blocks it replaces: shared ones, and, with an extent size for
# copies, the file's own beside them.  A mapping shows what is written, what was stored to the rest
# of a huge page is written back by fsync, which says so where it is lost, and the kernel has nothing
# to say.  On C the mapping is SIGBUS, fsync writes back nothing, and the kernel warns.
#
# expect: rust pass, c fail, fixed pass
# alone: c debug-c
# splat: c
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 29

# For xfs.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"
namespace
xfs

# The file's own last page, dirty, lies in the extent of a copy.
f=$mnt/tail
poison fill "$f" 0 8 1
truncate -s $((7 * 4096 + 100)) "$f"
xfs_io -c "cowextsize 2m" "$f" || bail "cowextsize"
xfs_io -f -c "reflink $f 8192 8192 4096" "$mnt/part" >/dev/null || bail "reflink"
sync
mappers_of 1 shared 7 "$f"
equal "a store to the last page" "1 byte 0x74" "$(ask write)"
# The shared one is copied.
equal "a write beside it" 4096 "$(poison pwrite "$f" 8192 4096 W)"
equal "a write behind the end" 4096 "$(poison pwrite "$f" $((9 * 4096)) 4096 W)"
equal "a write to the last page" 4096 "$(poison pwrite "$f" $((7 * 4096)) 4096 X)"
defect equal "is seen through the mapping" "1 byte 0x58" "$(ask touch)"
end_mappers

# huge_page NAME: page 100 of the file $f is mapped, in a huge page of the file's own.  The block
# behind that huge page is shared.
huge_page() {
	f=$mnt/$1
	xfs_io -f -c "extsize 2m" -c "cowextsize 4m" -c "falloc 0 4m" "$f" || bail "xfs_io"
	poison fill "$f" 0 1024 1
	sync
	xfs_io -f -c "reflink $f 2097152 0 4096" "$f.part" >/dev/null || bail "reflink"
	sync
	mappers_of 1 shared 100 "$f"
}

# Some of it was stored to.
huge_page huge
equal "a huge page" 1 "$(poison faults "$f" 0)"
equal "a store to it" "1 byte 0x74" "$(ask write)"
modprobe dax_delay symbol=arch_wb_cache_pmem skip=2000000000 || bail "modprobe dax_delay"
equal "a write to a shared block behind it" 4096 "$(poison pwrite "$f" 2097152 4096 W)"
equal "a write to another page" 4096 "$(poison pwrite "$f" $((7 * 4096)) 4096 W)"
check "fsync" xfs_io -c fsync "$f"
defect check "what was stored is written back" test "$(cat /sys/module/dax_delay/parameters/hits)" -ge 1
rmmod dax_delay
equal "and is there" "1 byte 0x74" "$(ask touch)"
end_mappers

# A page that was stored to fails, and the entry of the huge page goes with a write to another one, or
# to the page itself: then nothing is lost.
for written in 7 100; do
	huge_page failed$written
	equal "$written: a huge page that is to fail" 1 "$(poison faults "$f" 0)"
	equal "$written: a store to it" "1 byte 0x74" "$(ask write)"
	end_mappers
	poison madv "$f" 100 >/dev/null
	equal "$written: a write to a shared block behind it" 4096 "$(poison pwrite "$f" 2097152 4096 W)"
	equal "$written: a write to a page of it" 4096 "$(poison pwrite "$f" $((written * 4096)) 4096 W)"
	if [ $written = 7 ]; then
		defect matches "fsync() says that the store is lost" "*Input/output error" "$(xfs_io -c fsync "$f" 2>&1)"
	fi
	equal "$written: fsync() has nothing to say" "" "$(xfs_io -c fsync "$f" 2>&1)"
done

# The same with a page of a huge page that is shared, and with a task that maps it.
f=$mnt/shared
xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
poison fill "$f" 0 1024 1
cp --reflink=always "$f" "$f.clone"
sync
mappers_of 1 shared 7 "$f"
equal "a write to a mapped page" 4096 "$(poison pwrite "$f" $((7 * 4096)) 4096 V)"
equal "is seen through the mapping, too" "1 byte 0x56" "$(ask touch)"
end_mappers
equal "the clone is as it was" same "$(poison verify "$f.clone" 0 1024 1)"
check "the file system is unmounted" umount "$mnt"
defect equal "nothing is said of it" "" "$(dmesg | grep -E 'WARNING: |BUG: |Oops' | head -n 1)"
check "and is in order" xfs_repair -n "$disk"
finish
