# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What follows from a failure, by its source: the table of Source::steps() in failure.rs, row by
# row but for Io, which takes memory that fails when it is read.  Each source fails a page of its own
# of one file.
#
#   record    the page is in badblocks, and reads of it are EIO
#   suspect   it may be unmapped later: debugfs counts it
#   tell      a task that mapped it gets SIGBUS
#   mark      its struct page has the HWPoison flag
#   remember  the next driver that binds knows it
#
# expect: rust pass
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 26

page=4096

# suspects: how many ranges may be unmapped.
suspects() {
	sed -n 's/^ranges that may be unmapped: //p' "/sys/kernel/debug/nd_pmem-$dev/poison"
}

namespace
xfs
f=$mnt/file
poison fill "$f" 0 32 5
sync
declare -A pages=([mm]=2 [agent]=6 [sysfs]=14 [bus]=18)

# Where they are: a page that failed does not say so any more.
declare -A places sectors
for source in "${!pages[@]}"; do
	places[$source]=$(poison phys "$f" "${pages[$source]}")
	sectors[$source]=$(sectors_of "$f" "${pages[$source]}")
done

# fails SOURCE: has it fail its page.
fails() {
	local at=${pages[$1]} phys=${places[$1]}
	case $1 in
	mm) poison madv "$f" "$at" >/dev/null ;;
	agent) echo "$((phys - $(data_start))) $page" >"/sys/block/$dev/dax/report_failure" ;;
	sysfs) echo "${sectors[sysfs]}" >"$bb" ;;
	esac
}

# source  suspect  tell  mark  for each source that a mounted disk can have.
while read -r source suspect tell mark; do
	at=${pages[$source]} phys=${places[$source]}
	before=$(suspects)
	watch "$source" "$f" "$at"
	fails "$source"
	stop_watching
	equal "$source: it is on record" "${sectors[$source]}" "$(grep -x "${sectors[$source]}" "$bb")"
	equal "$source: and reads of it are EIO" EIO "$(poison pread "$f" $((at * page)) $page)"
	[ "$suspect" = no ] || before=$((before + 1))
	equal "$source: it is a suspect: $suspect" "$before" "$(suspects)"
	[ "$tell" = yes ] && told="told SIGBUS offset=$(printf '%#x' $((at * page)))" || told="not told"
	equal "$source: its user is told: $tell" "$told" "$(told "$source")"
	equal "$source: its page is marked: $mark" "$([ "$mark" = yes ] && echo 0 || echo none)" "$(poison flags "$phys" 1)"
done <<END
mm yes yes yes
agent no yes yes
sysfs no no no
END

# The bus is told while no driver is there.
phys=${places[bus]}
umount "$mnt"
unbind
hw-poison "$phys"
region=$(basename "$(dirname "$(readlink -f "/sys/bus/nd/devices/$ns")")")
wait_for 20 grep -qx "$(((phys - $(cat "/sys/bus/nd/devices/$region/resource")) / 512)) 8" "/sys/bus/nd/devices/$region/badblocks" ||
	bail "the bus is not told"
bind
for source in mm agent; do
	check "$source: the next driver knows it" grep -x "${sectors[$source]}" "$bb"
done
check "sysfs: it went with the disk" sh -c "test -r $bb && ! grep -x '${sectors[sysfs]}' $bb"
check "bus: the driver learns it when it binds" grep -x "${sectors[bus]}" "$bb"
equal "bus: its page is not marked" none "$(poison flags "$phys" 1)"
equal "bus: and reads of it are EIO" EIO "$(poison pread "$disk" $((phys - $(data_start))) $page direct)"

# All that it learns from the bus may have failed under the driver before, which mm was told of.
equal "bus: all that the driver learned are suspects" 3 "$(suspects)"

# Nothing was forgotten and nothing made up: what is overwritten is good.
for source in mm agent bus; do
	dd if=/dev/zero of="$disk" bs=512 seek="${sectors[$source]% *}" count=8 oflag=direct conv=notrunc status=none
done
equal "what was overwritten is good" - "$(bad_sectors)"
unbind
bind
equal "and so it is for the next driver" - "$(bad_sectors)"
check "the file system is mounted again" mount -t xfs -o dax=always "$disk" "$mnt"
equal "the pages in between are whole" same "$(poison verify "$f" 19 13 5)"
finish
