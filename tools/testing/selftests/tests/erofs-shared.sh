# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two files of an erofs image share their chunks, and both are mapped.  When such a page
# fails, neither file reads on.  C takes the folio for one of the last file that was mapped
# (and warns), so that the user of the first is told nothing.
#
# expect: rust pass, c fail
# splat: c
# alone: c debug-c
# timeout: 200

. "$(dirname "$0")/../lib.sh"

plan 14

modprobe -a erofs hwpoison-inject || bail "modprobe -a erofs hwpoison-inject"
mkdir -p /tmp/tree
poison fill /tmp/tree/a 0 64 1
cp /tmp/tree/a /tmp/tree/b
poison fill /tmp/tree/c 0 64 2
words=$(mkfs.erofs --chunksize=4096 -E noinline_data,force-inode-extended /tmp/image /tmp/tree 2>&1) || bail "mkfs.erofs: $(tail -n 1 <<<"$words")"
namespace
dd if=/tmp/image of="$disk" bs=1M conv=fsync,notrunc status=none
mount -t erofs -o ro,dax=always "$disk" "$mnt" || bail mount

# Each maps a page of its file; what becomes of it is in /tmp/FILE.
declare -A user seed=([a]=1 [b]=1 [c]=2)
for f in a b c; do
	equal "$f has DAX" dax "$(mapped dax "$mnt/$f")"
	equal "$f is read through a mapping" same "$(mapped verify "$mnt/$f" 0 $((64 * 4096)) "${seed[$f]}")"
done
for f in a b c; do
	mapped watch "$mnt/$f" $((7 * 4096)) 4096 >"/tmp/$f" &
	user[$f]=$!
	wait_for 20 grep -q ready "/tmp/$f" || bail "$f cannot be mapped"
done
check "the page of both fails" corrupt "$(mapped pfn "$mnt/b" $((7 * 4096)) 4096)"
defect check "a task that maps it by the first file is notified" wait_for 30 ended "${user[a]}"
defect check "and by the second" wait_for 30 ended "${user[b]}"
defect equal "by SIGBUS" "SIGBUS SIGBUS" "$(tail -qn 1 /tmp/a /tmp/b | paste -sd' ')"
check "a task that maps another file is not" sh -c "kill -0 ${user[c]}"
kill "${user[@]}" 2>/dev/null
wait
equal "that file is whole" same "$(mapped verify "$mnt/c" 0 $((64 * 4096)) 2)"
for f in a b; do
	defect equal "$f: the page is not read" SIGBUS "$(mapped verify "$mnt/$f" 0 $((64 * 4096)) 1)"
done
umount "$mnt"
finish
