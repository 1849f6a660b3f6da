# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An extent of 4 GiB of a cloned file is unshared.  Its length does not fit an unsigned int, so C
# copies nothing and says that all went well.  The file would have what its new blocks held.
#
# Uses some 9 GiB of the host's memory.
#
# expect: rust pass, c fail
# regions: 0
# boot: --nvdimm 12G --memory 2G
# timeout: 600

. "$(dirname "$0")/../lib.sh"
plan 7

# For xfs.
# shellcheck disable=SC2034
mkfs_options="--unsupported -d agcount=1 -m rmapbt=0 -l size=65m"
namespace
xfs
f=$mnt/file
xfs_io -f -c "falloc 0 4g" "$f" || bail "falloc"
inode=$(stat -c %i "$f")
equal "the file is one extent" 1 "$(xfs_io -c "stat" "$f" | sed -n 's/^fsxattr.nextents = //p')"
umount "$mnt"
# To fill it would take all that memory and long: its blocks count as written now.
xfs_db -x -c "inode $inode" -c "write u3.bmx[0].extentflag 0" "$disk" >/tmp/db 2>&1 || bail "xfs_db: $(tail -n 1 /tmp/db)"
mount -t xfs -o dax=always "$disk" "$mnt" || bail "mount"
last=$((4 * 1024 * 1024 * 1024 / 4096 - 1))
for page in 0 1 300000 524288 $last; do
	poison fill "$f" "$page" 1 $((page + 1))
done
cp --reflink=always "$f" "$f.clone"
sync
check "the file is unshared" xfs_io -c "funshare 0 4g" "$f"
for page in 0 300000 524288; do
	defect equal "page $page is as it was" same "$(poison verify "$f" "$page" 1 $((page + 1)))"
done
defect equal "the last page is as it was" same "$(poison verify "$f" $last 1 $((last + 1)))"
equal "it was one extent" 1 "$(xfs_io -c "stat" "$f" | sed -n 's/^fsxattr.nextents = //p')"
finish
