# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Every allocation on the way from a namespace to a disk fails once; each time the
# namespace stays unbound, or the disk is whole, and the next try works.
#
# expect: rust pass
# debug: always
# timeout: 400

. "$(dirname "$0")/../lib.sh"

faults=0
[ ! -e /proc/self/fail-nth ] || faults=1
plan $((1 + 4 * faults))
namespace
head -c 1M /dev/urandom >/tmp/data
dd if=/tmp/data of="$disk" bs=1M oflag=direct status=none
if [ $faults = 0 ]; then
	skip "allocations fail during probe" "this kernel has no fault injection (make check-debug)"
	finish
fi
# Allocations that may sleep are left out by default.
for file in /sys/kernel/debug/failslab/ignore-gfp-wait /sys/kernel/debug/fail_page_alloc/ignore-gfp-wait; do
	[ ! -e "$file" ] || echo N >"$file"
done
# Not those of mm that adds memory: x86 warns of them, and leaves some of the sections that it
# had added, so that the memory cannot be added again (Documentation/upstream-defects.md).
read -r start end < <(sort /proc/kallsyms |
	awk '$3 == "arch_add_memory" { start = $1; next } start && $1 != start { print "0x" start, "0x" $1; exit }')
slab=/sys/kernel/debug/failslab
check "allocations of mm can be left out" sh -c \
	"echo $start >$slab/reject-start && echo $end >$slab/reject-end && echo 32 >$slab/stacktrace-depth"

# One process for all of it: on the kernel that this is for, starting one takes seconds.
# Its last line is what was wrong, or nothing.
python3 - "$holder" "$dev" /tmp/data >/tmp/faults <<-'END'
	import os, sys
	holder, dev, file = sys.argv[1:]
	driver = "/sys/bus/nd/drivers/nd_pmem"
	data = open(file, "rb").read()

	def write(name):
	    fd = os.open(f"{driver}/{name}", os.O_WRONLY)
	    try:
	        os.write(fd, holder.encode())
	        return True
	    except OSError:
	        return False
	    finally:
	        os.close(fd)

	def bind(nth):
	    """Bind with the Nth allocation failing: whether it failed, whether the device is bound."""
	    driver_file = os.open(f"{driver}/bind", os.O_WRONLY)
	    fail = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
	    name = holder.encode()
	    os.write(fail, b"%d" % nth)
	    try:
	        os.write(driver_file, name)
	    except OSError:
	        pass
	    left = os.pread(fail, 20, 0).strip(b"\0\n ")
	    os.write(fail, b"0")
	    os.close(fail)
	    os.close(driver_file)
	    return left == b"0", os.path.exists(f"{driver}/{holder}")

	def disk_is_whole():
	    with open(f"/dev/{dev}", "rb") as disk:
	        return disk.read(len(data)) == data

	def all_of_them():
	    injected = refused = 0
	    for nth in range(1, 2000):
	        write("unbind")
	        failed, bound = bind(nth)
	        if not failed:
	            print(f"{injected} allocations failed, {refused} of them kept it from being bound")
	            print(refused)
	            return "" if bound else f"{nth}: no bind without a failure"
	        injected += 1
	        if not bound:
	            refused += 1
	            if os.path.exists(f"/sys/block/{dev}"):
	                return f"allocation {nth} left a disk"
	            if not write("bind"):
	                return f"no bind after allocation {nth}"
	        if not disk_is_whole():
	            return f"other data after allocation {nth}"
	        if nth % 25 == 0:
	            print(f"{nth} allocations", flush=True)
	    return "it did not go through"

	print(all_of_them())
END
equal "the failures were made" 0 $?
equal "each failure leaves a namespace that can be bound" "" "$(tail -n 1 /tmp/faults)"
grep 'allocations failed' /tmp/faults
refused=$(tail -n 2 /tmp/faults | head -n 1)
check "allocations did fail" test "$refused" -gt 10
check "the data is still there" cmp -n 1048576 /tmp/data "$disk"
finish
