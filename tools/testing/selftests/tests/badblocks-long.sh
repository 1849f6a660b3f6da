# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The badblocks file is one page.  512 entries with sectors of six digits are more than that.
# The file ends with a whole line.  C cuts the last one, which then names another range, and
# sysfs warns.
#
# expect: rust pass, c fail, fixed pass
# splat: c
# c-sign: quick

. "$(dirname "$0")/../lib.sh"
plan 4

namespace
for n in {0..511}; do
	echo "$((200000 + n * 32)) 16" >"$bb"
done
matches "the first entries are there" $'200000 16\n200032 16\n*' "$(cat "$bb")"
defect equal "the last line is whole" 16 "$(tail -n 1 "$bb" | cut -s -d ' ' -f 2)"
defect check "it ends" sh -c "[ \"\$(tail -c 1 $bb | wc -l)\" = 1 ]"
defect check "sysfs has nothing to complain about" sh -c "! dmesg | grep -q 'OOB write or bad count'"
finish
