# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is in files is what comes out of them, through a window of two ranges: files from nothing
# to four windows, read and written by every call and through mappings, as the host sees them.
#
# expect: rust pass, c pass
# regions: 0
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 400

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 100

MIB=1048576
virtiofs_mount
matches "the mount says what it is" "*dax=always*" "$(grep " $mnt " /proc/mounts)"

# -- what the host wrote
for size in 0 1 4095 4096 4097 $((2 * MIB - 1)) $((2 * MIB)) $((2 * MIB + 1)) $((8 * MIB)) $((16 * MIB + 5)); do
	noise "$there/$size" "$size"
	want=$(sum "$there/$size")
	for how in read mmap sendfile splice; do
		equal "$size bytes, $how" "$want" "$(sum_by $how "$here/$size")"
	done
	[ $((size % 4096)) != 0 ] || equal "$size bytes, O_DIRECT" "$want" "$(sum_by direct "$here/$size")"
done
equal "it is DAX" dax "$(mapped dax "$here/4096")"
equal "none of it was a FUSE READ" 0 "$(virtiofs count READ)"

# -- what the guest writes
for size in 1 4097 $((2 * MIB + 1)) $((16 * MIB + 5)); do
	noise /tmp/data "$size"
	want=$(sum /tmp/data)
	cp /tmp/data "$here/written"
	equal "$size bytes written, as the host has them" "$want" "$(sum "$there/written")"
	dd if=/tmp/data of="$here/written" bs=1M conv=notrunc,fsync status=none
	equal "$size bytes written over, synced" "$want" "$(sum "$there/written")"
	rm "$here/written"
done
rm -f /tmp/data
truncate -s 16M "$here/mapped"
check "16 MiB are written through a mapping" mapped fill "$here/mapped" 0 $((16 * MIB)) 3
equal "and read through another" same "$(mapped verify "$here/mapped" 0 $((16 * MIB)) 3)"
equal "and by read()" same "$(poison verify "$here/mapped" 0 4096 3)"
# Page by page 9p takes long.
poison fill /tmp/filled 0 4096 3
check "and by the host" cmp /tmp/filled "$there/mapped"
check "O_DIRECT writes" dd if="$there/$((8 * MIB))" of="$here/direct" bs=1M oflag=direct status=none
equal "O_DIRECT writes: what they wrote" "$(sum "$there/$((8 * MIB))")" "$(sum "$there/direct")"
again always
equal "all is there after a remount" same "$(mapped verify "$here/mapped" 0 $((16 * MIB)) 3)"
rm -f "$here/direct"

# -- holes, appending
truncate -s 20M "$here/hole"
equal "a hole is read as zeroes" 0 "$(tr -d '\0' <"$here/hole" | wc -c)"
printf x | dd of="$here/hole" bs=1 seek=$((11 * MIB)) conv=notrunc status=none
equal "a byte in it, by the host" x "$(tr -d '\0' <"$there/hole")"
equal "a byte in it, through a mapping" x "$(window cat mmap "$here/hole" | tr -d '\0')"
for i in {1..40}; do echo "line $i"; done >/tmp/lines
while read -r line; do echo "$line" >>"$here/append"; done </tmp/lines
equal "appended lines" "$(sum /tmp/lines)" "$(sum "$there/append")"
equal "appended lines, through a mapping" "$(sum /tmp/lines)" "$(sum_by mmap "$here/append")"
holder "$here/append" 4096
echo "one more" >>"$here/append"
equal "what is appended to a mapped file is in the mapping" "one more" "$(ask get "$(stat -c %s /tmp/lines)" 8)"
holder_ends

# -- loaded first, and then stored: the range was for reading
again always
holder "$here/append" 4096
matches "loaded" "line 1*" "$(ask get 0 6)"
equal "and then stored" ok "$(ask put 0 STORED)"
equal "as the host has it" STORED "$(head -c 6 "$there/append")"
holder_ends
# A task that does it and goes on by itself.
cat >/tmp/again.py <<'PY'
import mmap, os, sys
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 4096) as mapping:
        first = mapping[100]
        mapping[100] = first ^ 1
        mapping[100] = first
    os.close(fd)
