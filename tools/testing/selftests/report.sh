# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What run-all prints: numbered lines for kernels that count, comments for those of C, and the
# table above the closing line.  Sourced by run-all.
#
# The variables of run-all, and those that it reads, are not known here.
# shellcheck disable=SC2034,SC2154

number=0 passed=0 failed=0 skipped=0
declare -A passed_of=() failed_of=() skipped_of=() tests_of=() boots_of=() retried_of=() seconds_of=()
declare -A c_as=() c_defects=() c_not=() c_unknown=() c_kept=() c_oldest=() c_none=()
retried=() skips_seen=() c_odd=()

# line VERDICT TEXT: a result that counts.  TEXT begins with the kernel's name.
line() {
	local flavour=${2%%[/:]*}
	number=$((number + 1))
	case "$1 $2" in
	*"# SKIP"*)
		skipped=$((skipped + 1))
		skipped_of[$flavour]=$((${skipped_of[$flavour]:-0} + 1))
		skips_seen+=("$2")
		;;
	"not ok "*)
		failed=$((failed + 1))
		failed_of[$flavour]=$((${failed_of[$flavour]:-0} + 1))
		;;
	*)
		passed=$((passed + 1))
		passed_of[$flavour]=$((${passed_of[$flavour]:-0} + 1))
		;;
	esac
	printf '%s %s - %s\n' "$1" "$number" "$2"
}

# report_lines: standard input, as judge_boot prints it.
report_lines() {
	local text
	while IFS= read -r text; do
		case $text in
		"ok "*) line ok "${text#ok }" ;;
		"not ok "*) line "not ok" "${text#not ok }" ;;
		"# "*) echo "$text" ;;
		*) echo "# $text" ;;
		esac
	done
}

# note_c FLAVOUR TEST VERDICT WORDS
note_c() {
	local want sign
	expect "$2" "$1"
	case $3 in
	expected)
		c_as[$1]=$((${c_as[$1]:-0} + 1))
		[ "$want" = pass ] || c_defects[$1]=$((${c_defects[$1]:-0} + 1))
		;;
	unexpected)
		c_not[$1]=$((${c_not[$1]:-0} + 1))
		c_odd+=("$1/$2: $4")
		;;
	*) c_unknown[$1]=$((${c_unknown[$1]:-0} + 1)) ;;
	esac
}

# words_for VERDICT WANT: what stands before the words.
words_for() {
	case $1 in
	expected) echo "as expected" ;;
	unexpected) echo "not as expected (${2:-nothing})" ;;
	*) echo "not known" ;;
	esac
}

# report_c NUMBER FLAVOUR TEST
report_c() {
	local verdict words want sign
	judge_c "$work" "$1" "$2" "$3" >"$work/judged"
	read -r verdict words <"$work/judged"
	expect "$3" "$2"
	echo "# $2/$3: $(words_for "$verdict" "$want"): $words"
	tail -n +2 "$work/judged"
	note_c "$2" "$3" "$verdict" "$words"
	if [ "$verdict" != unknown ] && keeping; then
		keep "$2" "$3" "$verdict" "$words" "$work/$1.out"
	fi
}

# report_boot NUMBER: tests that ran out of time get a second try, unless this was it ($last_try).
report_boot() {
	local flavour words splat seconds regions estimate sleeps patience names test why rc left=() again
	IFS='|' read -r flavour words splat seconds regions estimate sleeps patience names <<<"${boots[$1]}"
	boots_of[$flavour]=$((${boots_of[$flavour]:-0} + 1))
	if [ -f "$work/first/$1.why" ]; then
		why="$flavour: tried once more: $names: $(<"$work/first/$1.why")"
		echo "# $why"
		sed '/^$/d; s/^/#   /' "$work/first/$1.err" 2>/dev/null | tail -n 60 || :
		retried+=("$why")
		retried_of[$flavour]=$((${retried_of[$flavour]:-0} + 1))
	fi
	for test in $names; do
		seconds_of[$flavour/$test]=$(sed -n "s/^$test: \([0-9]*\) s\$/\1/p" "$work/$1.out" 2>/dev/null | tail -n 1) || :
	done
	if is_c "$flavour"; then
		for test in $names; do
			tests_of[$flavour]=$((${tests_of[$flavour]:-0} + 1))
			report_c "$1" "$flavour" "$test"
		done
		return
	fi
	again=
	# Names of tests.
	# shellcheck disable=SC2086
	[ -n "$last_try" ] || again=$(late_tests "$work" "$1" $names | paste -sd' ')
	for test in $names; do
		case " $again " in *" $test "*) continue ;; esac
		left+=("$test")
		tests_of[$flavour]=$((${tests_of[$flavour]:-0} + 1))
	done
	rc=$(status_of "$work" "$1")
	if [ -n "$again" ]; then
		why="$flavour: ran out of time without a complaint of the kernel, and is tried alone with twice the time: $again"
		for test in $again; do why+=" (${seconds_of[$flavour/$test]:-not ended}${seconds_of[$flavour/$test]:+ s})"; done
		echo "# $why"
		retried+=("$why")
		retried_of[$flavour]=$((${retried_of[$flavour]:-0} + 1))
		late+=("$flavour|$words|$splat|$seconds|$regions|$estimate|$sleeps|$((patience * 2))|$again")
		# What the boot's status says of the others is in their own lines.
		echo 0 >"$work/$1.rc"
	fi
	report_lines < <(judge_boot "$work" "$1" "$flavour" "$splat" "${left[@]}")
	if [ -n "$last_try" ]; then
		for test in $names; do
			why="$flavour/$test: the second try took ${seconds_of[$flavour/$test]:-more} s"
			echo "# $why"
			retried+=("$why")
		done
	fi
	[ "$rc" = 0 ] || [ -n "$splat" ] ||
		grep -vsE '^$|(No|Linux) .*(TPM|version)' "$work/$1.err" | sed 's/^/#   /' | head -n 60 || :
}

