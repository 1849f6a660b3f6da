# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A failure is reported by a machine check or by a process that does not use the page.  After
# that no process maps the page.  Early-kill tasks are notified at once, all others when they
# touch the page.
#
# expect: rust pass, c fail
# debug: always
# regions: 2
# timeout: 300
# rounds: 100
# debug-rounds: 20

. "$(dirname "$0")/../lib.sh"
plan 119

# Rounds are processes here, where there are many.
many=$(asked_for rounds)
many=${many:-100}

namespace
xfs
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
number=0

# fails HOW FILE PAGE: the page fails.
fails() {
	local phys
	case $1 in
	hw) inject hw "$2" "$3" >/dev/null ;;
	offline)
		phys=$(poison phys "$2" "$3")
		# The task that reports must not be the one that had the page mapped for `phys`.
		echo "$phys" >/sys/devices/system/memory/hard_offline_page || echo "# it says that it failed"
		;;
	pfn) corrupt "$(pfn_of "$2" "$3")" ;;
	esac
}

# lost NAME HOW PROCESSES KIND TOLD [FILES [defect] [defect]]: PROCESSES that map a page of FILES files, which share
# it, lose the page, and TOLD of them are told before they touch it.
lost() {
	local name=$1 how=$2 processes=$3 kind=$4 told=$5 files=${6:-1} page=5 f i list have
	number=$((number + 1))
	# On plain C a read of a page that files share unmaps it from the other users of the file.
	have=$processes
	[ "$files" = 1 ] || [ "$kernel" != c ] || have=$files
	f=$mnt/$number
	poison fill "$f" 0 8 3
	list=("$f")
	for ((i = 1; i < files; i++)); do
		cp --reflink=always "$f" "$f.$i"
		list+=("$f.$i")
	done
	sync
	mappers_of "$processes" "$kind" $page "${list[@]}"
	equal "$name: $have have the page" "$have" "$(ask mapped)"
	fails "$how" "$f" $page
	if [ "$told" = 0 ]; then
		defect equal "$name: nobody has it when the failure is dealt with" 0 "$(ask mapped)"
		equal "$name: no task is notified that does not touch it" none "$(ask told)"
	else
		# With tasks to notify, C unmaps too, as far as it finds them.
		${8:-} equal "$name: nobody has it when the failure is dealt with" 0 "$(ask mapped)"
		${7:-} equal "$name: early-kill tasks are notified" "$told SIGBUS code=MCEERR_AO lsb=12 offset=0x5000" "$(ask told)"
	fi
	defect equal "$name: a touch tells where it is" "$processes SIGBUS code=MCEERR_AR lsb=12 offset=0x5000" "$(ask touch)"
	end_mappers
	equal "$name: its neighbours are good" same "$(poison verify "$f" 6 2 3)"
}

for how in hw offline pfn; do
	lost "$how, one mapper" $how 1 shared 0
done
lost "$many processes" offline "$many" shared 0
lost "10 files that share it" offline 10 shared 0 10
lost "$many processes of 10 files" offline "$many" shared 0 10
lost "10 files that share it, a machine check" hw 10 shared 0 10
lost "read-only mappings" offline 3 readonly 0
lost "private mappings" offline 3 private 0
lost "$many processes, asked to be told" offline "$many" shared,early "$many"
# One has lost its entry in the page table to a reader of the same file.
lost "10 files, asked to be told" offline 10 shared,early 10 10 defect
lost "$many processes of 10 files, asked to be told" offline "$many" shared,early "$many" 10 defect
lost "private, asked to be told" offline 3 private,early 3
lost "without their first threads, asked to be told" offline 3 shared,early,headless 3 1 defect defect

knob=/proc/sys/vm/memory_failure_early_kill
echo 1 >$knob || bail "$knob"
lost "by default" offline "$many" shared "$many"
lost "by default, 10 files" offline 10 shared 10 10 defect
lost "by default, private" offline 3 private 3
lost "by default, but not these" offline 3 shared,late 0
echo 0 >$knob
lost "not by default any more" offline 3 shared 0

# A task that has a copy of the page has lost nothing.
f=$mnt/copied
poison fill "$f" 0 8 3
mappers_of 3 copied,early 5 "$f"
poison touch "$f" 5 >/dev/null
fails offline "$f" 5
equal "copies: stay mapped" 3 "$(ask mapped)"
defect equal "copies: nobody is told" none "$(ask told)"
equal "copies: and are what they were" "3 byte 0x63" "$(ask touch)"
defect equal "copies: what they are copies of is bad" EIO "$(poison pread "$f" $((5 * 4096)) 4096)"
end_mappers

# A file system that does not know whose a block is.
umount "$mnt"
region=''
namespace
# For xfs.
# shellcheck disable=SC2034
mkfs_options="-m rmapbt=0,reflink=1"
xfs
lost "no reverse map, one file" offline 3 shared 0
lost "no reverse map, 10 files" offline 10 shared 0 10
lost "no reverse map, 10 files, asked to be told" offline 10 shared,early 10 10 defect defect
lost "no reverse map, 10 files, without their first threads" offline 10 shared,headless 0 10
finish
