#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures one kernel from inside the guest; tools/testing/bench/run starts it.

  guest.py icount full|quick    instructions per operation, and memory per device
  guest.py timing full|quick    operations per second

Prints one JSON object.  README.md beside this file says what is measured and why.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from statistics import median

sys.dont_write_bytecode = True
import failures  # noqa: E402  (beside this file)
import memory  # noqa: E402

ROOT = "/tmp/fio"  # a tmpfs: fio and all it opens, so that no run waits for 9p
MOUNT = ROOT + "/mnt"
FILE_MIB = 64
TARGETS = (("pmem0", "/dev/pmem0"), ("xfs-dax", "/mnt/file"))
ENGINES = (("psync", 1), ("libaio", 16), ("io_uring", 16), ("io_uring", 1))
NAMESPACE = "namespace0.0"
DRIVER = "/sys/bus/nd/drivers/nd_pmem"


def rows(quick):
    """Every measured row: name, file, engine, depth, fio's rw, block size."""
    for target, path in TARGETS:
        block = target == "pmem0"
        for rw in ("read", "write"):
            for engine, depth in ENGINES:
                # A bio by itself: with io_uring nobody else's work hides a worker's.
                alone = engine == "io_uring" and depth == 1
                if quick and engine == "libaio" or alone and not block:
                    continue
                name = f"{target} 4k random {rw} {engine}" + ("" if engine == "psync" else f" x{depth}")
                yield name, path, engine, depth, "rand" + rw, 4096
        if quick and not block:
            continue
        for rw in ("read", "write"):
            yield f"{target} 1M sequential {rw} psync", path, "psync", 1, rw, 1 << 20
        if block and not quick:
            # Hardly any copying: what is left is the path to the driver and the driver.
            for rw in ("read", "write"):
                yield f"{target} 512 B random {rw} psync", path, "psync", 1, "rand" + rw, 512
                yield f"{target} 512 B random {rw} io_uring x16", path, "io_uring", 16, "rand" + rw, 512


def sh(*argv):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def need(condition, what):
    if not condition:
        sys.exit(f"bench: {what}")


def set_up_fio():
    """A directory with fio, its libraries and the devices, to chroot into."""
    fio = shutil.which("fio")
    need(fio, "there is no fio in the sysroot (scripts/packages.txt)")
    libraries = subprocess.run(["ldd", fio], check=True, capture_output=True, text=True).stdout
    for path in [fio] + re.findall(r"(/\S+) \(0x", libraries):
        os.makedirs(ROOT + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, ROOT + path)
    shutil.copy(fio, ROOT + "/fio")
    for directory in ("dev", "proc", "sys", "tmp"):
        os.makedirs(f"{ROOT}/{directory}")
    for directory in ("dev", "proc", "sys"):
        sh("mount", "--rbind", "/" + directory, f"{ROOT}/{directory}")
    os.makedirs(MOUNT)


def set_up_device():
    sh("modprobe", "nd_pmem")
    sh("modprobe", "nfit")
    sh("ndctl", "create-namespace", "-f", "-e", NAMESPACE, "-m", "fsdax", "-M", "dev")
    wait_for_disk()
    # All of it is there before it is measured: the host's pages too.
    with open("/dev/pmem0", "wb", buffering=0) as disk:
        for _ in range(FILE_MIB):
            disk.write(bytes(1 << 20))
        os.fsync(disk.fileno())


def set_up_file():
    sh("mkfs.xfs", "-q", "-f", "/dev/pmem0")
    sh("mount", "-o", "dax=always,noatime", "/dev/pmem0", MOUNT)
    with open("/proc/mounts", encoding="ascii") as mounts:
        need(any(MOUNT in line and "dax=always" in line for line in mounts), "XFS has no DAX here")
    with open(MOUNT + "/file", "wb") as file:
        for _ in range(FILE_MIB):
            file.write(b"\x5a" * (1 << 20))
        os.fsync(file.fileno())
    os.sync()


