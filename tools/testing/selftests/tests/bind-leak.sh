# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The driver is bound and unbound in a loop: by itself, and below a volume with XFS.  Nothing is left
# of a round: memory (by the allocators' own events), inodes, address space, nodes of sysfs and
# debugfs.  A call site leaks if what it has left grows from the middle of the rounds to their end, by
# one in most rounds.  What bind, unbind and workers allocate is counted so, and not what mount and
# dmsetup do.  Pages that are not counted so are seen from 64 KiB a round on.
#
#   RDAX_ROUNDS=1000 run-all --kernel rust bind-leak
#
# The debug kernels look for leaks by themselves (kmemleak).
#
# expect: rust pass
# alone: yes
# rounds: 32
# debug-rounds: 6
# timeout: 120

. "$(dirname "$0")/../lib.sh"
plan 15

rounds=$(asked_for rounds)
rounds=${rounds:-32}
# Struct pages in memory: they come and go with the device, too.
namespace -m fsdax -M mem
tracing=/sys/kernel/tracing
echo 0 >$tracing/tracing_on
echo 16384 >$tracing/buffer_size_kb
echo 0 >$tracing/options/hash-ptr
for event in kmem/{kmalloc,kmem_cache_alloc,kfree,kmem_cache_free} percpu/percpu_{alloc,free}_percpu; do
	echo 1 >"$tracing/events/$event/enable"
done

# grown: of the events of its input, by how much what each call site has left grows from the line "half"
# to the end: "GROWTH SITE" each.  Allocations of this shell and of workers count, and all frees.
grown() {
	awk -v me=$$ '
		function sites(sum, ptr) {
			split("", sum)
			for (ptr in where) sum[where[ptr]]++
		}
		$0 == "half" { sites(half) }
		# Before "[CPU]" is the task, "COMMAND-PID", which may have spaces.
		!match($0, / +\[[0-9]+\] /) { next }
		{
			task = substr($0, 1, RSTART - 1)
			pid = task
			sub(/.*-/, "", pid)
			# What comes behind it: flags, time, event, call site, and the address.
			split(substr($0, RSTART + RLENGTH), word, " ")
			event = word[3]
			# The call site may be two words: a function, and its module.
			match($0, / ptr=[^ ]*/)
			ptr = substr($0, RSTART, RLENGTH)
			if (event ~ /^percpu/)
				ptr = "percpu" ptr
			# What is given out anew was freed, whether or not there was an event.
			delete where[ptr]
		}
		event ~ /alloc/ && event !~ /free/ && (pid == me || task ~ /kworker/) {
			match($0, /call_site=[^+ ]*/)
			where[ptr] = substr($0, RSTART + 10, RLENGTH - 10)
		}
		END {
			sites(all)
			for (site in all) print all[site] - half[site], site
		}'
}

# drain: what was traced goes to `grown`.
drain() {
	dd if=$tracing/trace_pipe iflag=nonblock bs=64k status=none 2>/dev/null >&8
}

# nodes: of sysfs and debugfs, as far as devices are there.
nodes() {
	find /sys/devices /sys/block /sys/bus /sys/class /sys/module /sys/kernel/debug/{dax,nd_pmem*,bdi,block} 2>/dev/null | sort
}

# free: in KiB, without what caches hold.
free() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^MemFree/ { print $2 }' /proc/meminfo
}

# areas: how many areas of vmalloc's space are in use.
areas() {
	grep -vc unpurged /proc/vmallocinfo
}

# loop NAME ROUNDS: so many of the function `round`.
loop() {
	local name=$1 rounds=$2 done_rounds areas free_before free_after lost leaks start=$SECONDS
	# What is made once only is there then.
	{ round && round; } || bail "$name: a first round"
	nodes >/tmp/nodes.before
	cat /proc/iomem >/tmp/iomem.before
	free_before=$(free) areas=$(areas)
	grown </tmp/events >/tmp/grown &
	local reader=$!
	exec 8>/tmp/events
	: >$tracing/trace
	echo 1 >$tracing/tracing_on
	for ((done_rounds = 0; done_rounds < rounds; done_rounds++)); do
		[ $done_rounds != $((rounds / 2)) ] || echo half >&8
		round || break
		drain
	done
	# RCU and workers free late.
	sleep 1
	drain
	echo 0 >$tracing/tracing_on
	lost=$(awk '/^(overrun|dropped events):/ { sum += $NF } END { print sum + 0 }' $tracing/per_cpu/cpu*/stats)
	drain
	exec 8>&-
	wait $reader
	free_after=$(free) areas=$(($(areas) - areas))
	echo "# $name: $((SECONDS - start)) s; free memory $free_before KiB before, $free_after KiB after"
	echo "# $name: what grows most: $(sort -rn /tmp/grown | head -n 5 | paste -sd,)"
	equal "$name: rounds of bind and unbind" "$rounds" "$done_rounds"
	# Three give back without an event: by kfree_rcu(), and later, when much of vmalloc's space is unused.
	leaks=$(awk -v most=$((rounds * 3 / 8)) '
		$2 ~ /^(kernfs_fop_open|sparse_add_section|alloc_vmap_area)$/ { next }
		$1 > most { print $2 ":" $1 }' /tmp/grown | sort | paste -sd' ')
	equal "$name: all events were seen" 0 "$lost"
	if [ -e /sys/kernel/debug/kmemleak ]; then
		skip "$name: no call site of bind and unbind leaves an allocation a round" "kmemleak says it, and these are too few rounds"
		skip "$name: no pages went with it" "MemFree says nothing with KASAN"
	else
		equal "$name: no call site of bind and unbind leaves an allocation a round" "" "$leaks"
		# The device's page structs are 8 MiB.
		check "$name: no pages went with it" test $((free_before - free_after)) -lt $((4096 + 64 * rounds))
	fi
	check "$name: no address space of vmalloc() either" test $areas -lt $((rounds / 2 + 2))
	equal "$name: sysfs and debugfs have the same nodes" "" "$(nodes | diff /tmp/nodes.before - | head -n 4)"
	equal "$name: and /proc/iomem is as it was" "" "$(diff /tmp/iomem.before /proc/iomem)"
}
fifo /tmp/events

# A round of each: called by `loop`.
# shellcheck disable=SC2317
round() {
	unbind && bind && [ -b "$disk" ]
}
loop bare "$rounds"

table="0 $(($(cat "/sys/block/$dev/size") - 8192)) linear $disk 4096"
dmsetup create volume --table "$table" || bail "dmsetup create"
mkfs.xfs -q -f /dev/mapper/volume || bail "mkfs.xfs"
# shellcheck disable=SC2317
round() {
	mount -t xfs -o dax=always /dev/mapper/volume "$mnt" &&
		unbind && umount "$mnt" && dmsetup remove volume && bind &&
		dmsetup create volume --table "$table"
}
# They take three times as long.
loop dm-linear $(((rounds + 1) / 2))
dmsetup remove volume
equal "nothing was said of bugs" "" "$(complaints)"
finish
