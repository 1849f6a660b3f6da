#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How long an agent's report of many MiB takes under ext4, of which the dax core knows no owners.

    scripts/boot --nvdimm 512M --script tools/testing/bench/ranges.py [MIB [PROCESSES]]

One file of so many MiB (384), each page of it touched, is mapped by so many processes (200), of which
half ask to be notified at once.  One line: seconds, and the report's CPU time.
"""

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time

PAGE = 4096
MOUNT = "/mnt/pmem"


def sh(*argv):
    """Runs a command, which has to succeed."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def mapper(path, size, early, touched):
    """A process that has the file mapped; its number."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with open(path, "rb") as file:
                mapping = mmap.mmap(file.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ)
            for at in range(0, size if touched else PAGE, PAGE):
                mapping[at]
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGBUS])
            if early and ctypes.CDLL(None).prctl(33, 1, 1, 0, 0) != 0:
                os._exit(1)
            os.write(done, b"x")
            while True:
                signal.sigwait([signal.SIGBUS])
        finally:
            os._exit(1)
    os.close(done)
    if os.read(ready, 1) != b"x":
        raise RuntimeError("a process cannot map the file")
    os.close(ready)
    return pid


def main(mib=384, processes=200):
    """Makes the namespace, and measures."""
    sh("dmesg", "-n", "1")
    sh("modprobe", "nd_pmem")
    sh("modprobe", "nfit")
    sh("ndctl", "create-namespace", "-f", "-e", "namespace0.0", "-m", "fsdax", "-M", "dev")
    os.makedirs(MOUNT, exist_ok=True)
    sh("mkfs.ext4", "-q", "-F", "-b", "4096", "/dev/pmem0")
    sh("mount", "-o", "dax=always", "/dev/pmem0", MOUNT)
    path, size = f"{MOUNT}/file", mib << 20
    sh("dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={mib}", "conv=fsync")
    pids = [mapper(path, size, number % 2 == 0, number == 0) for number in range(processes)]
    device = os.stat("/dev/pmem0").st_rdev
    whole = int(open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/size", encoding="ascii").read()) * 512
    entry = os.open("/sys/block/pmem0/dax/report_failure", os.O_WRONLY)
    wall, cpu = time.monotonic(), time.thread_time()
    # Behind the first blocks, so that ext4 can be unmounted.
    os.write(entry, f"{64 << 20} {whole - (64 << 20)}".encode())
    wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
    print(f"{mib} MiB, {processes} processes: {wall:.2f} s, {cpu:.2f} s of CPU", flush=True)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
