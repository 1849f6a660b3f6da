# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The matrix of layers: LAYER x FILE SYSTEM x EVENT, for the tests layers-*.sh.  After lib.sh and
# xfs.sh.  Each cell is one check, and one line "# layers: LAYER FS EVENT: OUTCOME".
#
#   LAYER   disk, partition, linear (extents of 256 KiB, the last of the disk first), stripe (two disks,
#           64 KiB), nested (linear, as above, on a linear volume)
#   FS      xfs, ext4, erofs; none: the block device is mapped, which goes through the page cache
#   EVENT   page: one page fails.  range: 8 KiB of the disk are reported to dax/report_failure.  On
#           a volume their halves belong to two targets (to two chunks of stripes), and to pages of
#           the file that are not side by side.  removal: the disk is unbound.

# Those of lib.sh.
mnt=${mnt:?lib.sh comes first} disk='' dev='' MIB=1048576
# Pages of a file.
PAGES=256
# Bytes of an extent of a linear volume.
EXTENT=262144
# The size of a volume, in MiB.
VOLUME=384
# Four file systems, three events.
# shellcheck disable=SC2034
CELLS_OF_A_LAYER=12
layer='' fs='' volume='' first=0 second=0 beside=0
files=()

# two_nvdimms: the second of them, b, fails and goes.
two_nvdimms() {
	modprobe -a hwpoison-inject erofs || bail "modprobe"
	namespace
	disk_a=$disk
	# shellcheck disable=SC2034
	region=''
	namespace
	disk_b=$disk dev_b=$dev start_b=$(($(data_start)))
	entry=/sys/block/$dev_b/dax/report_failure
	mkdir -p /tmp/tree
	poison fill /tmp/tree/file 0 $PAGES 1
	cp /tmp/tree/file /tmp/tree/twin
	poison fill /tmp/tree/other 0 8 2
	poison fill /tmp/tree/single 0 64 3
	# The twins share their chunks.
	mkfs.erofs --chunksize=4096 -E noinline_data,force-inode-extended /tmp/image /tmp/tree >/tmp/mkfs.out 2>&1 ||
		bail "mkfs.erofs: $(tail -n 1 /tmp/mkfs.out)"
}

# backwards DISK SECTOR: a table of extents from that sector of the disk on, the last one first.
backwards() {
	awk -v disk="$1" -v from="$2" -v count=$((VOLUME * MIB / EXTENT)) -v size=$((EXTENT / 512)) 'BEGIN {
		for (i = 0; i < count; i++)
			print i * size, size, "linear", disk, from + (count - 1 - i) * size
	}'
}

# make_layer: $volume.  unmake_layer
make_layer() {
	volume=/dev/mapper/$layer
	case $layer in
	disk) volume=$disk_b ;;
	partition) volume=${disk_b}p2 ;;
	linear) backwards "$disk_b" 16384 | dmsetup create linear ;;
	stripe) dmsetup create stripe --table "0 $((VOLUME * 2048)) striped 2 128 $disk_a 8192 $disk_b 16384" ;;
	nested)
		dmsetup create below --table "0 $((400 * 2048)) linear $disk_b 32768" &&
			backwards /dev/mapper/below 4096 | dmsetup create nested
		;;
	esac || bail "dmsetup create $layer"
	wait_for 10 test -b "$volume" || bail "there is no $volume"
}
unmake_layer() {
	case $layer in
	disk | partition) ;;
	nested) dmsetup remove nested && dmsetup remove below ;;
	*) dmsetup remove "$layer" ;;
	esac
}

# below BYTE: which byte of disk b is that byte of the volume?
below() {
	local row=$(($1 / 131072)) backwards=$((VOLUME * MIB - (($1 / EXTENT) + 1) * EXTENT + $1 % EXTENT))
	case $layer in
	disk) echo "$1" ;;
	partition) echo $(($(<"/sys/class/block/${dev_b}p2/start") * 512 + $1)) ;;
	linear) echo $((8 * MIB + backwards)) ;;
	stripe) echo $((8 * MIB + row * 65536 + $1 % 65536)) ;;
	nested) echo $((18 * MIB + backwards)) ;;
	esac
}

# page_below PAGE: the same for a page of the file.
page_below() {
	below $((file_start + $1 * 4096))
}

# choose_pages: $first and $second are side by side on disk b, and on a volume not in the file.
choose_pages() {
	local at
	case $layer in
	disk | partition) first=100 second=101 ;;
	linear | nested)
		# The end of an extent, and the start of the one before it.
		at=$(((file_start + EXTENT - 1) / EXTENT * EXTENT))
		second=$(((at - file_start) / 4096)) first=$(((at + 2 * EXTENT - file_start) / 4096 - 1))
		;;
	stripe)
		# The end of a chunk of b, and the start of b's next one.
		at=$(((file_start + 131071) / 131072 * 131072))
		first=$(((at + 131072 - file_start) / 4096 - 1)) second=$(((at + 196608 - file_start) / 4096))
		;;
	esac
	# A neighbour in the file that does not fail.
	beside=$((first - 1))
	[ "$(($(page_below $first) + 4096))" = "$(page_below $second)" ] || bail "$layer: the pages are not side by side"
}

