# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The unmodified users of the dax core: device-dax, kmem, fsdev, device mapper, ext4,
# XFS on device mapper, erofs.  Each holds data that is read through mappings, and comes
# to an orderly end when the device goes.
#
# expect: rust pass, c fail
# regions: 3
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 94

MIB=1048576
BUS=/sys/bus/dax

# has_data NAME FILE MIB SEED: stored through a mapping, loaded through another.
has_data() {
	check "$1: is written through a mapping" mapped fill "$2" 0 $(($3 * MIB)) "$4"
	equal "$1: and read through another" same "$(mapped verify "$2" 0 $(($3 * MIB)) "$4")"
}

# driver_of DEVICE: the driver on the dax bus.
driver_of() {
	basename "$(readlink "$BUS/devices/$1/driver" 2>/dev/null)"
}

# watcher FILE LEN: $watcher loads from the mapped file; what becomes of it is in /tmp/watcher.
watcher() {
	# What the task before said is not this one's.
	: >/tmp/watcher
	mapped watch "$1" 0 "$2" >/tmp/watcher &
	watcher=$!
	wait_for 10 grep -q ready /tmp/watcher || bail "$1 cannot be watched: $(cat /tmp/watcher)"
}

# -- device-dax
region=''
namespace -m devdax
modprobe -a dax_pmem device_dax || bail "modprobe -a dax_pmem device_dax"
dax=$(ndctl list -n "$ns" -X | jq -r '.[0].daxregion.devices[0].chardev // empty')
[ -n "$dax" ] || bail "ndctl names no character device of $ns"
wait_for 10 test -c "/dev/$dax" || bail "there is no /dev/$dax"
has_data device-dax "/dev/$dax" 4 1
equal "device-dax: no mapping against its alignment" EINVAL "$(mapped verify "/dev/$dax" 0 $((2 * MIB + 4096)) 1)"
# Where the address is a multiple of its alignment, and the offset is not.
against_offset() {
	timeout "$(patient 30)" python3 - "$1" <<-'END' 2>&1
		import ctypes, errno, os, sys
		libc = ctypes.CDLL(None, use_errno=True)
		libc.mmap.restype = ctypes.c_void_p
		libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
		huge = 1 << 21
		room = libc.mmap(None, 2 * huge, 0, 0x22, -1, 0)    # MAP_PRIVATE | MAP_ANONYMOUS
		at = (room + huge - 1) // huge * huge
		got = libc.mmap(at, huge, 1, 0x11, os.open(sys.argv[1], os.O_RDWR), 4096)    # MAP_SHARED | MAP_FIXED
		if got == ctypes.c_void_p(-1).value:
		    print(errno.errorcode[ctypes.get_errno()])
		else:
		    print("mapped")
	END
}
defect equal "device-dax: nor with an offset against it" EINVAL "$(against_offset "/dev/$dax")"
equal "device-dax: nothing beyond its end" SIGBUS \
	"$(mapped verify "/dev/$dax" "$(cat "$BUS/devices/$dax/size")" $((2 * MIB)) 1)"
check "device-dax: its driver unbinds" sh -c "echo $dax >$BUS/drivers/device_dax/unbind"
equal "device-dax: and cannot be opened then" ENXIO "$(mapped verify "/dev/$dax" 0 $((2 * MIB)) 1)"
check "device-dax: its driver binds" sh -c "echo $dax >$BUS/drivers/device_dax/bind"
equal "device-dax: the data is there" same "$(mapped verify "/dev/$dax" 0 $((4 * MIB)) 1)"
watcher "/dev/$dax" $((2 * MIB))
check "device-dax: its driver unbinds under a mapping" sh -c "echo $dax >$BUS/drivers/device_dax/unbind"
check "device-dax: its user is told" wait_for 10 ended $watcher
equal "device-dax: by SIGBUS" SIGBUS "$(tail -n 1 /tmp/watcher)"

# -- fsdev: for file systems that want such a device; none is there yet.
modprobe fsdev_dax || bail "modprobe fsdev_dax"
check "fsdev: its driver takes the device" sh -c "echo $dax >$BUS/drivers/fsdev_dax/new_id"
[ "$(driver_of "$dax")" = fsdev_dax ] || echo "$dax" >$BUS/drivers/fsdev_dax/bind
equal "fsdev: is bound" fsdev_dax "$(driver_of "$dax")"
check "fsdev: is a character device" test -c "/dev/$dax"
equal "fsdev: which is not mapped" ENODEV "$(mapped verify "/dev/$dax" 0 $((2 * MIB)) 1)"
check "fsdev: its driver unbinds" sh -c "echo $dax >$BUS/drivers/fsdev_dax/unbind"
check "fsdev: and forgets the device" sh -c "echo $dax >$BUS/drivers/fsdev_dax/remove_id"
check "fsdev: its module goes" rmmod fsdev_dax
check "device-dax: has it again" sh -c "echo $dax >$BUS/drivers/device_dax/bind"
equal "device-dax: the data is still there" same "$(mapped verify "/dev/$dax" 0 $((4 * MIB)) 1)"

