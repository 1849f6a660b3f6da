# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the heads of the tests say (run-all describes it), and what boots follow from it.
# Sourced by run-all and selfcheck.

max_regions=7
# A boot that is expected to take longer gets no further test: two boots run side by side.  One of
# a debug kernel takes a minute by itself, to start and to search for leaks.
max_estimate=240 max_debug_estimate=600

# load_heads FILE...: reads the first 30 lines of each test into heads[TEST/KEY].
declare -A heads=()
load_heads() {
	local test key value
	while IFS=$'\t' read -r test key value; do
		heads[$test/$key]=$value
	done < <(awk '
		FNR == 1 { test = FILENAME; sub(/.*\//, "", test); sub(/\.sh$/, "", test) }
		FNR <= 30 && /^# [a-z-]+: / {
			key = $2
			sub(/:$/, "", key)
			value = $0
			sub(/^# [a-z-]+: */, "", value)
			if (!((test, key) in seen))
				print test "\t" key "\t" value
			seen[test, key] = 1
		}' "$@")
}

# head_of TEST KEY DEFAULT: sets $value.
head_of() {
	value=${heads[$1/$2]:-$3}
}

# base_of FLAVOUR: sets $base, the name that the heads have for it.
base_of() {
	case $1 in
	rust | debug) base=rust ;;
	c | debug-c) base=c ;;
	fixed | debug-fixed) base=fixed ;;
	*) base=$1 ;;
	esac
}

# slowness_of FLAVOUR: sets $slowness, the factor for its limits.
slowness_of() {
	case $1 in debug*) slowness=4 ;; *) slowness=1 ;; esac
}

# expect TEST FLAVOUR: sets $want to pass, fail, crash, lost, or nothing, and $sign to the
# pattern of a crash or a loss.
expect() {
	local base entry value
	base_of "$2"
	want='' sign=''
	head_of "$1" expect "rust pass, c pass"
	while [ -n "$value" ]; do
		entry=${value%%,*}
		case $value in *,*) value=${value#*,} ;; *) value= ;; esac
		entry=${entry#"${entry%%[! ]*}"}
		entry=${entry%"${entry##*[! ]}"}
		case $entry in
		"$base "*)
			want=${entry#"$base "}
			case $want in
			*:*)
				sign=${want#*:}
				sign=${sign#"${sign%%[! ]*}"}
				want=${want%%:*}
				;;
			esac
			;;
		esac
	done
}

# names FLAVOUR WORDS: is the flavour among them?  debug-c is one of c's, debug-fixed of fixed's.
names() {
	case " $2 " in
	*" yes "* | *" $1 "* | *" ${1#debug-} "*) return 0 ;;
	*) return 1 ;;
	esac
}

# longest_limit FILE: sets $longest, the longest in the test, in seconds, but for those in variables.
# Those in these helpers count, too.
longest_limit() {
	longest=$(grep -v '^[[:space:]]*#' "$1" |
		sed -E 's/\<(mappers_of|scrub_ends|nfit_bus|all_watch|holder|holder_ends|ask|differs)\>/wait_for 60 &/g
			s/\<(inject|hw_poison)\>/wait_for 30 &/g' |
		grep -oE '\<(wait_for|bounded|patient|ends "[^"]*") [0-9]+' | sed 's/.* //' | sort -n | tail -n 1 || :)
	longest=${longest:-0}
}

# check_head TEST FILE: says what is wrong with it.
check_head() {
	local want sign defects value longest
	# lib.sh doubles what is in the test.  A limit as long as the test's own never tells.
	head_of "$1" timeout 90
	longest_limit "$2"
	[ $((2 * longest)) -lt "$value" ] || echo "$1 has a limit of 2 * $longest s in it, and one of $value s itself"
	expect "$1" c
	case $want in
	crash | lost)
		[ -n "$sign" ] || echo "$1: c $want names nothing that has to be on the console"
		;;
	'' | pass | fail) ;;
	*) echo "$1: c $want is no verdict" ;;
	esac
	case $want in
	fail | pass | '')
		defects=$(grep -v '^[[:space:]]*#' "$2" | grep -cE 'defect [a-z_]+ |^whole_life' || :)
		case $want/$defects in
		fail/0) echo "$1 expects C to fail and has no defect check" ;;
		fail/* | */0) ;;
		*) echo "$1 has defect checks, and its head does not say \"c fail\"" ;;
		esac
		;;
	esac
	expect "$1" fixed
	case $want in '' | pass) ;; *) echo "$1: fixed $want is no verdict" ;; esac
	expect "$1" rust
	[ "$want" = pass ] || echo "$1: rust \"$want\" is no verdict, it has to pass"
	grep -qE '^[[:space:]]*plan ' "$2" || echo "$1 has no plan"
}

# mebibytes SIZE: 512M, 3G.
mebibytes() {
	case $1 in
	*G) echo $((${1%G} * 1024)) ;;
	*) echo "${1%M}" ;;
	esac
}