# make_fs: with a file, its twin where the file system can share blocks, and another file.
make_fs() {
	local page
	file_start=0
	case $fs in
	xfs) mkfs.xfs -q -f "$volume" >/tmp/mkfs.out 2>&1 ;;
	ext4) mkfs.ext4 -q -F -b 4096 "$volume" >/tmp/mkfs.out 2>&1 ;;
	erofs) dd if=/tmp/image of="$volume" bs=1M oflag=direct conv=notrunc status=none ;;
	none) dd if=/tmp/tree/file of="$volume" bs=1M oflag=direct conv=notrunc status=none ;;
	esac || bail "$layer: mkfs.$fs: $(head -n 1 /tmp/mkfs.out)"
	files=("$mnt/file" "$mnt/twin")
	case $fs in
	none)
		files=("$volume")
		choose_pages
		return
		;;
	erofs)
		mount -t erofs -o ro,dax=always "$volume" "$mnt" || bail "$layer: mount of $fs"
		;;
	*)
		mount -t $fs -o dax=always "$volume" "$mnt" || bail "$layer: mount of $fs"
		fallocate -l $((PAGES * 4096)) "$mnt/file"
		poison fill "$mnt/file" 0 $PAGES 1
		poison fill "$mnt/other" 0 8 2
		if [ $fs = xfs ]; then cp --reflink=always "$mnt/file" "$mnt/twin"; else files=("$mnt/file"); fi
		sync
		;;
	esac
	file_start=$(($(xfs_io -r -c fiemap "$mnt/file" | sed -nE 's/.*: \[0\.\.[0-9]+\]: ([0-9]+)\.\..*/\1/p' | head -n 1) * 512))
	choose_pages
	for page in $first $second; do
		[ "$(mapped pfn "$mnt/file" $((page * 4096)) 4096)" = $(((start_b + $(page_below "$page")) / 4096)) ] ||
			bail "$layer, $fs: page $page is somewhere else"
	done
}
mount_fs() {
	case $fs in
	none) ;;
	erofs) mount -t erofs -o ro,dax=always "$volume" "$mnt" ;;
	*) mount -t $fs -o dax=always "$volume" "$mnt" ;;
	esac
}

# start_users SECOND: two tasks have the first page of the file (or of it and its twin), two the second
# one where that fails, too, and more have pages that stay good.  They open the file for reading: a
# task with early kill that maps it shared and writable is told of any of its pages.
start_users() {
	local i names=(beside0 beside1)
	mappers_of 2 readonly,early $first "${files[@]}"
	for i in 0 1; do
		watch_soon "beside$i" "${files[i % ${#files[@]}]}" $beside
		[ -n "$1" ] || continue
		watch_soon "second$i" "${files[i % ${#files[@]}]}" $second
		names+=("second$i")
	done
	if [ "$fs" != none ]; then
		watch_soon other "$mnt/other" 3
		names+=(other)
	fi
	all_watch "${names[@]}"
}

# users_of PAGE NAME...: how many of these watchers were told of that page.
users_of() {
	local page=$1 name count=0
	shift
	for name; do
		[ "$(told "$name")" != "told SIGBUS offset=$(printf %#x $((page * 4096)))" ] || count=$((count + 1))
	done
	echo $count
}

# short WORDS [PAGE]: what the mappers say, without what depends on the layer: the size of the entry.
short() {
	local offset
	offset=$(printf %#x $((${2:-first} * 4096)))
	case $1 in
	"2 SIGBUS code=MCEERR_AO lsb=1"[23]" offset=$offset") echo "2 SIGBUS" ;;
	"2 SIGBUS code=MCEERR_AR lsb=12 offset=$offset") echo "2 SIGBUS" ;;
	"2 SIGBUS code=other lsb=0 offset=$offset") echo "2 SIGBUS" ;;
	"2 byte "*) echo "2 read" ;;
	*) echo "$1" ;;
	esac
}

# good_pages BAD...: "good" when all pages of the files but these are as they were.
good_pages() {
	local file from bad said=same
	for file in "${files[@]}"; do
		from=0
		for bad in $(printf '%s\n' "$@" $PAGES | sort -n); do
			[ "$bad" = "$from" ] || said=$(poison verify "$file" $from $((bad - from)) 1)
			[ "$said" = same ] || { echo "$file: $said" && return; }
			from=$((bad + 1))
		done
	done
	[ "$fs" = none ] || said=$(poison verify "$mnt/other" 0 8 2)
	[ "$said" = same ] && echo good || echo "other: $said"
}

