# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# XFS_IOC_VERIFY_MEDIA reads across the end of an allocation group and meets a bad sector.
# What it reports as lost to the health monitor is a part of the file.  In C it is some
# 16 TiB of it: the last block of the group wraps in 32 bits.
#
# expect: rust pass, c fail, fixed pass
# timeout: 150

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 2

namespace
# Small groups: what each keeps for its trees leaves little at its end.
mkfs_options="-d agcount=30 --unsupported"
mkfs_xfs
xfs_io -f -c "falloc 0 380m" "$mnt/file" || bail "fallocate"
sync
map=$(fsmap)
# The end of a group that the file has almost to its end: from 768 KiB before it on 1 MiB.
for group in {1..29}; do
	end=$((group * agsize / 512))
	here=$(awk -v from=$((end - 1536)) -v end=$end '$5 == "data" && $2 >= from && $1 < end' <<<"$map")
	# What of the file is in all of it.
	lost=$(awk -v from=$((end - 1536)) -v end=$((end + 512)) '$5 == "data" && $2 >= from && $1 < end {
		sum += ($2 < end ? $2 + 1 : end) - ($1 > from ? $1 : from)
	} END { printf "%d\n", sum * 512 }' <<<"$map")
	[ -z "$here" ] || break
done
[ -n "$here" ] || bail "no group ends with the file: $(grep inode <<<"$map" | head -n 3 | tr '\n' ' ')"
echo "$((end - 800)) 8" >"$bb"
events=$(python3 /dev/fd/3 "$mnt" $((end - 1536)) $((end + 512)) "$RDAX_PATIENCE" 3<<-'END'
	import ctypes, os, select, struct, sys
	libc = ctypes.CDLL(None, use_errno=True)
	fd = os.open(sys.argv[1], os.O_RDONLY)
	monitor = libc.ioctl(fd, ctypes.c_ulong(0x40205844), ctypes.create_string_buffer(struct.pack("=QB23x", 1, 0)))
	if monitor < 0:
	    sys.exit("health monitor: " + os.strerror(ctypes.get_errno()))
	ask = struct.pack("=IIQQIIII", 1, 1, int(sys.argv[2]), int(sys.argv[3]), 0, 1 << 20, 0, 0)
	if libc.ioctl(fd, ctypes.c_ulong(0xC0285846), ctypes.create_string_buffer(ask)) < 0:
	    sys.exit("verify media: " + os.strerror(ctypes.get_errno()))
	# Both kinds come, in whatever order and number; 3 s without another one are the end.
	patience, seen = int(sys.argv[4]), set()
	while select.select([monitor], [], [], 3 if len(seen) == 2 else 20 * patience)[0]:
	    data = os.read(monitor, 4096)
	    for at in range(0, len(data), 64):
	        domain, kind, _, pos, length, ino = struct.unpack_from("=IIQQQQ", data, at)
	        if kind == 12:
	            print(length)
	        elif kind == 7:
	            print("media", pos, length)
	        if kind in (7, 12):
	            seen.add(kind)
END
) || bail "no events"
equal "the media error is reported" "media $((end - 1536)) 2048" "$(grep media <<<"$events")"
defect equal "and what is lost of the file, in bytes" "$lost" \
	"$(grep -v media <<<"$events" | awk '{ sum += $1 } END { printf "%d\n", sum }')"
finish
