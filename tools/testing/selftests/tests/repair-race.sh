# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# New poison in the very page that is being repaired.  Either may come first: the page is bad in
# every view or good in every view: on the disk's and the region's list, for a reader of
# the disk, of the file and of a mapping, and by its HWPoison flag.  Poison that came after
# the last write is never forgotten, and a write after the last poison is never refused.
#
# `soft` is memory_failure() by hand, which is done when the write to sysfs returns.  `hw` is
# a machine check: the kernel also unmaps the page, and nfit reports it again, where the
# memory is nfit's.  C records none of the first, and after the second may write to memory
# that is not mapped, so it does not run those.
#
# RDAX_ROUNDS=30 takes half as long again.
#
# expect: rust pass, c fail
# cpus: 2
# boot: --virtio-pmem 512M
# rounds: 20
# timeout: 200

. "$(dirname "$0")/../lib.sh"
plan $((3 + 5 * ours))

rounds=$(asked_for rounds)
rounds=${rounds:-20}
fresh=$(fresh_seed)
echo "# seed $fresh; again: --append rdax.seed=$fresh"
page=5
f=$mnt/file

# prepare: a file system with a file on $disk, and what race.py wants to know of it.
prepare() {
	xfs
	poison fill "$f" 0 16 17
	phys=$(poison phys "$f" $page)
	region=$(dirname "$(readlink -f "/sys/bus/nd/devices/$ns")")
}

cat >/tmp/race.py <<'END'
import errno, fcntl, mmap, os, random, signal, struct, subprocess, sys, time

how, target, offset, phys, disk, disk_offset, bad, region, rounds, fresh = sys.argv[1:]
offset, phys, disk_offset, rounds = (int(word, 0) for word in (offset, phys, disk_offset, rounds))
base = int(open(region + "/resource").read(), 0)
PAGE = 4096
is_file = target != disk
patience = int(os.environ.get("RDAX_PATIENCE", "1"))
window = 0.03 if how == "hw" else 0.01
# start flag, then of the writer: when the last write began and ended, what it returned,
# its byte, how many there were; of the injector: when it began and ended.
shared = mmap.mmap(-1, PAGE)
buffer = mmap.mmap(-1, PAGE)


def put(slot, value):
    struct.pack_into("=d", shared, slot * 8, value)


def get(slot):
    return struct.unpack_from("=d", shared, slot * 8)[0]


def write(fd, byte):
    buffer[:] = bytes([byte]) * PAGE
    try:
        return os.pwritev(fd, [buffer], offset)
    except OSError as error:
        return -error.errno


def write_once(byte):
    fd = os.open(target, os.O_WRONLY | os.O_DIRECT)
    result = write(fd, byte)
    os.close(fd)
    return result


def read(path, at):
    # What every byte is, or the error.
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        buffer[:] = bytes(PAGE)
        if os.preadv(fd, [buffer], at) != PAGE:
            return "short"
        return str(buffer[0]) if buffer[:] == buffer[:1] * PAGE else "mixed"
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.close(fd)


def touch():
    pid = os.fork()
    if pid == 0:
        fd = os.open(target, os.O_RDONLY)
        os._exit(mmap.mmap(fd, offset + PAGE, prot=mmap.PROT_READ)[offset])
    status = os.waitpid(pid, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))


def listed(path, first):
    # How many sectors of the page are on the list.
    ranges = [tuple(map(int, line.split())) for line in open(path)]
    return sum(max(0, min(start + count, first + 8) - max(start, first)) for start, count in ranges)


def offline():
    control = os.open("/sys/devices/system/memory/hard_offline_page", os.O_WRONLY)
    try:
        os.write(control, hex(phys).encode())
    except OSError as error:
        # That is what a page is that no file has; the driver was told.
        if error.errno != errno.EBUSY:
            raise
    finally:
        os.close(control)


