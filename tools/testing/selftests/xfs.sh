# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests of XFS's failures share: where things are in a file system, how to
# report a failure of any bytes, and who was told.  After lib.sh; see also its xfs().

# Those of lib.sh, and what the test has from fsmap.
mnt=${mnt:?lib.sh comes first} map=''
control=/sys/kernel/debug/dax_holder_test/control
holders=0 holder_name=''
pids=()

# holder_open DISK: failures are reported to that disk's dax device from now on.
holder_open() {
	holders=$((holders + 1))
	# The module keeps the names of the tests before.
	holder_name=h$$x$holders
	echo "open $holder_name $1" >"$control" || bail "open $1"
	echo "ref $holder_name" >"$control" || bail "$1 has no dax device"
}

# holder_close: a disk that is to be removed must not be open.
holder_close() {
	echo "close $holder_name" >"$control"
}

# notify OFFSET LEN [FLAGS]: bytes of the dax device fail; 0, or the error's name.
notify() {
	local words
	# The shell's own echo writes in one go, and says why it could not.
	if words=$( (echo "notify $holder_name $1 $2 ${3:-0}" >"$control") 2>&1); then
		echo 0
		return
	fi
	case $words in
	*"needs cleaning") echo EUCLEAN ;;
	*"No such device or address") echo ENXIO ;;
	*"Operation not supported") echo EOPNOTSUPP ;;
	*) echo "${words##*: }" ;;
	esac
}

# mkfs_xfs: as xfs() of lib.sh, with $mount_options.  Sets $agsize, in bytes.
mkfs_xfs() {
	local words
	# shellcheck disable=SC2086,SC2154
	words=$(mkfs.xfs -f ${mkfs_options:-} "$disk" 2>&1) || bail "mkfs.xfs: $(head -n 1 <<<"$words")"
	agsize=$(($(sed -n 's/.*agsize=\([0-9]*\) .*/\1/p' <<<"$words") * 4096))
	mount -t xfs -o "dax=always${mount_options:+,$mount_options}" "$disk" "$mnt" || bail "mount $disk"
}

# fsmap: who has which sectors of $disk: "FIRST LAST WHOSE" each.
fsmap() {
	local numbers
	numbers=$(lsblk -dno MAJ:MIN "$disk" 2>/dev/null || printf '%d:%d' "0x$(stat -c %t "$disk")" "0x$(stat -c %T "$disk")")
	xfs_io -c fsmap "$mnt" | sed -nE "s/^[[:space:]]*[0-9]+: ${numbers// /} \[([0-9]+)\.\.([0-9]+)\]: (.*) [0-9]+\$/\1 \2 \3/p"
}

# place WHOSE [GROUP]: the first byte of the first such place of $map.
place() {
	awk -v whose="^($1)\$" -v group="${2:-}" -v size="$agsize" '{
		first = $1
		sub(/^[0-9]+ [0-9]+ /, "")
		if ($0 ~ whose && (group == "" || int(first * 512 / size) == group)) {
			printf "%d\n", first * 512
			found = 1
			exit
		}
	}
	END { exit !found }' <<<"$map"
}

# place_of FILE PAGE: the byte of the file system's device at which the page begins.
place_of() {
	xfs_io -r -c bmap "$1" | awk -F'[]:. []+' -v at="$(($2 * 8))" '
		$4 ~ /^[0-9]+$/ && $2 <= at && at <= $3 { printf "%d\n", ($4 + at - $2) * 512; found = 1 }
		END { exit !found }'
}

# works: does the file system still take writes?
works() {
	dd if=/dev/zero of="$mnt/try" bs=4096 count=1 conv=fsync status=none && rm "$mnt/try"
}

is_shut_down() {
	! works 2>/dev/null
}

# watch NAME FILE PAGE: a task uses the page; what becomes of it is in /tmp/NAME.
watch() {
	watch_soon "$@"
	wait_for 20 grep -qs ready "/tmp/$1" || bail "$1 cannot use $2"
}

# watch_soon NAME FILE PAGE: as `watch`, but for the wait.  With `all_watch NAME...`, which waits for
# these, many tasks begin at a time.
watch_soon() {
	# What a task of that name said before is not this one's.
	: >"/tmp/$1"
	user watch "$2" "$3" >"/tmp/$1" &
	pids+=($!)
}
all_watch() {
	wait_for 60 ready_all "$@" || bail "not all watch"
}
# Called by wait_for.
# shellcheck disable=SC2317
ready_all() {
	local name word
	for name; do
		word=''
		read -r word <"/tmp/$name"
		[ "$word" = ready ] || return 1
	done
}

# stop_watching: and tell.  This is also how the tests know that nobody was told: a failure sends
# its SIGBUS before the report returns, and sigwaitinfo() takes that one before this SIGTERM.
stop_watching() {
	kill "${pids[@]}" 2>/dev/null
	wait "${pids[@]}"
	pids=()
}

# told NAME: what it says when nothing more comes.
told() {
	sed -n 2p "/tmp/$1"
}

# evict: mount again, and leave every inode in core without being a file: bulkstat reads
# them in and keeps none, and to be reclaimed they wait for some seconds.
evict() {
	release
	mount -t xfs -o "dax=always${mount_options:+,$mount_options}" "$disk" "$mnt" || bail "mount again"
	xfs_io -c bulkstat "$mnt" >/tmp/bulkstat || bail "bulkstat"
}

# reset_later: C's processor or locks do not come back, and the machine would not end.
reset_later() {
	(
		sleep "${1:-10}"
		echo b >/proc/sysrq-trigger
	) >/dev/null 2>&1 &
}

# monitor_losses: XFS's health monitor of $mnt notes in /tmp/lost what is lost: the number of the inode
# for each event, after "ready".  Sets $listener.
monitor_losses() {
	python3 - "$mnt" >/tmp/lost 2>&1 <<-'END' &
		import ctypes, os, struct, sys
		libc = ctypes.CDLL(None, use_errno=True)
		fd = os.open(sys.argv[1], os.O_RDONLY)
		# XFS_IOC_HEALTH_MONITOR
		monitor = libc.ioctl(fd, ctypes.c_ulong(0x40205844), ctypes.create_string_buffer(struct.pack("=QB23x", 1, 0)))
		if monitor < 0:
		    sys.exit("health monitor: " + os.strerror(ctypes.get_errno()))
		print("ready", flush=True)
		while True:
		    data = os.read(monitor, 4096)
		    for at in range(0, len(data), 64):
		        _, kind, _, _, _, number = struct.unpack_from("=IIQQQQ", data, at)
		        # XFS_HEALTH_MONITOR_TYPE_DATALOST
		        if kind == 12:
		            print("lost", number, flush=True)
	END
	# For the test, which kills it.
	# shellcheck disable=SC2034
	listener=$!
	wait_for 20 grep -q ready /tmp/lost || bail "$(cat /tmp/lost)"
}

# lost FILE: is it reported to have lost something?
# shellcheck disable=SC2317
lost() {
	grep -qx "lost $(stat -c %i "$1")" /tmp/lost
}