def fio(path, engine, depth, rw, size, *how):
    """Runs fio; returns its job's JSON and the resources of its process tree."""
    argv = ["/fio", "--name=b", f"--filename={path}", "--direct=1", f"--size={FILE_MIB}M"]
    argv += [f"--ioengine={engine}", f"--iodepth={depth}", f"--rw={rw}", f"--bs={size}"]
    # Nothing that grows with anything but the number of operations.
    argv += ["--gtod_reduce=1", "--disk_util=0", "--norandommap=1", "--randrepeat=1", "--group_reporting=1"]
    argv += ["--invalidate=0", "--fallocate=none", "--output-format=json", "--output=/tmp/out", *how]
    pid = os.fork()
    if pid == 0:
        os.chroot(ROOT)
        os.chdir("/")
        os.execve("/fio", argv, {"LC_ALL": "C"})
    _, status, used = os.wait4(pid, 0)
    with open(ROOT + "/tmp/out", encoding="utf-8") as file:
        text = file.read()
    need(status == 0, f"fio failed: {' '.join(argv)}\n{text}")
    job = json.loads(text[text.index("{"):])["jobs"][0]
    need(job["error"] == 0, f"fio saw error {job['error']}: {' '.join(argv)}")
    return job, used


def per_operation(row, quick):
    """Instructions and context switches of one operation.

    The CPU time of fio's process tree (io_uring's workers are threads of it) in ns is
    its instructions.  Two sizes of run that differ by the number of operations alone,
    so that what fio costs by itself, 160 million instructions, is not in the
    difference; three runs of each, and of those the median, because a timer or the end
    of an RCU grace period more or less is a few 100000 instructions.
    """
    _, path, engine, depth, rw, size = row
    few, many = (8, 72 if quick else 136) if size == 1 << 20 else (1024, 6144 if quick else 17408)

    def once(count):
        job, used = fio(path, engine, depth, rw, size, "--io_size=1G", f"--number_ios={count}")
        done = job["read"]["total_ios"] + job["write"]["total_ios"]
        need(done == count, f"fio did {done} operations, not {count}")
        return (used.ru_utime + used.ru_stime) * 1e9, used.ru_nvcsw + used.ru_nivcsw

    once(few)  # brings everything in, and is not counted
    short = [once(few) for _ in range(3)]
    long = [once(many) for _ in range(3)]
    ns, switches = (median(many) - median(few) for few, many in zip(zip(*short), zip(*long)))
    return {"value": round(ns / (many - few), 1), "switches": round(switches / (many - few), 3)}


def dax_core():
    """Instructions of the dax core's calls that every access makes, from dax_bench.ko."""
    sh("modprobe", "dax_bench", "device=/dev/pmem0", "calls=20000")
    parameters = "/sys/module/dax_bench/parameters/"
    for name, parameter in (("dax_read_lock + unlock", "read_lock_ns"), ("dax_direct_access", "direct_access_ns")):
        with open(parameters + parameter, encoding="ascii") as file:
            yield name, {"value": round(int(file.read()) / 20000, 1), "switches": 0}
    sh("rmmod", "dax_bench")


def per_second(row, quick):
    _, path, engine, depth, rw, size = row
    milliseconds = 250 if quick else 500
    job, _ = fio(path, engine, depth, rw, size, "--time_based=1", f"--runtime={milliseconds}ms")
    side = job["write" if "write" in rw else "read"]
    return {"value": round(side["iops"], 1), "switches": round(job["ctx"] / max(side["total_ios"], 1), 3)}


def wait_for_disk():
    for _ in range(200):
        if os.path.exists("/dev/pmem0"):
            return
        time.sleep(0.05)
    sys.exit("bench: there is no /dev/pmem0")


def main():
    mode, quick = sys.argv[1], sys.argv[2] == "quick"
    set_up_fio()
    set_up_device()
    answer = {"kernel": os.environ["RDAX_KERNEL"], "rows": {}}
    if mode == "icount":
        device = os.path.basename(os.path.realpath("/sys/block/pmem0/device"))
        answer["memory"] = memory.measure(DRIVER, device)
        wait_for_disk()
        answer["rows"].update(dax_core())
    measure = per_operation if mode == "icount" else per_second
    for row in rows(quick):
        if row[1].startswith("/mnt") and not os.path.ismount(MOUNT):
            set_up_file()
        answer["rows"][row[0]] = measure(row, quick)
    if mode == "icount":
        # Last: the device comes and goes.
        answer["rows"].update(failures.Failures(MOUNT, DRIVER).rows(quick))
    print("bench-result " + json.dumps(answer))


main()
