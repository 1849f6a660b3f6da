# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Failures are reported without a pause while tables come and go: a volume on a volume is
# suspended and gets another table of the same data, volumes are created beside it and removed,
# file systems are mounted and unmounted.  Each report and each reload ends, XFS is told until the
# end, and no holder is left.
#
# expect: rust pass
# cpus: 2
# debug: always
# regions: 2
# timeout: 300
# rounds: 20
# debug-rounds: 6

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
plan 11

MIB=1048576
rounds=$(asked_for rounds)
rounds=${rounds:-20}
modprobe dax_holder_test || bail "modprobe"
namespace
disk_a=$disk
region=''
namespace
disk_b=$disk
size=$((310 * MIB / 512))
holders() {
	grep -lxE "disk: ($(basename "$disk_a")|$(basename "$disk_b"))" /sys/kernel/debug/dax/* | xargs grep -h '^holder: ' | wc -l
}

dmsetup create below --table "0 $size linear $disk_a 65536" || bail "dmsetup create"
dmsetup create volume --table "0 $size linear /dev/mapper/below 0" || bail "dmsetup create"
disk=/dev/mapper/volume
mkfs_xfs
poison fill "$mnt/file" 0 64 1
sync
at=$((65536 * 512 + $(place_of "$mnt/file" 5)))

# Two tasks report, of both disks.  Each line of the files is a round of reports.
rm -f /tmp/enough
reported() {
	wc -l <"/tmp/reported_$1"
}
for which in a b; do
	below=disk_$which
	holder_open "${!below}"
	name=$holder_name
	: >/tmp/reported_$which
	(
		while [ ! -e /tmp/enough ]; do
			for len in 100 4096 $((59 * 4096)); do
				echo "notify $name $at $len 0" >"$control"
			done 2>/dev/null
			echo >>/tmp/reported_$which
		done
	) &
	reporters+=($!)
	names+=("$name")
done

# more: has each of them reported since they had done $before_a and $before_b rounds?  Called by wait_for.
# shellcheck disable=SC2317
more() {
	[ "$(reported a)" -gt "$before_a" ] && [ "$(reported b)" -gt "$before_b" ]
}
before_a=0 before_b=0
wait_for 60 more || {
	touch /tmp/enough
	bail "no failures are reported"
}

mkdir -p /mnt/other
done_rounds=0
for ((round = 0; round < rounds; round++)); do
	dmsetup suspend volume || break
	dmsetup load volume --table "0 $size linear /dev/mapper/below 0" || break
	dmsetup resume volume || break
	# Without a suspended file system, and in two targets.
	dmsetup suspend --nolockfs below || break
	half=$((size / 2 + round))
	dmsetup load below <<-END || break
		0 $half linear $disk_a 65536
		$half $((size - half)) linear $disk_a $((65536 + half))
	END
	dmsetup resume below || break
	dmsetup create other --table "0 $((128 * MIB / 512)) linear $disk_b 8192" || break
	if [ $((round % 4)) = 0 ]; then
		mkfs.xfs -q -f --unsupported /dev/mapper/other >/dev/null 2>&1 || break
		mount -t xfs -o dax=always /dev/mapper/other /mnt/other || break
		poison fill /mnt/other/file 0 64 2
		umount /mnt/other || break
	fi
	wait_for 10 dmsetup remove other || break
	done_rounds=$((done_rounds + 1))
done
before_a=$(reported a) before_b=$(reported b)
check "failures are reported to the end" wait_for 60 more
touch /tmp/enough
equal "all rounds are done" "$rounds" "$done_rounds"
for i in 0 1; do
	check "reporter $i ends" wait_for 60 ended "${reporters[i]}"
done
echo "# $(reported a) and $(reported b) rounds of reports"
check "the file system goes on" works
equal "and has its data" same "$(poison verify "$mnt/file" 0 64 1)"

# It is still told.
watch user "$mnt/file" 5
echo "notify ${names[0]} $at 4096 0" >"$control"
stop_watching
equal "a user is told" "told SIGBUS offset=0x5000" "$(told user)"
umount "$mnt"
for name in "${names[@]}"; do
	echo "close $name" >"$control"
done
check "the volume goes" dmsetup remove volume
check "and the one below it" dmsetup remove below
equal "no holder is left" 0 "$(holders)"
for which in a b; do
	below=disk_$which
	dmsetup create all --table "0 $size linear ${!below} 0" || bail "dmsetup create"
	dmsetup remove all
done
equal "nor after another" 0 "$(holders)"
finish
