# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# How a boot is judged by what it left: DIR/N.out is what the tests said, DIR/N.console what
# the kernel said, DIR/N.err what scripts/boot said, and DIR/N.rc its status.  Nothing here
# runs a boot: selfcheck gives these functions outputs of its own.
#
# Sourced after scripts/lib.sh and heads.sh.

# splats_of FILE: the complaints of a kernel.
splats_of() {
	[ -f "$1" ] && "$RDAX_TOP/scripts/splats" "$1"
}

# headline FILE: the first complaint on a console and the first functions of its stack, in a line.
headline() {
	local from
	from=$(splats_of "$1" | head -n 1 | cut -d: -f1) || :
	[ -n "$from" ] || return 0
	tail -n "+$from" "$1" | tr -d '\r' | awk '
		NR == 1 { sub(/^\[[^]]*\] */, ""); line = $0; next }
		NR > 80 || found == 3 { exit }
		/\] +(RIP: [0-9]+:)?[A-Za-z_][A-Za-z0-9_.]*\+0x/ && !/\] +\? / {
			match($0, /[A-Za-z_][A-Za-z0-9_.]*\+0x/)
			name = substr($0, RSTART, RLENGTH - 3)
			if (name == last || name ~ /^(dump_stack|print_report|kasan_report|__schedule|schedule|context_switch)/)
				next
			last = name
			functions = functions (found++ ? ", " : "") name
		}
		END { print line (functions == "" ? "" : " (" functions ")") }'
}

# begun DIR N: did the machine come to its tests?
begun() {
	grep -qs '^# begin ' "$1/$2.out"
}

# end_of DIR N TEST: the status with which the test ended; nothing where it did not.
end_of() {
	sed -n "s/^# end $3 //p" "$1/$2.out" 2>/dev/null | head -n 1 || :
}

# words_of DIR N TEST: what the test said.
words_of() {
	sed -n "/^# begin $3\$/,/^# end $3 /p" "$1/$2.out" 2>/dev/null | grep -vE '^(No TPM handle|keyctl_search)' || :
}

# status_of DIR N: that of scripts/boot.
status_of() {
	cat "$1/$2.rc" 2>/dev/null || echo 1
}

# last_words DIR N: of scripts/boot, as to why the boot ended.
last_words() {
	grep '^rdax: ' "$1/$2.err" 2>/dev/null | grep -v '^rdax: hint' | tail -n 1 || :
}

# test_at FILE LINE: the test that was running at that line of the console.
test_at() {
	head -n "$2" "$1" | sed -n 's/.*rdax: test \([a-z0-9-]*\).*/\1/p' | tail -n 1
}

# retry_reason DIR N: why the boot should be tried once more, if so.  A machine that does not
# come to its tests says nothing of them, unless its kernel complains.
retry_reason() {
	! begun "$1" "$2" || return 0
	! splats_of "$1/$2.console" >/dev/null || return 0
	echo "the machine did not come to its tests: $(last_words "$1" "$2")"
}

# late_tests DIR N TEST...: those that ran out of time while the kernel had nothing to complain
# about.  The machine may just be slow: they get a second try with more time.
late_tests() {
	local dir=$1 n=$2 test
	shift 2
	begun "$dir" "$n" || return 0
	case $(status_of "$dir" "$n") in
	86 | 87 | 125) return 0 ;;
	esac
	! splats_of "$dir/$n.console" >/dev/null || return 0
	for test; do
		case $(end_of "$dir" "$n" "$test") in
		124 | 137) echo "$test" ;;
		'') [ "$(status_of "$dir" "$n")" != 124 ] || echo "$test" ;;
		esac
	done
}

