# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An allocation on the way from a namespace to a disk fails; each time the namespace stays
# unbound, or the disk is whole, and the next try works.  A round is an allocation.  Which ones
# fail is left to chance in each run: RDAX_ROUNDS=2000 is all of them, and takes minutes.
#
# expect: rust pass
# debug: always
# timeout: 400
# rounds: 120

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

rounds=$(asked_for rounds)
seed=$(fresh_seed)
echo "# seed $seed; again: --append rdax.seed=$seed"
# One process for all of it: on the kernel that this is for, starting one takes long.
# Its last line is what was wrong, or nothing.
python3 - "$holder" "$dev" /tmp/data "$seed" "${rounds:-120}" >/tmp/faults <<-'END'
	import os, random, sys
	holder, dev, file = sys.argv[1:4]
	seed, rounds = map(int, sys.argv[4:])
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
	    """Bind with the Nth allocation failing: how many were left, whether the device is bound."""
	    driver_file = os.open(f"{driver}/bind", os.O_WRONLY)
	    fail = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
	    name = holder.encode()
	    os.write(fail, b"%d" % nth)
	    try:
	        os.write(driver_file, name)
	    except OSError:
	        pass
	    left = int(os.pread(fail, 20, 0).strip(b"\0\n "))
	    os.write(fail, b"0")
	    os.close(fail)
	    os.close(driver_file)
	    return left, os.path.exists(f"{driver}/{holder}")

	def disk_is_whole():
	    with open(f"/dev/{dev}", "rb") as disk:
	        return disk.read(len(data)) == data

	def some_of_them():
	    injected = refused = 0
	    write("unbind")
	    left, bound = bind(1000000)
	    if not bound:
	        return "no bind without a failure"
	    # A bind may make a few more of them, or less, than the one before.
	    made = 1000000 - left
	    chosen = range(1, made + 1)
	    if rounds < made:
	        chosen = sorted(random.Random(seed).sample(chosen, rounds))
	    for nth in chosen:
	        write("unbind")
	        left, bound = bind(nth)
	        if left:
	            if not bound:
	                return f"{nth}: no bind without a failure"
	            continue
	        injected += 1
	        if not bound:
	            refused += 1
	            if os.path.exists(f"/sys/block/{dev}"):
	                return f"allocation {nth} left a disk"
	            if not write("bind"):
	                return f"no bind after allocation {nth}"
	        if not disk_is_whole():
	            return f"other data after allocation {nth}"
	        if injected % 25 == 0:
	            print(f"allocation {nth} of {made}", flush=True)
	    print(f"{injected} of {made} allocations failed, {refused} of them kept it from being bound")
	    print(refused)
	    return "" if 10 * injected >= 9 * len(chosen) else f"no more than {injected} of {len(chosen)} failed"

	print(some_of_them())
END
equal "the failures were made" 0 $?
equal "each failure leaves a namespace that can be bound" "" "$(tail -n 1 /tmp/faults)"
grep 'allocations failed' /tmp/faults | sed 's/^/# /'
refused=$(tail -n 2 /tmp/faults | head -n 1)
check "allocations did fail" test "$refused" -gt 10
check "the data is still there" cmp -n 1048576 /tmp/data "$disk"
finish
