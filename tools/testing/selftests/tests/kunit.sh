# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The KUnit suites: those in the kernel image ran at boot, those in modules run when they are
# loaded.  The C kernel has the former too: the abstractions must agree with what C does.
#
# expect: rust pass, c pass
# regions: 0
# boot: --append kunit.enable=1 --append kunit.autorun=1

. "$(dirname "$0")/../lib.sh"

# suites DIR...: the names of the suites in the sources there.
suites() {
	grep -rhoE --include='*.rs' '^ *#\[kunit_tests\([a-z0-9_]+' "$@" | sed 's/.*(//' | LC_ALL=C sort
}

mapfile -t wanted < <(suites "$RDAX_TOP/rust/kernel")
if [ "$kernel" = rust ]; then
	mapfile -t -O "${#wanted[@]}" wanted < <(suites "$RDAX_TOP/drivers" "$RDAX_TOP/fs")
	modprobe -a nd_pmem fuse || bail "modprobe -a nd_pmem fuse"
fi

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

check "there are suites" test "${#wanted[@]}" -gt 0
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