# reads FILE PAGE: what read() of it says.
reads() {
	local words
	if words=$(dd if="$1" of=/dev/null bs=4096 skip="$2" count=1 status=none 2>&1); then
		echo 4096
	elif [[ $words == *"Input/output error"* ]]; then
		echo EIO
	else
		echo "$words"
	fi
}

# cell EVENT WANTED OUTCOME
cell() {
	echo "# layers: $layer $fs $1: $3"
	equal "$layer, $fs, $1" "$2" "$3"
}

# fails EVENT: a page or a range fails, is told, and is repaired through the disk below.
fails() {
	local at told=() others reads page wanted outcome bad=("$first")
	at=$(page_below $first)
	[ "$1" = page ] || bad+=("$second")
	start_users "${bad[1]:-}"
	if [ "$1" = page ]; then
		corrupt $(((start_b + at) / 4096)) 2>/dev/null
	else
		echo "$at 8192" >"$entry" || bail "report_failure"
	fi
	stop_watching
	told=("$(short "$(ask told)")")
	[ "$1" = page ] || told+=("$(users_of $second second0 second1)")
	others=$(grep -l '^told' /tmp/beside0 /tmp/beside1 /tmp/other 2>/dev/null | wc -l)
	reads=$(for page in "${bad[@]}"; do reads "${files[0]}" "$page"; done | paste -sd' ')
	outcome="told: ${told[*]}; others: $others; mapped: $(ask mapped); touched: $(short "$(ask touch)"); read: $reads"
	outcome+="; on record: $(bad_sectors); the rest: $(good_pages "${bad[@]}")"
	end_mappers
	for page in "${bad[@]}"; do
		dd if=/tmp/tree/file of="$disk_b" bs=4096 skip="$page" seek=$(($(page_below "$page") / 4096)) count=1 \
			conv=notrunc oflag=direct status=none
	done
	outcome+="; repaired: $(bad_sectors) $(good_pages)"
	case $1/$fs in
	# The pages in the page cache are others, and good.
	page/none) wanted="told: none; others: 0; mapped: 2; touched: 2 read; read: 4096" ;;
	range/none) wanted="told: none 0; others: 0; mapped: 2; touched: 2 read; read: 4096 4096" ;;
	page/*) wanted="told: 2 SIGBUS; others: 0; mapped: 0; touched: 2 SIGBUS; read: EIO" ;;
	range/*) wanted="told: 2 SIGBUS 2; others: 0; mapped: 0; touched: 2 SIGBUS; read: EIO EIO" ;;
	esac
	cell "$1" "$wanted; on record: $((at / 512)) $((8 * ${#bad[@]})); the rest: good; repaired: - good" "$outcome"
	rm -f /tmp/second? /tmp/beside? /tmp/other
}

# removed: the disk is unbound, and bound again.
removed() {
	local unbinder returns=no wanted outcome said page=$first users=("${files[@]}")
	if [ $fs = erofs ]; then
		# A removal waits for a page that two inodes in core share, mapped or not.
		umount "$mnt"
		mount_fs || bail "$layer, $fs: it is not mounted again"
		users=("$mnt/single")
		for page in 5 21; do
			said=$(($(mapped pfn "${users[0]}" $((page * 4096)) 4096) * 4096))
			[ $said -lt "$start_b" ] || [ $said -ge $((start_b + 512 * MIB)) ] || break
		done
	fi
	mappers_of 2 readonly,early "$page" "${users[@]}"
	unbind &
	unbinder=$!
	! wait_for 60 ended $unbinder || returns=yes
	[ $returns = yes ] || bail "$layer, $fs: unbind does not return"
	outcome="unbind: returns; disk: $(test -e "/sys/block/$dev_b" && echo there || echo gone)"
	said=$(ask told)
	# The entry that is named may begin before the page.
	[[ $said != "2 SIGBUS code=MCEERR_AO lsb="* ]] || said="2 SIGBUS"
	outcome+="; told: $said; mapped: $(ask mapped); touched: $(short "$(ask touch)" "$page")"
	end_mappers
	release || bail "$layer, $fs: $mnt cannot be unmounted"
	unmake_layer || bail "$layer, $fs: the volume does not go"
	bind
	wait_for 20 test -b "$disk_b" || bail "$disk_b does not come back"
	make_layer
	mount_fs || bail "$layer, $fs: it is not mounted again"
	outcome+="; bound again: $(good_pages)"
	release
	unmake_layer
	case $fs in
	none) wanted="told: none; mapped: 2; touched: 2 read" ;;
	*) wanted="told: 2 SIGBUS; mapped: 0; touched: 2 SIGBUS" ;;
	esac
	cell removal "unbind: returns; disk: gone; $wanted; bound again: good" "$outcome"
}

# matrix LAYER...: all of them with all file systems and events.
matrix() {
	for layer; do
		[ "$layer" != partition ] || partitions 40 420
		for fs in xfs ext4 erofs none; do
			make_layer
			make_fs
			fails page
			fails range
			removed
		done
	done
}