# read_checks DIR N TEST: counts what the test said, into $said, $bad, $skips, $defects (the
# checks that fail on C as they have to), $plan, $plans and $skip_all, and calls
# `each VERDICT TEXT` for each line of it; VERDICT is ok, not ok, or nothing for other lines.
read_checks() {
	local text verdict
	said=0 bad=0 skips=0 defects=0 plan='' plans=0 skip_all=''
	while IFS= read -r text; do
		case $text in
		"ok "* | "not ok "*)
			said=$((said + 1))
			verdict=ok
			case $text in
			not*)
				verdict="not ok"
				bad=$((bad + 1))
				;;
			*"# SKIP"*) skips=$((skips + 1)) ;;
			*"(C fails, as expected"*) defects=$((defects + 1)) ;;
			esac
			each "$verdict" "${text#* - }"
			;;
		"1..0 # SKIP"*)
			plan=0 plans=$((plans + 1))
			skip_all=${text#*# SKIP }
			;;
		"1.."*)
			plan=${text#1..}
			plans=$((plans + 1))
			;;
		"# begin "* | "# end "* | "@"*) ;;
		*) each "" "$text" ;;
		esac
	done < <(words_of "$1" "$2" "$3")
}

# wrong_plan: says what is wrong with the number of checks.
wrong_plan() {
	if [ "$plans" = 0 ]; then
		echo "has no plan, so nobody knows whether all $said checks were made"
	elif [ "$plans" != 1 ]; then
		echo "has $plans plans"
	elif [ "$plan" != "$said" ]; then
		echo "$plan checks were planned, $said were made"
	fi
}

# judge_test DIR N FLAVOUR TEST: prints "ok TEXT" and "not ok TEXT" for each result, and other
# lines of the test after "# ".
judge_test() {
	local dir=$1 n=$2 name=$3/$4 test=$4 end wrong
	local said bad skips defects plan plans skip_all
	each() {
		if [ -n "$1" ]; then echo "$1 $name: $2"; else echo "# $2"; fi
	}
	if ! begun "$dir" "$n"; then
		echo "not ok $name: the machine did not come to it: $(last_words "$dir" "$n")"
		return
	fi
	read_checks "$dir" "$n" "$test"
	end=$(end_of "$dir" "$n" "$test")
	if [ -z "$end" ]; then
		echo "not ok $name: did not end: $(last_words "$dir" "$n")"
		return
	fi
	case $end in
	124 | 137)
		echo "not ok $name: was not done in its time, after $said of ${plan:-?} checks"
		return
		;;
	esac
	[ -z "$skip_all" ] || [ "$said" != 0 ] || echo "ok $name: all of it # SKIP $skip_all"
	wrong=$(wrong_plan)
	if [ -n "$wrong" ]; then
		echo "not ok $name: $wrong"
	elif [ "$end" != 0 ] && [ "$bad" = 0 ]; then
		echo "not ok $name: ended with status $end though no check failed"
	fi
}

# judge_boot DIR N FLAVOUR SPLAT TEST...: all tests of a boot, and the boot itself.  SPLAT is not
# empty where the kernel may complain.
judge_boot() {
	local dir=$1 n=$2 flavour=$3 splat=$4 test rc where first bad=0 open=''
	shift 4
	for test; do
		judge_test "$dir" "$n" "$flavour" "$test"
		[ -n "$(end_of "$dir" "$n" "$test")" ] || open=yes
	done >"$dir/$n.judged"
	cat "$dir/$n.judged"
	bad=$(grep -c '^not ok ' "$dir/$n.judged" || :)
	rc=$(status_of "$dir" "$n")
	if [ -z "$splat" ] && splats_of "$dir/$n.console" >"$dir/$n.splats"; then
		first=$(head -n 1 "$dir/$n.splats")
		where=$(test_at "$dir/$n.console" "${first%%:*}")
		echo "not ok $flavour: the kernel complained ${where:+in }${where:-before the tests} (boot of $*): $(headline "$dir/$n.console")"
		bad=$((bad + 1))
		case $rc in 86 | 124 | 125) [ -n "$open" ] || return 0 ;; esac
	fi
	case $rc in
	0) ;;
	86) [ "$bad" != 0 ] || echo "not ok $flavour: the kernel complained (boot of $*)" ;;
	87) echo "not ok $flavour: the guest did not power off after its tests (boot of $*)" ;;
	*)
		# 1 is a failed test.  Where a test did not end, that is why.
		if [ -z "$open" ] && { [ "$rc" != 1 ] || [ "$bad" = 0 ]; }; then
			echo "not ok $flavour: the boot ended badly after its tests, status $rc (boot of $*): $(last_words "$dir" "$n")"
		fi
		;;
	esac
}