# processors_of FLAVOUR TEST: sets $processors, how many its guest has.  The emulator runs a guest's
# processor in a thread.  With more of these than the host has processors, one that waits for
# another spins while that one does not run, so most tests have a single one.  C has what its
# results were made with.
processors_of() {
	local base value
	base_of "$1"
	head_of "$2" cpus 1
	case $base in c) value=2 ;; esac
	processors=${RDAX_CPUS:-$value}
}

# processors_in WORDS: how many these options of a boot ask for.
processors_in() {
	case " $1" in
	*" --smp "*)
		set -- "${1##*--smp }"
		echo "${1%% *}"
		;;
	*) echo 2 ;;
	esac
}

# memory_of FLAVOUR WORDS REGIONS: what that boot needs of this machine's memory, in MiB.  The
# guest's memory and NVDIMMs fill in the course of its tests, and QEMU has some of its own.
memory_of() {
	local guest=1536 more=256 word before=''
	case $1 in debug*) guest=3072 ;; esac
	for word in $2; do
		case $before in
		--memory) guest=$(mebibytes "$word") ;;
		--virtio-pmem) more=$((more + $(mebibytes "$word"))) ;;
		--virtiofs)
			case $word in
			*,window=*)
				word=${word##*,window=}
				more=$((more + ${word%%,*}))
				;;
			*) more=$((more + 256)) ;;
			esac
			;;
		esac
		before=$word
	done
	echo $((guest + more + $3 * 514))
}

# load_durations FILE: lines "FLAVOUR/TEST SECONDS", into took[].
declare -A took=()
load_durations() {
	local name seconds
	[ -f "$1" ] || return 0
	while read -r name seconds; do
		case $seconds in '' | *[!0-9]*) ;; *) took[$name]=$seconds ;; esac
	done <"$1"
}

# estimate_of FLAVOUR TEST: sets $estimate, in seconds: what it took the last time, or a sixth of
# its limit.
estimate_of() {
	local slowness value
	slowness_of "$1"
	head_of "$2" timeout 90
	estimate=${took[$1/$2]:-$((value * slowness / 6))}
}

# plan_boots FLAVOUR TEST...: appends to boots[], a line for each:
#   flavour|boot words|splat|timeout|regions|estimate|sleeps|patience|tests
# Tests that need the same machine share a boot.
boots=()
plan_boots() {
	local flavour=$1 test key slowness value want sign seconds estimate words splat alone sleeps regions i
	local old_seconds old_regions old_estimate old_tests usual rounds processors longest=$max_estimate
	local -A open=()
	shift
	slowness_of "$flavour"
	[ "$slowness" = 1 ] || longest=$max_debug_estimate
	for test; do
		expect "$test" "$flavour"
		[ -n "$want" ] || [ -n "${any:-}" ] || continue
		head_of "$test" regions 1
		regions=$value
		processors_of "$flavour" "$test"
		head_of "$test" boot ""
		words="--smp $processors${value:+ $value}"
		head_of "$test" timeout 90
		seconds=$((value * slowness))
		head_of "$test" rounds ""
		usual=$value rounds=${RDAX_ROUNDS:-}
		case $flavour/$rounds in
		debug*/)
			head_of "$test" debug-rounds ""
			rounds=$value
			;;
		esac
		if [ -n "$usual" ] && [ -n "$rounds" ] && [ "$rounds" -gt "$usual" ]; then
			seconds=$((seconds * rounds / usual))
		fi
		head_of "$test" splat ""
		splat=
		! names "$flavour" "$value" || splat=yes
		head_of "$test" alone no
		alone=
		! names "$flavour" "$value" || alone=yes
		case $want in crash | lost) splat=yes alone=yes ;; esac
		head_of "$test" sleeps no
		sleeps=$value
		estimate_of "$flavour" "$test"
		key="$words/$splat/$sleeps"
		[ -z "$alone" ] || key+=/$test
		i=${open[$key]:-}
		if [ -n "$i" ]; then
			IFS='|' read -r _ _ _ old_seconds old_regions old_estimate _ _ old_tests <<<"${boots[i]}"
			if [ $((old_regions + regions)) -le "$max_regions" ] && [ $((old_estimate + estimate)) -le "$longest" ]; then
				boots[i]="$flavour|$words|$splat|$((old_seconds + seconds))|$((old_regions + regions))|$((old_estimate + estimate))|$sleeps|1|$old_tests $test"
				continue
			fi
		fi
		open[$key]=${#boots[@]}
		# The limit of a boot is for a machine that hangs outside of its tests.
		boots+=("$flavour|$words|$splat|$((seconds + 120 * slowness))|$regions|$((estimate + 15 * slowness))|$sleeps|1|$test")
	done
}

# order_boots: the longest first, whatever flavour, so that no long one is left over at the end.
order_boots() {
	local sorted=()
	mapfile -t sorted < <(printf '%s\n' "${boots[@]}" | sort -s -t'|' -k6,6nr)
	boots=("${sorted[@]}")
}
