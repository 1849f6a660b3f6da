# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Every allocation on the way from a namespace to a disk fails once; each time the
# namespace stays unbound, or the disk is whole, and the next try works.
#
# expect: rust pass
# timeout: 400

. "$(dirname "$0")/../lib.sh"

namespace
head -c 1M /dev/urandom >/tmp/data
dd if=/tmp/data of="$disk" bs=1M oflag=direct status=none
if [ ! -e /proc/self/fail-nth ]; then
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

# bind N: bind with the Nth allocation failing.  Says "injected" or "through", and "bound"
# or "unbound".
bind() {
	python3 - "$holder" "$1" <<-'END'
		import os, sys
		holder, nth = sys.argv[1], sys.argv[2]
		driver = "/sys/bus/nd/drivers/nd_pmem"
		bind = os.open(f"{driver}/bind", os.O_WRONLY)
		fail = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
		os.write(fail, nth.encode())
		try:
		    os.write(bind, holder.encode())
		except OSError:
		    pass
		left = os.pread(fail, 20, 0).strip(b"\0\n ")
		os.write(fail, b"0")
		print("injected" if left == b"0" else "through",
		      "bound" if os.path.exists(f"{driver}/{holder}") else "unbound")
	END
}

injected=0 refused=0 broken=''
for nth in {1..600}; do
	echo "$holder" >/sys/bus/nd/drivers/nd_pmem/unbind
	what=$(bind "$nth" 2>/tmp/bind.err) || { broken="bind $nth: $(tail -n 1 /tmp/bind.err)" && break; }
	case $what in
	"injected unbound")
		refused=$((refused + 1)) injected=$((injected + 1))
		[ ! -e "/sys/block/$dev" ] || { broken="allocation $nth left a disk" && break; }
		echo "$holder" >/sys/bus/nd/drivers/nd_pmem/bind || { broken="no bind after allocation $nth" && break; }
		;;
	"injected bound") injected=$((injected + 1)) ;;
	"through bound") break ;;
	*) broken="allocation $nth: $what" && break ;;
	esac
	cmp -s -n 1048576 /tmp/data "$disk" || { broken="other data after allocation $nth" && break; }
done
equal "each failure leaves a namespace that can be bound" "" "$broken"
echo "$injected allocations failed, $refused of them kept the namespace from being bound"
check "allocations did fail" test "$refused" -gt 10
matches "the last try went through" "through bound" "${what:-}"
check "the data is still there" cmp -n 1048576 /tmp/data "$disk"
finish
