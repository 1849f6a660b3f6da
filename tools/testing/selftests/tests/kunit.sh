# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The KUnit suites: those in the kernel image ran at boot, those in modules run when they are
# loaded.  Each that is in the sources has to be there, with each of its cases.
#
# expect: rust pass
# cpus: 2
# debug: always
# regions: 0
# boot: --append kunit.enable=1 --append kunit.autorun=1

. "$(dirname "$0")/../lib.sh"

# suites DIR...: the suites in the sources there, and how many cases each has: "NAME CASES" lines.
suites() {
	grep -rhE --include='*.rs' '^ *#\[(kunit_tests\(|test\])' "$@" | awk -F'[()]' '
		/kunit_tests/ { suite = $2; cases[suite] = 0; next }
		{ cases[suite]++ }
		END { for (suite in cases) print suite, cases[suite] }' | LC_ALL=C sort
}

cases=0 wanted=()
while read -r suite n; do
	wanted+=("$suite")
	cases=$((cases + n))
done < <(suites "$RDAX_TOP"/{drivers,fs,mm,rust})
plan $((1 + ${#wanted[@]} + cases))
modprobe -a nd_pmem fuse xfs || bail "modprobe -a nd_pmem fuse xfs"

# What the kernel said, and what each line of it means: "case SUITE ok|not|skip NAME" for each
# case (the lines of KTAP with four or eight spaces before them), and "end SUITE ok|not CASES" for
# the suite.  How many cases there are was said before.
log=/tmp/kunit.log
dmesg | sed -E 's/^\[[^]]*\] ?//' >"$log"
awk '
	/# Subtest: / { suite = $NF; plan = said = 0 }
	/^ +1\.\.[0-9]+$/ && suite != "" { plan = substr($1, 4) }
	/^ *(not )?ok [0-9]+ / && suite != "" {
		verdict = $1
		name = verdict == "not" ? $4 : $3
		if (name == suite) {
			if (said == 0 || said != plan)
				verdict = "not"
			print "end", suite, verdict, said
			suite = ""
		} else {
			said++
			if (/ # SKIP/)
				verdict = "skip"
			print "case", suite, verdict, name
		}
	}' "$log" >/tmp/kunit.results

check "there are suites" test "${#wanted[@]}" -ge 15
for suite in "${wanted[@]}"; do
	while read -r _ _ verdict name; do
		case $verdict in
		ok) result 0 "$suite: $name" ;;
		skip) skip "$suite: $name" "$(grep -F " $name # SKIP" "$log" | head -n 1 | sed 's/.*# SKIP *//')" ;;
		*) result 1 "$suite: $name" "$(grep -F "# $name" "$log" | head -n 3 | tr '\n' ' ')" ;;
		esac
	done < <(grep "^case $suite " /tmp/kunit.results)
	matches "$suite: all of it ran" "end $suite ok *" "$(grep "^end $suite " /tmp/kunit.results | tail -n 1)"
done
finish