# -- kmem: the device becomes memory, and a device again.  By hand: daxctl counts the
# memory of a device in its NUMA node, and the guest has none.
total() {
	awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo
}
# movable_free: the pages that are free there.
movable_free() {
	awk '$1 == "Node" { movable = $4 == "Movable" } movable && $1 == "pages" { print $3 }' /proc/zoneinfo
}
modprobe kmem || bail "modprobe kmem"
state=$BUS/devices/$dax/state before=$(total)
echo "$dax" >$BUS/drivers/device_dax/unbind
check "kmem: its driver takes the device" sh -c "echo $dax >$BUS/drivers/kmem/new_id"
equal "kmem: is bound" kmem "$(driver_of "$dax")"
# Offline blocks came with the driver; they go, and come back to be used.
check "kmem: the memory is offlined" sh -c "echo unplugged >$state"
check "kmem: the memory is onlined" sh -c "echo online_movable >$state"
after=$(total)
check "kmem: there is more memory ($before MiB, $after MiB)" test $((after - before)) -ge 256
# What can be moved goes to movable memory first.
before_use=$(movable_free)
head -c 64M /dev/zero >/dev/shm/fill
check "kmem: and it is used" test $((before_use - $(movable_free))) -ge 8192
rm -f /dev/shm/fill
check "kmem: the memory is offlined again" wait_for 60 sh -c "echo unplugged >$state 2>/dev/null"
equal "kmem: the memory is given back" "$before" "$(total)"
check "kmem: its driver unbinds" sh -c "echo $dax >$BUS/drivers/kmem/unbind"
check "kmem: and forgets the device" sh -c "echo $dax >$BUS/drivers/kmem/remove_id"
check "kmem: its module goes" rmmod kmem
check "device-dax: has it after that" sh -c "echo $dax >$BUS/drivers/device_dax/bind"
has_data "device-dax after kmem" "/dev/$dax" 4 2

# -- device mapper, on two disks
region=''
namespace
disk_a=$disk dev_a=$dev holder_a=$holder
start_a=$(data_start)
region=''
namespace
disk_b=$disk
start_b=$(data_start)
half=$((256 * MIB / 512))

# mapping NAME TABLE: $disk is that device.  unmapping NAME: it was.
mapping() {
	check "$1: the device is made" dmsetup create "$1" --table "$2"
	disk=/dev/mapper/$1
	check "$1: has DAX" is 1 cat "/sys/block/$(dmsetup info -c --noheadings -o blkdevname "$1")/queue/dax"
}
unmapping() {
	umount "$mnt"
	check "$1: the device goes" dmsetup remove "$1"
}

# ext4 NAME: a file system with DAX on $disk, at $mnt.
ext4_on() {
	mkfs.ext4 -q -F -b 4096 "$disk" || bail "$1: mkfs.ext4"
	check "$1: is mounted with DAX" mount -t ext4 -o dax=always "$disk" "$mnt"
	mountpoint -q "$mnt" || bail "$1: mount"
}

# has_file NAME MIB SEED: a file of that size, by calls and by mappings.
has_file() {
	truncate -s "$2M" "$mnt/file"
	check "$1: a file is written through a mapping" mapped fill "$mnt/file" 0 $(($2 * MIB)) "$3"
	equal "$1: it has DAX" dax "$(mapped dax "$mnt/file")"
	head -c "$2M" "$mnt/file" | sha256sum >/tmp/sum
	cp "$mnt/file" "$mnt/copy"
	equal "$1: its copy has its checksum" "$(cut -d' ' -f1 /tmp/sum)" "$(sha256sum <"$mnt/copy" | cut -d' ' -f1)"
	equal "$1: and its words" same "$(mapped verify "$mnt/copy" 0 $(($2 * MIB)) "$3")"
	umount "$mnt"
	mount -o dax=always "$disk" "$mnt" || bail "$1: mount again"
	equal "$1: the file is there after a remount" same "$(mapped verify "$mnt/file" 0 $(($2 * MIB)) "$3")"
}

# disk_of FILE PAGE: a or b.
disk_of() {
	local phys
	phys=$(poison phys "$1" "$2") || return
	if [ $((phys)) -ge $((start_b)) ] && [ $((phys)) -lt $((start_b + 512 * MIB)) ]; then
		echo b
	elif [ $((phys)) -ge $((start_a)) ] && [ $((phys)) -lt $((start_a + 512 * MIB)) ]; then
		echo a
	else
		echo "$phys"
	fi
}

