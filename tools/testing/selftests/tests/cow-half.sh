# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A write fault on a block that two files share, which has to be copied and cannot be read:
# SIGBUS, and the file keeps what it has.  A write that replaces it need not read it, which C
# does all the same.
#
# expect: rust pass, c fail
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 17

namespace
xfs
f=$mnt/file g=$mnt/other
poison fill "$f" 0 8 3
sync
phys=$(poison phys "$f" 5)
cp --reflink=always "$f" "$g"
sync
modprobe dax_hide "phys=$phys" || bail "modprobe dax_hide"
matches "the write cannot be done" "1 SIGBUS*offset=0x5000" "$(echo write | mappers 1 shared-unread 5 "$f" | tail -n 1)"
rmmod dax_hide
# Its first byte, and not that of a block that was to get it.
good="1 byte $(printf '0x%x' "$(dd if="$g" bs=4096 skip=5 count=1 status=none | head -c 1 | od -An -tu1)")"
equal "the mapping has what it had" "$good" "$(echo touch | mappers 1 shared 5 "$f" | tail -n 1)"
equal "so has the file" same "$(poison verify "$f" 0 8 3)"
equal "the write can be done then" "1 byte 0x74" "$(echo write | mappers 1 shared-unread 5 "$f" | tail -n 1)"
equal "the other file has nothing of it" same "$(poison verify "$g" 0 8 3)"

# The rest of a huge page can be written: known poison, of which copies are refused.
f=$mnt/huge
xfs_io -f -c "extsize 2m" -c "falloc 0 4m" "$f" || bail "xfs_io"
poison fill "$f" 0 512 5
cp --reflink=always "$f" "$f.copy"
sync
phys=$(poison phys "$f" 100)
echo "$(((phys - $(data_start)) / 512)) 8" >"$bb"
matches "what is bad is not copied" "1 SIGBUS*offset=0x64000" "$(echo write | mappers 1 shared-unread 100 "$f" | tail -n 1)"
equal "what is good is" "1 byte 0x74" "$(echo write | mappers 1 shared-unread 101 "$f" | tail -n 1)"
# What is there of the memory is not enough to do without what is bad.
matches "a write whose memory ends in the page fails" "E*" "$(timeout -k 5 -s KILL 20 poison pwrite "$f" $((100 * 4096)) 4096 T badtail)"
defect equal "and it can be overwritten" 4096 "$(poison pwrite "$f" $((100 * 4096)) 4096 W)"
equal "the other file has it still bad" EIO "$(poison pread "$f.copy" $((100 * 4096)) 4096)"
equal "and can be unshared but for that" "" "$(xfs_io -c "funshare 0 400k" "$f.copy" 2>&1)"
matches "which cannot" "*Input/output error" "$(xfs_io -c "funshare 400k 4k" "$f.copy" 2>&1)"
equal "the pages before it are intact" same "$(poison verify "$f.copy" 0 100 5)"
equal "the pages after it are intact" same "$(poison verify "$f.copy" 101 411 5)"
# What a write leaves of the page is read, and what it does not is not.
equal "a write up to the bad page" 8192 "$(poison pwrite "$f.copy" $((98 * 4096)) 8192 U)"
equal "a write of parts beside it" 3000 "$(poison pwrite "$f.copy" $((102 * 4096 + 7)) 3000 V)"
defect equal "a write over it, that leaves parts beside it" $((3 * 4096)) "$(poison pwrite "$f.copy" $((98 * 4096 + 100)) $((3 * 4096)) X)"
finish
