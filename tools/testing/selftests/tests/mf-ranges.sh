# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Many pages fail at once, says an agent.  A process with a private mapping of them is told of the
# pages that it has lost, and not of those of which it has a copy.  A page whose failure a filter does
# not want to hear of is no reason to leave out the pages after it.
#
# expect: rust pass
# regions: 2
# timeout: 240

. "$(dirname "$0")/../lib.sh"
plan 23

cat >/tmp/losers <<'END'
"""losers FILE PAGE HOW: maps as many private pages of a file as HOW has letters, reads (r) each or writes (w)
to it or leaves it alone (-), and asks to be told at once.  "ready", and for each line of input the signal
that came: "none", or "MCEERR_AO lsb=12 page=0"; and which pages are mapped, as HOW."""
import ctypes
import os
import struct
import sys

PAGE, HUGE = 4096, 2 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
path, first, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
only = ctypes.create_string_buffer(128)
libc.sigemptyset(only)
libc.sigaddset(only, 7)
libc.sigprocmask(0, only, None)
# Where a signal can name all of it.
area = libc.mmap(None, 2 * HUGE, 0, 0x22, -1, 0)
base = (area + HUGE - 1) & ~(HUGE - 1)
if libc.mmap(base, len(how) * PAGE, 3, 0x12, os.open(path, os.O_RDONLY), first * PAGE) != base:
    sys.exit("mmap")
memory = (ctypes.c_char * (len(how) * PAGE)).from_address(base)
for page, what in enumerate(how):
    if what == "r":
        memory[page * PAGE]
    elif what == "w":
        memory[page * PAGE] = b"c"
if libc.prctl(33, 1, 1, 0, 0):
    sys.exit("prctl")


def mapped():
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(base // PAGE * 8)
        words = struct.unpack(f"{len(how)}Q", file.read(8 * len(how)))
    return "".join("m" if word >> 63 else "-" for word in words)


print("ready", flush=True)
for line in sys.stdin:
    info, now = ctypes.create_string_buffer(128), (ctypes.c_long * 2)(0, 0)
    if libc.sigtimedwait(only, info, now) == 7:
        code = struct.unpack_from("i", info, 8)[0]
        address, lsb = struct.unpack_from("Qh", info, 16)
        name = {4: "MCEERR_AR", 5: "MCEERR_AO"}.get(code, code)
        told = f"{name} lsb={lsb} page={(address - base) // PAGE}"
    else:
        told = "none"
    print(f"{told}, {mapped()}", flush=True)
END

# report PAGE COUNT: these pages of $f fail, which is in one piece.
report() {
	local phys
	phys=$(poison phys "$f" "$1") || return
	echo "$((phys - $(data_start))) $(($2 * 4096))" >"/sys/block/$dev/dax/report_failure"
}

# loses NAME PAGE HOW WANTED: of pages from PAGE on, which fail.
loses() {
	local answer
	fifo /tmp/ask /tmp/answer
	python3 /tmp/losers "$f" "$2" "$3" </tmp/ask >/tmp/answer &
	exec 6>/tmp/ask 7</tmp/answer
	read -r -t "$(patient 30)" answer <&7
	equal "$1: a process has them" ready "$answer"
	report "$2" ${#3}
	echo >&6
	read -r -t "$(patient 30)" answer <&7
	equal "$1: it is told" "$4" "$answer"
	exec 6>&- 7<&-
	wait $!
}

for fs in xfs ext4; do
	region=''
	namespace
	if [ $fs = xfs ]; then
		xfs
	else
		ext4
	fi
	f=$mnt/file
	# In one piece.
	xfs_io -f -c "falloc 0 256k" "$f" || bail xfs_io
	poison fill "$f" 0 64 3
	sync
	loses "$fs, a copy between" 0 rwrr "MCEERR_AO lsb=12 page=0, -m--"
	loses "$fs, a copy behind" 8 rrw- "MCEERR_AO lsb=13 page=0, --m-"
	loses "$fs, copies around" 16 wrrw "MCEERR_AO lsb=12 page=1, m--m"
	loses "$fs, only copies" 24 wwww "none, mmmm"
	loses "$fs, all of them" 32 rrrrrrrr "MCEERR_AO lsb=15 page=0, --------"
done

# The same file system: a page that is marked is not wanted, and those beside it are.
filter=/sys/kernel/debug/hwpoison
modprobe hwpoison-inject || bail "modprobe hwpoison-inject"
report 45 1
mappers_of 2 shared 47 "$f"
echo $((1 << 19)) >$filter/corrupt-filter-flags-mask
echo 0 >$filter/corrupt-filter-flags-value
echo 1 >$filter/corrupt-filter-enable
report 44 4
echo 0 >$filter/corrupt-filter-enable
equal "a page before it is not wanted: nobody has it" 0 "$(ask mapped)"
matches "a page before it is not wanted: a touch tells" "2 SIGBUS code=MCEERR_AR lsb=12 *" "$(ask touch)"
end_mappers
equal "nor are those that are not wanted read" EIO "$(poison pread "$f" $((45 * 4096)) 4096)"
finish