# ext4 on a piece of a disk that does not begin with it.
mapping linear "0 $half linear $disk_a 65536"
ext4_on "linear, ext4"
has_file "linear, ext4" 4 3
unmapping linear

# XFS, which holds the device that it is on.
mapping linear "0 $((320 * MIB / 512)) linear $disk_a 65536"
xfs
has_file "linear, xfs" 4 4
check "linear, xfs: the device is in use" sh -c "! dmsetup remove linear 2>/dev/null"
unmapping linear

# A file that begins on one disk and ends on the other.
mapping span "0 65536 linear $disk_a 0
65536 65536 linear $disk_b 0"
ext4_on span
# All that there is room for.
size=$(($(stat -f -c %a "$mnt") * 4096 / MIB - 2))
fallocate -l "${size}M" "$mnt/file" || bail "span: fallocate"
pages=$((size * 256))
has_data span "$mnt/file" "$size" 5
equal "span: the file is on both disks" "a b" \
	"$(for page in 0 $((pages / 4)) $((pages / 2)) $((pages * 3 / 4)) $((pages - 1)); do disk_of "$mnt/file" $page; done | sort -u | paste -sd' ')"
umount "$mnt"
mount -o dax=always "$disk" "$mnt" || bail "span: mount again"
equal "span: the file is there after a remount" same "$(mapped verify "$mnt/file" 0 $((size * MIB)) 5)"
unmapping span

# Stripes: every 2 MiB the other disk.
mapping stripe "0 $half striped 2 4096 $disk_a 0 $disk_b 0"
ext4_on stripe
has_file stripe 8 6
equal "stripe: the file is on both disks" "a b" \
	"$(for page in 0 512 1024 1536; do disk_of "$mnt/file" $page; done | sort -u | paste -sd' ')"
unmapping stripe

# The write cache keeps its data where the dax core says.
modprobe dm-writecache || bail "modprobe dm-writecache"
truncate -s 64M /tmp/origin
loop=$(losetup -f --show /tmp/origin) || bail losetup
check "writecache: the device is made" dmsetup create writecache \
	--table "0 131072 writecache p $loop $disk_a 4096 0"
head -c 8M /dev/urandom >/tmp/data
check "writecache: is written" dd if=/tmp/data of=/dev/mapper/writecache bs=1M oflag=direct status=none
check "writecache: and read" cmp -n $((8 * MIB)) /tmp/data /dev/mapper/writecache
# After the number of errors come all blocks, of 4 KiB, and the free ones.
used=$(dmsetup status writecache | awk '$3 == "writecache" && $4 == 0 { print $5 - $6 }')
check "writecache: the data is in the cache ($used blocks)" test "$used" -ge 2048
check "writecache: is written back" dmsetup message writecache 0 flush
check "writecache: the device goes" dmsetup remove writecache
check "writecache: the data is behind it" cmp -n $((8 * MIB)) /tmp/data "$loop"
losetup -d "$loop"

# -- erofs
modprobe erofs || bail "modprobe erofs"
mkdir -p /tmp/tree/d
for i in 1 2 3; do
	poison fill "/tmp/tree/d/$i" 0 $((i * 200)) $i
done
# DAX is for files of whole blocks.
check "erofs: the image is made" mkfs.erofs -E noinline_data /tmp/image /tmp/tree
disk=$disk_a
dd if=/tmp/image of="$disk" bs=1M conv=fsync,notrunc status=none
check "erofs: is mounted with DAX" mount -t erofs -o ro,dax=always "$disk" "$mnt"
for i in 1 2 3; do
	equal "erofs: file $i is read through a mapping" same "$(mapped verify "$mnt/d/$i" 0 $((i * 200 * 4096)) $i)"
	equal "erofs: file $i has DAX" dax "$(mapped dax "$mnt/d/$i")"
done
umount "$mnt"

# -- the disk goes under ext4 with a file that was mapped.  (Not one that still is, or is
# open: neither ext4 nor the core then gives the page structs back in time, and the kernel
# oopses, C's and this one.)
disk=$disk_a dev=$dev_a holder=$holder_a
ext4_on "unbind under ext4"
truncate -s 1M "$mnt/file"
has_data "unbind under ext4" "$mnt/file" 1 7
unbind
check "unbind under ext4: the disk is gone" test ! -e "/sys/block/$dev"
equal "unbind under ext4: the file can be neither opened nor mapped" EIO "$(mapped verify "$mnt/file" 0 65536 7)"
check "unbind under ext4: it can be unmounted" umount "$mnt"
bind
check "unbind under ext4: and mounted again" mount -t ext4 -o dax=always "$disk" "$mnt"
equal "unbind under ext4: the file is there" same "$(mapped verify "$mnt/file" 0 $MIB 7)"
finish
