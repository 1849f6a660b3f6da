# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk goes while a page of a file with DAX is in a pipe, or is the target of direct I/O that
# has not ended: unbind waits, for as long as it takes, and the log says for which page of which
# file.  The task that waits can be killed; then the page structs stay with those that have the page,
# and the addresses stay reserved.  C frees the page structs, and oopses when the page is given back.
#
# expect: rust pass, c crash:free_pipe_info|anon_pipe_buf_release|generic_pipe_buf_release|zap_vma_range|dax_layout_busy_page_range|bio_release_pages|dio_bio_complete|bio_set_pages_dirty|bio_check_pages_dirty
# regions: 4
# sleeps: yes
# timeout: 400

. "$(dirname "$0")/../lib.sh"
plan 53

# said WORDS: does the kernel's log have them, after `from` lines?  Called by `check`.
# shellcheck disable=SC2317
said() {
	dmesg | tail -n +$((from + 1)) | grep -qE "$1"
}

# file_on FS: a disk with a file of 16 pages, at $file.
file_on() {
	namespace
	case $1 in
	xfs) mkfs.xfs -q -f -d agcount=1 --unsupported "$disk" >/tmp/mkfs 2>&1 || bail "mkfs.xfs: $(head -n 1 /tmp/mkfs)" ;;
	ext4) mkfs.ext4 -q -F -b 4096 "$disk" || bail mkfs.ext4 ;;
	esac
	mount -t "$1" -o dax=always "$disk" "$mnt" || bail "mount"
	file=$mnt/file
	truncate -s 64K "$file"
	mapped fill "$file" 0 65536 7
	sync
	number=$(stat -c %i "$file")
	from=$(dmesg | wc -l)
}

# remove: unbind begins, in a shell of its own.
remove() {
	sh -c "echo $holder >/sys/bus/nd/drivers/nd_pmem/unbind" 2>/tmp/unbind &
	remover=$!
}

# kept_by KIND: $keeper has the page; `give_back` ends that.  In any case it ends then: what
# waits for the page could not be ended if the test were.
kept_by() {
	rm -f /tmp/go /tmp/keeper
	fifo /tmp/go
	case $1 in
	pipe)
		timeout "$(patient 150)" pin pipe "$file" 0 4096 </tmp/go >/tmp/keeper 2>&1 &
		keeper=$!
		exec 6>/tmp/go
		wait_for 30 grep -q pinned /tmp/keeper || bail "pin: $(cat /tmp/keeper)"
		;;
	read)
		# A device that answers nothing until it is resumed.
		dmsetup suspend --noflush --nolockfs slow || bail "dmsetup suspend"
		sh -c "sleep $(patient 150); exec dmsetup resume slow" &
		resumer=$!
		python3 - "$file" >/tmp/keeper 2>&1 <<-'END' &
			import errno, mmap, os, signal, sys
			# The notice that the file is lost.
			signal.signal(signal.SIGBUS, signal.SIG_IGN)
			with open(sys.argv[1], "r+b") as file:
			    mapping = mmap.mmap(file.fileno(), 65536)
			mapping[0] = mapping[0]
			source = os.open("/dev/mapper/slow", os.O_RDONLY | os.O_DIRECT)
			print("pinned", flush=True)
			with memoryview(mapping) as view:
			    try:
			        print(os.preadv(source, [view[:4096]], 0), flush=True)
			    except OSError as e:
			        print(errno.errorcode[e.errno], flush=True)
			os._exit(0)
		END
		keeper=$!
		wait_for 30 grep -q pinned /tmp/keeper || bail "read: $(cat /tmp/keeper)"
		wait_for 30 blocked_in 'blkdev_read_iter|__blkdev_direct_IO|blkdev_direct_IO|submit_bio_wait' $keeper ||
			bail "read: it does not wait for its device"
		;;
	esac
}

