# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which boots run when, and one boot.  Sourced by run-all, whose variables these are: boots[],
# jobs, work, bin, append.
#
# The variables of run-all, and those that it reads, are not known here.
# shellcheck disable=SC2034,SC2154

# memory_budget: what all boots together may need, in MiB: what is available now, less a share
# for the rest of the machine and for the host's cache of what guests read.
memory_budget() {
	local available limit current
	available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	# Of a container, as it sees itself.
	limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
	if [ "$limit" != max ]; then
		current=$(cat /sys/fs/cgroup/memory.current)
		limit=$(((limit - current) >> 20))
		[ "$limit" -ge "$available" ] || available=$limit
	fi
	echo $((available > 1536 ? available - 1024 : 512))
}

# business: how many times slower than usual this machine is for a boot, from 1 to 8.  The load
# of the last minute tells, beyond what boots of ours make by themselves: two for each processor,
# since their programs and QEMU's other threads run, too.
business() {
	awk -v processors="$(nproc)" '{ n = int($1 / (2 * processors) + 0.99); print(n < 1 ? 1 : (n > 8 ? 8 : n)) }' /proc/loadavg
}

# boot_once NUMBER: what it said goes to $work/NUMBER.*, its status to NUMBER.rc.
boot_once() {
	local flavour words splat seconds regions patience names args nvdimm='' rc=0 i slowness loglevel=6
	IFS='|' read -r flavour words splat seconds regions _ _ patience names <<<"${boots[$1]}"
	for ((i = 0; i < regions; i++)); do nvdimm+=,512M; done
	slowness_of "$flavour"
	patience=$((patience * $(business)))
	args=(--kernel "$flavour" --no-build --timeout "$((seconds * patience))" --console "$work/$1.console")
	args+=(--append "rdax.patience=$((slowness * patience))")
	if [ "$regions" != 0 ]; then
		args+=(--nvdimm "${nvdimm#,}")
	fi
	case $flavour in debug*) args+=(--append rdax.debug) ;; esac
	[ -z "${RDAX_ROUNDS:-}" ] || args+=(--append "rdax.rounds=$RDAX_ROUNDS")
	[ -z "$splat" ] || args+=(--expect-splat)
	[ -z "$append" ] || args+=(--append "$append")
	# On the host, for --share and --virtiofs.
	mkdir "$work/$1.scratch"
	words=${words//@SCRATCH@/$work/$1.scratch}
	# QEMU's monitor, crossed over to a port of the guest: to look at struct pages.
	rm -f "$work/pipes/$1".*
	mkfifo "$work/pipes/$1.port.in" "$work/pipes/$1.port.out"
	ln -s "$1.port.out" "$work/pipes/$1.mon.in"
	ln -s "$1.port.in" "$work/pipes/$1.mon.out"
	args+=(--qemu "-chardev pipe,id=port,path=$work/pipes/$1.port -device virtserialport,chardev=port,name=rdax.mon
		-chardev pipe,id=mon,path=$work/pipes/$1.mon -object monitor-qmp,id=monitor1,chardev=mon")
	# The stacks of hung tasks are of level 6; where C hangs has to be seen.
	case $flavour in c | debug-c) loglevel=7 ;; esac
	# Words of options, names of tests.
	# shellcheck disable=SC2086
	RDAX_LOGLEVEL=$loglevel "$RDAX_TOP/scripts/boot" "${args[@]}" $words \
		--script "$here/guest-run" "$bin" $names >"$work/$1.out" 2>"$work/$1.err" </dev/null || rc=$?
	rm -rf "$work/$1.scratch"
	echo "$rc" >"$work/$1.rc"
}

# run_boot NUMBER: twice, where there is a reason.  The first try is kept apart.
run_boot() {
	local why file
	boot_once "$1"
	why=$(retry_reason "$work" "$1")
	[ -n "$why" ] || return 0
	for file in out err console rc; do
		[ ! -e "$work/$1.$file" ] || mv "$work/$1.$file" "$work/first/"
	done
	echo "$why" >"$work/first/$1.why"
	boot_once "$1"
}

# fits NUMBER: are there processors and memory for it, beside those that run?  A guest of two
# processors keeps about one of the host's at work, so there is room for one guest more; two such
# guests would keep each other waiting.
fits() {
	local sleeps
	IFS='|' read -r _ _ _ _ _ _ sleeps _ <<<"${boots[$1]}"
	[ "${#running[@]}" != 0 ] || return 0
	[ $((used_memory + need[$1])) -le "$budget" ] || return 1
	# Those that sleep have a limit of their own: each has to boot first.
	if [ "$sleeps" = yes ]; then
		[ "$sleepers" -lt "$jobs" ]
	else
		[ $((${#running[@]} - sleepers)) -lt "$jobs" ] && [ $((used_processors + processors[$1])) -le $((jobs + 1)) ]
	fi
}

# run_boots NUMBER...: in this order, but for those that do not fit in just then.  Each is
# reported when it is done.
declare -A running=() need=() sleeping=() processors=()
used_memory=0 used_processors=0 sleepers=0 budget=0
run_boots() {
	local i pid flavour words regions sleeps count pending=("$@") later started_one
	budget=$(memory_budget)
	for i; do
		IFS='|' read -r flavour words _ _ regions _ sleeps _ <<<"${boots[i]}"
		need[$i]=$(memory_of "$flavour" "$words" "$regions")
		sleeping[$i]=$([ "$sleeps" = yes ] && echo 1 || echo 0)
		count=0
		[ "$sleeps" = yes ] || count=$(processors_in "$words")
		processors[$i]=$count
		[ "${need[$i]}" -le "$budget" ] ||
			say "a boot needs ${need[$i]} MiB of memory and there are $budget: it runs alone"
	done
	while [ "${#pending[@]}" -gt 0 ] || [ "${#running[@]}" -gt 0 ]; do
		later=() started_one=
		for i in "${pending[@]}"; do
			if fits "$i"; then
				# In a process group of its own, for end_boots.
				set -m
				run_boot "$i" &
				set +m
				running[$!]=$i
				used_memory=$((used_memory + need[$i]))
				used_processors=$((used_processors + processors[$i]))
				sleepers=$((sleepers + sleeping[$i]))
				started_one=yes
			else
				later+=("$i")
			fi
		done
		pending=("${later[@]}")
		[ "${#running[@]}" -gt 0 ] || continue
		pid=
		wait -n -p pid "${!running[@]}" || :
		if [ -z "$pid" ] || [ -z "${running[$pid]:-}" ]; then
			# A signal, maybe.
			[ -n "$started_one" ] || sleep 0.2
			continue
		fi
		i=${running[$pid]}
		unset "running[$pid]"
		used_memory=$((used_memory - need[$i]))
		used_processors=$((used_processors - processors[$i]))
		sleepers=$((sleepers - sleeping[$i]))
		report_boot "$i"
	done
}

# end_boots: those that run when this ends early.
end_boots() {
	local pid
	for pid in "${!running[@]}"; do
		kill -TERM -- "-$pid" 2>/dev/null || :
	done
	[ "${#running[@]}" = 0 ] || wait "${!running[@]}" 2>/dev/null || :
}

# run_late: what ran out of time, one after the other, with twice the time.
late=() last_try=''
run_late() {
	local boot i
	[ "${#late[@]}" -gt 0 ] || return 0
	last_try=yes
	for boot in "${late[@]}"; do
		i=$((${#boots[@]} + 1000))
		boots[i]=$boot
		run_boots "$i"
	done
}
