# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests of files that share huge pages have in common.  After lib.sh.

# Those of lib.sh, and what `namespace` and `xfs` use.
mnt=${mnt:?lib.sh comes first}
# For huge pages.
# shellcheck disable=SC2034
mkfs_options="-d su=2m,sw=1,agcount=2 -l size=65m"

# warned: how often the kernel did, in all.
warned() {
	dmesg | grep -c 'WARNING: '
}

# pinned FILE PAGE: a task maps the page and has it in a pipe.  `tell WORD` speaks to it from now on,
# until let_go_of.
pinned() {
	fifo /tmp/words /tmp/answers
	sharers pin "$1" "$2" </tmp/words >/tmp/answers &
	pin=$!
	exec 6>/tmp/words 7</tmp/answers
	read -r -t "$(patient 30)" answer <&7
	[ "$answer" = pinned ] || bail "sharers pin: $answer"
}

tell() {
	echo "$1" >&6
	read -r -t "$(patient 30)" answer <&7
	echo "$answer"
}

let_go_of() {
	exec 6>&- 7<&-
	wait "$pin"
}