def machine_check():
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(log, 0, os.SEEK_END)
    with open("/run/rdax/ctl.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open("/run/rdax/ctl", "r+b", buffering=0) as control:
            control.write(b"poison 0x%x\n" % phys)
            if control.read(64) != b"ok\n":
                os._exit(1)
    line = b"Memory failure: 0x%x: recovery action" % (phys // PAGE)
    end = time.monotonic() + 60 * patience
    while time.monotonic() < end:
        try:
            if line in os.read(log, 8192):
                # What follows it: the page is unmapped, and reported by nfit.
                time.sleep(0.5 * patience)
                os._exit(0)
        except BlockingIOError:
            time.sleep(0.01)
        except BrokenPipeError:
            pass
    os._exit(1)


def start(child):
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
    finally:
        os._exit(2)


def writer():
    fd = os.open(target, os.O_WRONLY | os.O_DIRECT)
    length, count = random.random() * window, 0
    while not shared[0]:
        pass
    end = time.monotonic() + length
    while not count or time.monotonic() < end:
        count += 1
        put(4, count % 200 + 1)
        put(1, time.monotonic())
        put(3, write(fd, count % 200 + 1))
        put(2, time.monotonic())
    os._exit(0)


def injector():
    delay = random.random() * window / 2
    while not shared[0]:
        pass
    time.sleep(delay)
    put(6, time.monotonic())
    if how == "hw":
        machine_check()
    offline()
    put(7, time.monotonic())
    os._exit(0)


def state():
    views = {"list": listed(bad, disk_offset // 512), "region": listed(region + "/badblocks", (phys - base) // 512),
             "disk": read(disk, disk_offset)}
    if is_file:
        views["file"], views["map"] = read(target, offset), touch()
    views["flag"] = subprocess.run(["poison", "flags", hex(phys), "1"], capture_output=True, text=True).stdout.strip()
    views["list after"] = listed(bad, disk_offset // 512)
    return views


def judge(views):
    reads = {views[name] for name in ("disk", "file") if name in views}
    if views["list"] == views["region"] == views["list after"] == 8 and reads == {"EIO"} and views.get("map", "SIGBUS") == "SIGBUS":
        return "bad"
    if views["list"] == views["region"] == views["list after"] == 0 and views["flag"] == "none":
        reads.add(views.get("map", views["disk"]))
        if len(reads) == 1 and reads.pop().isdigit():
            return "good"
    return "torn"


ends = {"good": 0, "bad": 0}
broken, writes = [], 0
for number in range(rounds):
    offline()
    shared[:] = bytes(PAGE)
    # Every other round as ever, the others as never before.
    random.seed(number if number % 2 == 0 else f"{fresh} {number}")
    children = [start(writer), start(injector)]
    time.sleep(0.005)
    shared[0] = 1
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    writes += 1
    views = state()
    end = judge(views)
    # On a slow machine what follows a machine check may not be done yet.
    for _ in range(20 if how == "hw" else 0):
        if end != "torn":
            break
        time.sleep(0.25 * patience)
        views = state()
        end = judge(views)
    fault = ""
    if any(statuses):
        fault = f"children ended with {statuses}"
    elif end == "torn":
        fault = "neither good nor bad"
    elif get(6) > get(2) and end == "good":
        fault = "poison after the last write was forgotten"
    elif get(3) != PAGE and end == "good":
        fault = "good though the last write failed"
    elif get(7) and get(7) < get(1) and end == "bad":
        fault = "bad though written after the poison"
    elif end == "good" and views["disk"] != str(int(get(4))):
        fault = "not what was written last"
    if fault:
        broken.append(f"{number}: {fault}: {views}, last write {int(get(3))} of {int(get(4))}")
        # A fresh start for the next round.
        offline()
    else:
        ends[end] += 1
    # Whatever it was, it can be repaired.
    if end != "good" or fault:
        result = write_once(250)
        views = state()
        if result != PAGE or judge(views) != "good" or views["disk"] != "250":
            broken.append(f"{number}: not repaired: {result}, {views}")
print(f"{how} {'file' if is_file else 'disk'}: {ends['good']} good, {ends['bad']} bad, {len(broken)} broken", file=sys.stderr)
for line in broken[:4]:
    print(line, file=sys.stderr)
print(len(broken))
END

# race HOW TARGET OFFSET ROUNDS
race() {
	python3 /tmp/race.py "$1" "$2" "$3" "$phys" "$disk" $((phys - $(data_start))) "$bb" "$region" "$4" "$fresh"
}

namespace
prepare
defect equal "a file: poison by hand" 0 "$(race soft "$f" $((page * 4096)) "$rounds")"
if [ "$ours" = 1 ]; then
	equal "a file: machine checks" 0 "$(race hw "$f" $((page * 4096)) $(((rounds + 1) / 2)))"
fi
equal "its neighbours are intact" same "$(poison verify "$f" 0 $page 17)"
equal "on both sides" same "$(poison verify "$f" $((page + 1)) 10 17)"
umount "$mnt"
if [ "$ours" = 1 ]; then
	equal "the disk: poison by hand" 0 "$(race soft "$disk" $((phys - $(data_start))) "$rounds")"
	equal "the disk: machine checks" 0 "$(race hw "$disk" $((phys - $(data_start))) $(((rounds + 1) / 2)))"

	# Only memory_failure() reports this one, and the page is unmapped after that.
	others=$(echo /sys/block/pmem*)
	modprobe virtio_pmem || bail "modprobe virtio_pmem"
	# Called by wait_for.
	# shellcheck disable=SC2317
	another() {
		dev=$(printf '%s\n' /sys/block/pmem* | grep -vxF "${others// /$'\n'}" | head -n 1)
		[ -n "$dev" ]
	}
	wait_for 20 another || bail "there is no disk of virtio_pmem"
	dev=${dev##*/} disk=/dev/${dev##*/} bb=/sys/block/${dev##*/}/badblocks
	holder=$(basename "$(readlink -f "/sys/block/$dev/device")")
	ns=$holder
	prepare
	equal "a file of virtio_pmem: machine checks" 0 "$(race hw "$f" $((page * 4096)) "$rounds")"
	equal "its neighbours are intact" same "$(poison verify "$f" 0 $page 17)"
fi
finish