give_back() {
	if [ "$1" = pipe ]; then
		echo reads >&6
		exec 6>&-
	else
		dmsetup resume slow
		kill "$resumer"
	fi
	wait_for 30 ended "$keeper"
	wait "$keeper"
}

# The device behind the slow one.
namespace
dmsetup create slow --table "0 2048 linear $disk 0" || bail "dmsetup create"
region=''

for fs in xfs ext4; do
	for kind in pipe read; do
		file_on $fs
		kept_by $kind
		remove
		check "$fs, $kind: the log says what unbind waits for" wait_for 60 said "page .*\b$number\b.*in use"
		# A limit of 10 or 20 s is over by then.
		[ $kind = read ] || sleep 25
		check "$fs, $kind: unbind waits" kill -0 $remover
		matches "$fs, $kind: the disk gives no memory any more" "@(E*|SIGBUS)" "$(mapped verify "$file" 0 65536 7)"
		give_back $kind
		if [ $kind = pipe ]; then
			equal "$fs, $kind: what was in it is what was in the page" same "$(tail -n 1 /tmp/keeper)"
		else
			equal "$fs, $kind: the I/O is whole" 4096 "$(tail -n 1 /tmp/keeper)"
		fi
		check "$fs, $kind: unbind ends" wait_for 60 ended $remover
		check "$fs, $kind: umount" timeout "$(patient 60)" umount "$mnt"
		bind
		check "$fs, $kind: it is mounted again" mount -t $fs -o dax=always "$disk" "$mnt"
		equal "$fs, $kind: the rest of the file is there" same "$(mapped verify "$file" 4096 61440 7)"
		umount "$mnt"
	done
done

# Registered buffers would be kept for longer than a file system can know.
file_on ext4
pin ring "$file" 0 4096 </dev/null >/tmp/ring 2>&1
matches "a buffer of io_uring cannot be DAX memory of a file" "*io_uring_register: Operation not supported*" "$(cat /tmp/ring)"
umount "$mnt"

# A mapping of the disk is of its page cache.
dd if=/dev/urandom of="$disk" bs=4096 count=1 conv=fsync status=none
file=$disk
kept_by pipe
remove
check "raw: unbind ends, the page is none of the disk's" wait_for 60 ended $remover
give_back pipe
equal "raw: what was in the pipe is what was in the page" same "$(tail -n 1 /tmp/keeper)"
bind

# An unlinked file: its inode is about to go, which waits for the page, too.
file_on xfs
kept_by pipe
rm "$file" &
remove_file=$!
wait_for 20 blocked_in 'dax_break_layout_final|xfs_fs_evict_inode' $remove_file || bail "rm does not wait for the page"
remove
check "unlinked: the log says what unbind waits for" wait_for 60 said "in use"
give_back pipe
check "unlinked: unbind ends" wait_for 60 ended $remover
check "unlinked: rm ends" wait_for 60 ended $remove_file
check "unlinked: umount" timeout "$(patient 60)" umount "$mnt"
bind

# The task that waits is killed.
for fs in xfs ext4; do
	region=''
	file_on $fs
	kept_by pipe
	remove
	wait_for 60 said "in use: the removal waits|removal of .* waits" || bail "$fs: unbind does not wait"
	kill -9 $remover
	check "$fs, killed: the task that waited ends" wait_for 60 ended $remover
	check "$fs, killed: the log says what becomes of the memory" said "stays reserved until the next reboot"
	check "$fs, killed: the disk is gone" test ! -e "/sys/block/$dev"
	check "$fs, killed: it cannot be bound" sh -c "! echo $holder >/sys/bus/nd/drivers/nd_pmem/bind"
	check "$fs, killed: another disk can be used" dd if=/dev/mapper/slow of=/dev/null bs=4096 count=1 status=none
	give_back pipe
	equal "$fs, killed: the page had its contents to the end" same "$(tail -n 1 /tmp/keeper)"
	check "$fs, killed: umount" timeout "$(patient 60)" umount "$mnt"
done
finish