# report_kept: the results of C that are kept, of tests that did not run here.
report_kept() {
	local flavour test value want sign kept verdict date words
	for flavour in "${kernels[@]}"; do
		is_c "$flavour" || continue
		for test in "${tests[@]}"; do
			expect "$test" "$flavour"
			if [ -z "$want" ] || [ -n "${seconds_of[$flavour/$test]+ran}" ]; then continue; fi
			if kept_result "$flavour" "$test"; then
				echo "# $flavour/$test: $(words_for "$verdict" "$want"), on $date: $words"
				note_c "$flavour" "$test" "$verdict" "$words"
				c_kept[$flavour]=$((${c_kept[$flavour]:-0} + 1))
				[[ -n ${c_oldest[$flavour]:-} && ${c_oldest[$flavour]} < $date ]] || c_oldest[$flavour]=$date
				# For compare.
				grep "^@$flavour " "$kept" >>"$work/kept.out" || :
			else
				c_none[$flavour]=$((${c_none[$flavour]:-0} + 1))
			fi
		done
	done
}

# report_summary: the table, retries, skips with their reasons.
report_summary() {
	local flavour text
	echo "# guest tests by kernel:"
	for flavour in "${kernels[@]}"; do
		if is_c "$flavour"; then
			text="${c_as[$flavour]:-0} tests as expected, ${c_defects[$flavour]:-0} of which fail, crash or hang"
			text+="; ${c_not[$flavour]:-0} not as expected"
			[ -z "${c_unknown[$flavour]:-}" ] || text+="; ${c_unknown[$flavour]} did not begin"
			[ -z "${c_none[$flavour]:-}" ] || text+="; ${c_none[$flavour]} without a result (make check-c)"
			[ -z "${c_kept[$flavour]:-}" ] || text+="; ${c_kept[$flavour]} results are kept ones, the oldest of ${c_oldest[$flavour]}"
			printf '#   %-6s evidence, not counted: %s\n' "$flavour" "$text"
		else
			printf '#   %-6s %s tests in %s boots: %s passed, %s failed, %s skipped, %s retried\n' "$flavour" \
				"${tests_of[$flavour]:-0}" "${boots_of[$flavour]:-0}" "${passed_of[$flavour]:-0}" \
				"${failed_of[$flavour]:-0}" "${skipped_of[$flavour]:-0}" "${retried_of[$flavour]:-0}"
		fi
	done
	[ "${#c_odd[@]}" = 0 ] || printf '# not as expected of C: %s\n' "${c_odd[@]}"
	[ "${#retried[@]}" = 0 ] || printf '# retried: %s\n' "${retried[@]}"
	[ "${#skips_seen[@]}" = 0 ] || printf '# skipped: %s\n' "${skips_seen[@]//# SKIP/because:}"
}

# save_durations FILE: what each test took, for the order of the next run.
save_durations() {
	local name
	for name in "${!seconds_of[@]}"; do
		[ -z "${seconds_of[$name]}" ] || took["$name"]=${seconds_of[$name]}
	done
	for name in "${!took[@]}"; do
		echo "$name ${took[$name]}"
	done | LC_ALL=C sort >"$1.part.$$"
	mv "$1.part.$$" "$1"
}
