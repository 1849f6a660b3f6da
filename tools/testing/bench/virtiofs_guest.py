#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures one kind of virtio-fs mount in the guest; tools/testing/bench/virtiofs starts it.

  virtiofs_guest.py PROGRAM always|never WINDOW-MIB full|quick [REGEX]

The directory of the host is the tag dax; PROGRAM is vfsbench, copied to a tmpfs first.  REGEX
picks rows by name.  Prints "bench-result" and a JSON object: for each row operations, nanoseconds,
CPU nanoseconds, accesses before the time began, and, if the daemon counts, requests, what of them
were mappings, what QEMU did for these (maps and unmaps) and for how many microseconds.
"""

import json
import os
import re
import shutil
import subprocess
import sys

MOUNT = "/mnt/vfs"
MIB = 1 << 20


def rows(quick):
    """Name, how, order, size in windows, jobs."""
    sizes = (1, 4) if quick else (0.5, 1, 2, 4)
    for size in sizes:
        for jobs in (1, 4):
            if quick and jobs == 4 and size != 4:
                continue
            for how in ("pread", "pwrite", "load", "store"):
                for order in ("seq", "rand"):
                    yield f"{order} {how}, {size}x, {jobs} job{'s' * (jobs > 1)}", how, order, size, jobs
    for jobs in (1, 4):
        for how in ("pread", "load", "store"):
            yield f"zipf {how}, 4x, {jobs} job{'s' * (jobs > 1)}", how, "zipf", 4, jobs


class Counts:
    """What the daemon was asked since the last look; nothing when there is none that counts."""

    def __init__(self):
        self.live = self.ask("zero") == "ok"

    @staticmethod
    def ask(words):
        return subprocess.run(["virtiofs", words], check=False, capture_output=True, text=True).stdout.strip()

    def since(self):
        if not self.live:
            return {}
        answer = json.loads(self.ask("stats"))
        self.ask("zero")
        ops = answer["ops"]
        names = ("SETUPMAPPING", "REMOVEMAPPING", "READ", "WRITE")
        vmm = {"vmm": answer["shmem_map"] + answer["shmem_unmap"], "vmm_us": answer["vmm_us"]}
        return {"requests": answer["requests"], "peak": answer["mapped_peak"], **vmm, **{name: ops.get(name, 0) for name in names}}


def measure(program, argv):
    answer = subprocess.run([program, *map(str, argv)], check=False, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(f"bench: {' '.join(map(str, argv))}: {answer.stdout} {answer.stderr}")
    return {key: int(value) for key, value in (word.split("=") for word in answer.stdout.split())}


def main():
    source, mode, window, size = sys.argv[1:5]
    wanted = re.compile("".join(sys.argv[5:]))
    quick = size == "quick"
    window = int(window) * MIB
    program = "/tmp/vfsbench"
    shutil.copy(source, program)
    os.makedirs(MOUNT, exist_ok=True)
    subprocess.run(["mount", "-t", "virtiofs", "-o", f"dax={mode}", "dax", MOUNT], check=True)
    counts = Counts()
    answer = {"kernel": os.environ["RDAX_KERNEL"], "mode": mode, "rows": {}}
    for name, how, order, times, jobs in rows(quick):
        if not wanted.search(name):
            continue
        print(f"row: {name}", flush=True)
        # What is hot has to be found out first.
        ms = (400 if quick else 1000) * (3 if order == "zipf" else 1)
        row = measure(program, (how, order, f"{MOUNT}/file", int(times * window), jobs, ms))
        answer["rows"][name] = {**row, **counts.since()}
    # So many as the smaller ranges of the window, again and again; and more than QEMU maps.
    for files, passes in ((60, 20), (500 if quick else 10000, 1)):
        for how in ("pread", "load"):
            name = f"{files} small files, {how}, {'once' if passes == 1 else f'{passes} times'}"
            if not wanted.search(name):
                continue
            subprocess.run(["umount", MOUNT], check=True)
            subprocess.run(["mount", "-t", "virtiofs", "-o", f"dax={mode}", "dax", MOUNT], check=True)
            counts.since()
            print(f"row: {name}", flush=True)
            row = measure(program, ("small", how, f"{MOUNT}/small", files, 1, passes))
            answer["rows"][name] = {**row, **counts.since()}
    print("bench-result " + json.dumps(answer))


main()
