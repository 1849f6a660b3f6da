# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The source of a write that repairs is paged out whenever the kernel needs it, as memory pressure
# can do.  The media is good, so the write ends well: a write from memory that is there does.  The
# same with the target of a read that has good sectors before a bad one.
#
# expect: rust pass
# timeout: 120

. "$(dirname "$0")/../lib.sh"
plan 8

page=4096
cat >/tmp/pressure.py <<'END'
import ctypes, mmap, os, struct, sys, threading, time

how, path, offset, memory_path, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
PAGE, MADV_PAGEOUT = 4096, 21
parameters = "/sys/module/dax_delay/parameters/"

# A page that was read in just now may be on a list of another processor, from where it cannot go.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

# The page is clean: a file has it.
fd = os.open(memory_path, os.O_RDWR)
memory = mmap.mmap(fd, PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
result = []


def present():
    return struct.unpack("=Q", os.pread(pagemap, 8, address // PAGE * 8))[0] >> 63


def call():
    file = os.open(path, os.O_RDWR)
    try:
        if how == "write":
            result.append(os.pwrite(file, memory, offset))
        else:
            result.append(os.preadv(file, [memory], offset))
    except OSError as error:
        result.append(error.strerror)


def parameter(name):
    with open(parameters + name) as file:
        return int(file.read())


def pageout():
    for _ in range(2000):
        os.fsync(fd)
        memory.madvise(MADV_PAGEOUT)
        if not present():
            return True
        time.sleep(0.001)
    return False


caller = threading.Thread(target=call)
caller.start()
away = 0
for turn in range(1, times + 1):
    while caller.is_alive() and not (parameter("hits") == turn and parameter("delaying")):
        time.sleep(0.002)
    if not caller.is_alive():
        break
    away += pageout()
    with open(parameters + "release", "w") as file:
        file.write("1")
caller.join()
print(result[0], away)
END

namespace
xfs
f=$mnt/file
poison fill "$f" 0 64 7
truncate -s 64M /tmp/image
mkfs.ext4 -q -F -b 4096 /tmp/image || bail mkfs.ext4
mkdir -p /mnt/memory
mount -o loop /tmp/image /mnt/memory || bail "mount -o loop"
poison fill /mnt/memory/page 0 1 9
sync

# The kernel has a copy when it asks the driver, once: poison goes before the data comes.
for times in 0 8; do
	calls=$((times < 1 ? times : 1))
	poison madv "$f" 5 >/dev/null
	equal "$times times: the page is bad" EIO "$(poison pread "$f" $((5 * page)) $page)"
	hold_in dax_recovery_write "count=$times"
	equal "$times times: it is repaired from memory that was paged out" "$page $calls" \
		"$(python3 /tmp/pressure.py write "$f" $((5 * page)) /mnt/memory/page "$times")"
done
check "it has what was written" cmp -n $page <(dd if="$f" bs="$page" skip=5 count=1 status=none) /mnt/memory/page

# One bad sector, at the end of the page.
sector=$((($(poison phys "$f" 9) - $(data_start)) / 512 + 7))
echo "$sector 1" >"$bb"
hold_in dax_recovery_read count=8
equal "the good sectors are read into memory that was paged out" "3584 8" \
	"$(python3 /tmp/pressure.py read "$f" $((9 * page)) /mnt/memory/page 8)"
rmmod dax_delay
umount /mnt/memory
equal "the rest of the file is whole" same "$(poison verify "$f" 10 54 7)"
check "the kernel did not complain" test -z "$(complaints)"
finish
