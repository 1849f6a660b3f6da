# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# poll() of the badblocks file returns when the list changes: when a page fails, and when it is
# repaired.
#
# expect: rust pass

. "$(dirname "$0")/../lib.sh"
plan 6

namespace
xfs
f=$mnt/file
poison fill "$f" 0 16 3
want=$(sectors_of "$f" 5)

# changed MS COMMAND...: "changed" if poll() returns so soon after it, else "same".
changed() {
	python3 - "$bb" "$@" <<-'END'
		import select, subprocess, sys
		file = open(sys.argv[1])
		file.read()
		poll = select.poll()
		poll.register(file, select.POLLPRI | select.POLLERR)
		# What came before was read above.
		if poll.poll(0):
		    file.seek(0)
		    file.read()
		subprocess.run(sys.argv[3:], stdout=subprocess.DEVNULL, check=True)
		print("changed" if poll.poll(int(sys.argv[2])) else "same")
	END
}

equal "nothing is bad" - "$(bad_sectors)"
equal "poll sees nothing where nothing changes" same "$(changed 1000 true)"
equal "poll sees that a page fails" changed "$(changed 10000 poison madv "$f" 5)"
equal "it is on the list" "$want" "$(bad_sectors)"
equal "poll sees that it is repaired" changed "$(changed 10000 poison pwrite "$f" $((5 * 4096)) 4096 R)"
equal "it is off the list" - "$(bad_sectors)"
finish
