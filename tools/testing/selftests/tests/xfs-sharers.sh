# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A page that many files share (reflink) goes bad: all tasks that map it in any of them are
# notified, whether there are 1, 10 or 1000 files and 100 processes, and no other task is.
#
# expect: rust pass, c pass
# timeout: 300

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 17

modprobe dax_holder_test || bail "modprobe dax_holder_test"
namespace
holder_open "$disk"
mkfs_xfs
poison fill "$mnt/0" 0 16 5
poison fill "$mnt/other" 0 16 6
sync
made=1
# sharers COUNT: so many files share all their pages.
sharers() {
	python3 - "$mnt" "$made" "$1" <<-'END' || bail "the clones"
		import fcntl, os, sys
		source = os.open(sys.argv[1] + "/0", os.O_RDONLY)
		for number in range(int(sys.argv[2]), int(sys.argv[3])):
		    fd = os.open(f"{sys.argv[1]}/{number}", os.O_CREAT | os.O_RDWR)
		    fcntl.ioctl(fd, 0x40049409, source)  # FICLONE
		    os.close(fd)
	END
	made=$1
	sync
}

# told_in PAGE: how many of the tasks $names were notified that this page is lost, and of no more.
told_in() {
	local name words number=0
	for name in "${names[@]}"; do
		mapfile -t words <"/tmp/$name"
		[ "${words[1]}" != "told SIGBUS offset=0x${1}000" ] || number=$((number + 1))
	done
	echo $number
}

for files in 1 10 1000; do
	sharers $files
	# All of them are in core.
	stat "$mnt"/* >/dev/null
	watchers=100
	[ $files -ge 100 ] || watchers=$files
	for ((i = 0; i < watchers; i++)); do
		# From all over the order in which the reverse map has them.
		watch_soon "in$i" "$mnt/$((i * files / watchers))" 3
	done
	mapfile -t names < <(seq -f in%g 0 $((watchers - 1)))
	all_watch "${names[@]}"
	watch next "$mnt/0" 4
	watch other "$mnt/other" 3
	equal "$files files: the failure is reported" 0 "$(notify "$(place_of "$mnt/0" 3)" 4096)"
	stop_watching
	equal "$files files: all $watchers tasks that map them are notified" $watchers "$(told_in 3)"
	equal "$files files: the task that maps the next page is not" "not told" "$(told next)"
	equal "$files files: nor the task that maps another file" "not told" "$(told other)"
	check "$files files: it is not shut down" works
done

# Of a file of its own: a fault in a shared page takes it from the file's other users.
for ((i = 0; i < 100; i++)); do watch_soon "in$i" "$mnt/other" 5; done
all_watch "${names[@]}"
equal "100 processes: the failure is reported" 0 "$(notify "$(place_of "$mnt/other" 5)" 4096)"
stop_watching
equal "100 processes: all are told" 100 "$(told_in 5)"
holder_close
finish
