# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The KUnit suites in the module, which run when it is loaded.
#
# expect: rust pass
# regions: 0
# boot: --append kunit.enable=1 --append kunit.autorun=1

. "$(dirname "$0")/../lib.sh"

dmesg -c >/dev/null
modprobe nd_pmem || bail "modprobe nd_pmem"
# Each case of each suite: the lines of KTAP with four or eight spaces before them.
while read -r verdict name; do
	case $verdict in
	ok) result 0 "$name" ;;
	*) result 1 "$name" "$(dmesg | grep -F "# ${name##*: }" | head -n 3 | tr '\n' ' ')" ;;
	esac
done < <(dmesg | sed -E 's/^\[[^]]*\] ?//' | awk '
	/# Subtest: / { suite = $NF }
	/^ *(not )?ok [0-9]+ / && suite ~ /^nd_pmem/ {
		verdict = $1 == "not" ? "not" : "ok"
		name = $1 == "not" ? $4 : $3
		if (name != suite)
			print verdict, suite ": " name
	}')
check "there are suites" test "$count" -gt 0
finish
