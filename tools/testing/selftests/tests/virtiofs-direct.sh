# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A server that opens files with O_DIRECT as the guest does takes whole sectors only.  A program that
# opened such a file may read any bytes all the same: it has the page cache, by the window.
#
# expect: rust pass, c pass
# regions: 0
# alone: yes
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=4,align=262144,cache=always,sectors --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 5

RANGES=16
for i in {1..40}; do
	noise "$there/$i" 8192
done
virtiofs_mount

# The window is full of the first files.
full() {
	local i
	for ((i = 1; i <= RANGES; i++)); do
		window cat mmap "$here/$i" | cat >/dev/null
	done
}

# part WORD... FILE SKIP: 100 bytes of a file by dd.
part() {
	bounded 60 dd if="$1/$2" bs=100 skip="$3" count=1 status=none "${@:4}" 2>&1 | sha256sum
}

full
equal "a part of a sector" "$(part "$there" 20 3)" "$(part "$here" 20 3 iflag=direct)"
equal "of another file" "$(part "$there" 21 41)" "$(part "$here" 21 41 iflag=direct)"
full
equal "of a file that was opened without" "$(part "$there" 22 5)" "$(part "$here" 22 5)"
full
# The server knows nothing of it when the flag goes after the file was opened.
cat >/tmp/later.py <<'EOF'
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDONLY)
try:
    sys.stdout.buffer.write(os.pread(fd, 100, 700))
except OSError as error:
    print(error.strerror)
EOF
equal "of a file that lost the flag" "$(part "$there" 23 7)" "$(bounded 60 python3 /tmp/later.py "$here/23" | sha256sum)"
check "it is unmounted" bounded 60 umount "$mnt"
finish