print("well")
PY
equal "of many files" well "$(bounded 60 python3 /tmp/again.py "$here/8388608" "$here/4096" "$here/4097" "$here/mapped")"

# -- rename and unlink while mapped
cp "$there/8388608" "$there/renamed"
holder "$here/renamed"
equal "stored through a mapping" ok "$(ask put 5000000 STORED)"
mv "$here/renamed" "$here/other"
equal "renamed: the mapping reads on" STORED "$(ask get 5000000 6)"
equal "renamed: and writes" ok "$(ask put 0 RENAMED)"
equal "renamed: the host has it" RENAMED "$(head -c 7 "$there/other")"
rm "$here/other"
equal "unlinked: the mapping reads on" STORED "$(ask get 5000000 6)"
equal "unlinked: and writes" ok "$(ask put 7000000 GONE)"
# Pressure takes the ranges away, and they come back.
window cat mmap "$here/mapped" | sha256sum >/dev/null
equal "unlinked: what was written is there after pressure" GONE "$(ask get 7000000 4)"
holder_ends

# -- truncation and holes under a mapping
cp "$there/8388608" "$there/cut"
holder "$here/cut"
equal "to be truncated: stored" ok "$(ask put 6000000 BEFORE)"
truncate -s 4M "$here/cut"
equal "truncated: beyond the end is SIGBUS" SIGBUS "$(ask get 6000000 6)"
equal "truncated: before it is not" "$(head -c 4000004 "$there/8388608" | tail -c 4 | tr -d '\0' | sha256sum)" \
	"$(head -c 4000004 "$here/cut" | tail -c 4 | tr -d '\0' | sha256sum)"
truncate -s 8M "$here/cut"
equal "and longer again: it is zero" "" "$(ask get 6000000 6)"
equal "longer again: by read()" 0 "$(tail -c 4M "$here/cut" | tr -d '\0' | wc -c)"
equal "to be punched: stored" ok "$(ask put 1000000 PUNCH)"
check "a hole is punched" fallocate -p -o $((512 * 1024)) -l 1M "$here/cut"
equal "punched: the mapping reads zeroes" "" "$(ask get 1000000 5)"
equal "punched: the host has a hole" 0 "$(head -c 1572864 "$there/cut" | tail -c 1M | tr -d '\0' | wc -c)"
equal "punched: beside it nothing changed" "$(head -c 524288 "$there/8388608" | sha256sum)" "$(head -c 524288 "$here/cut" | sha256sum)"
holder_ends

# -- what copies from file to file
check "sendfile to another file" xfs_io -f -c "sendfile -i $here/mapped 0 16m" "$here/sent"
check "sendfile: what came" cmp /tmp/filled "$there/sent"
check "copy_file_range" xfs_io -f -c "copy_range -l 16m $here/mapped" "$here/copied"
check "copy_file_range: what came" cmp /tmp/filled "$there/copied"

# -- what the host changes, the guest sees
printf HOSTED | dd of="$there/mapped" bs=1 seek=$((3 * MIB)) conv=notrunc status=none
equal "the host writes: a mapping has it at once" HOSTED "$(window cat mmap "$here/mapped" | tail -c +$((3 * MIB + 1)) | head -c 6)"
equal "the host writes: read() has it at once" HOSTED "$(tail -c +$((3 * MIB + 1)) "$here/mapped" | head -c 6)"
echo new >"$there/appeared"
check "the host makes a file: it is there" wait_for 10 test -f "$here/appeared"
noise "$there/appeared" 3000000
check "the host makes it longer" wait_for 10 is 3000000 stat -c %s "$here/appeared"
equal "the host makes it longer: what is in it" "$(sum "$there/appeared")" "$(sum_by mmap "$here/appeared")"

check "it is unmounted" umount "$mnt"
equal "and the server has taken every mapping back" 0 "$(virtiofs count mapped)"
finish