# sign_seen CONSOLE KIND PATTERN: does the report of an oops have the pattern, or for KIND lost
# that of a hung task?
sign_seen() {
	local start='\] (BUG: |Oops|general protection|Kernel panic|stack segment|.*kernel BUG)'
	[ "$2" != lost ] || start+='|\] INFO: task .* blocked'
	[ -f "$1" ] && [ -n "$3" ] && awk -v start="$start" '$0 ~ start { on = 1 } on' "$1" | grep -qE -- "$3"
}

# judge_c DIR N FLAVOUR TEST: what a kernel of C shows, which is evidence and never a failure:
#   expected WORDS      what the head of the test says
#   unexpected WORDS    anything else
#   unknown WORDS       the machine did not come to it
# and then the checks, after "# ".
judge_c() {
	local dir=$1 n=$2 flavour=$3 test=$4 want sign end wrong words complaint first='' shown=''
	local said bad skips defects plan plans skip_all
	local console=$dir/$n.console
	each() {
		shown+="#   $1${1:+ - }$2"$'\n'
		[ -n "$first" ] || [ "$1" != "not ok" ] || first=$2
	}
	if ! begun "$dir" "$n"; then
		echo "unknown the machine did not come to it: $(last_words "$dir" "$n")"
		return
	fi
	expect "$test" "$flavour"
	read_checks "$dir" "$n" "$test"
	end=$(end_of "$dir" "$n" "$test")
	complaint=$(headline "$console")
	case $want in
	crash | lost)
		case $want/$end in
		crash/* | lost/ | lost/124 | lost/137)
			# With KASAN it may be a report, after which the test goes on.
			if sign_seen "$console" "$want" "$sign"; then
				words="expected the kernel $([ "$want" = crash ] && echo crashes || echo "crashes or hangs"): $complaint"
			elif [ "$want" = crash ] && [ -n "$end" ] && [ "$end" -lt 124 ]; then
				words="unexpected C comes to the end of it${complaint:+: $complaint}"
			elif [ -n "$complaint" ]; then
				words="unexpected the test did not end, but the console does not name ${sign:-any sign}: $complaint"
			else
				words="unexpected the test did not end, and the kernel said nothing: that may be a slow machine"
			fi
			;;
		*) words="unexpected C comes to the end of it" ;;
		esac
		;;
	*)
		wrong=$(wrong_plan)
		if [ -z "$end" ]; then
			words="unexpected did not end: ${complaint:-$(last_words "$dir" "$n")}"
		elif [ "$end" = 124 ] || [ "$end" = 137 ]; then
			words="unexpected was not done in its time${complaint:+: $complaint}"
		elif [ "$bad" != 0 ]; then
			words="unexpected $bad of $said checks, the first: $first"
		elif [ -n "$wrong" ]; then
			words="unexpected $wrong"
		elif [ "$end" != 0 ]; then
			words="unexpected ended with status $end though no check failed"
		elif [ "$want" = fail ] && [ "$defects" = 0 ]; then
			words="unexpected no check fails"
		elif [ -n "$complaint" ] && [ "$(status_of "$dir" "$n")" = 86 ]; then
			words="unexpected the kernel complains: $complaint"
		elif [ "$want" = fail ]; then
			words="expected $defects of $said checks fail on C"
		else
			words="expected $said checks pass"
		fi
		[ "$skips" = 0 ] || words+=", $skips skipped"
		;;
	esac
	printf '%s\n%s' "$words" "$shown"
}
