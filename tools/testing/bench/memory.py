# SPDX-License-Identifier: GPL-2.0
"""What one device costs in memory, from the allocator's own trace events.

The driver is bound to a device that it had before (so that what is made once only is
there), with the allocators' events on.  What was allocated by the binding task and not
freed by anyone is the device's.
"""

import os
import re
import time

TRACING = "/sys/kernel/tracing"
ALLOC = ("kmem/kmalloc", "kmem/kmem_cache_alloc", "percpu/percpu_alloc_percpu")
FREE = ("kmem/kfree", "kmem/kmem_cache_free", "percpu/percpu_free_percpu")
LINE = re.compile(r"-(\d+)\s+\[\d+\]\s.*?: (kmalloc|kfree|kmem_cache_alloc|kmem_cache_free|percpu_alloc_percpu|percpu_free_percpu): (.*)")


def write(path, text):
    with open(f"{TRACING}/{path}", "w", encoding="ascii") as file:
        file.write(text)


def fields(text):
    return dict(pair.split("=", 1) for pair in text.split() if "=" in pair)


def module_bytes():
    with open("/proc/modules", encoding="ascii") as modules:
        return next(int(line.split()[1]) for line in modules if line.startswith("nd_pmem "))


def measure(driver, device):
    """Binds `device` to `driver`, both sysfs names, and returns what that took."""
    write("buffer_size_kb", "32768")
    write("options/hash-ptr", "0")
    write("tracing_on", "0")
    for event in ALLOC + FREE:
        write(f"events/{event}/enable", "1")
    # Open before: what opening takes is not the device's.
    with open(f"{driver}/bind", "wb", buffering=0) as bind, \
            open(f"{driver}/unbind", "wb", buffering=0) as unbind, \
            open(f"{TRACING}/tracing_on", "wb", buffering=0) as tracing:
        name = device.encode()
        for file in (unbind, bind, unbind):
            file.write(name)
        time.sleep(1)
        tracing.write(b"1")
        bind.write(name)
        # RCU and workers free memory late.
        time.sleep(1)
        tracing.write(b"0")
    for event in ALLOC + FREE:
        write(f"events/{event}/enable", "0")
    live = {}
    me = str(os.getpid())
    with open(f"{TRACING}/trace", encoding="ascii", errors="replace") as trace:
        for line in trace:
            match = LINE.search(line)
            if not match:
                continue
            pid, event, rest = match.groups()
            value = fields(rest)
            if event == "percpu_alloc_percpu":
                if pid == me:
                    live["p" + value["ptr"]] = ("percpu", int(value["bytes_alloc"]), value["call_site"])
            elif event == "percpu_free_percpu":
                live.pop("p" + value["ptr"], None)
            elif event in ("kmalloc", "kmem_cache_alloc"):
                live.pop(value["ptr"], None)
                if pid == me:
                    live[value["ptr"]] = ("slab", int(value["bytes_alloc"]), value["call_site"])
            else:
                live.pop(value["ptr"], None)
    write("trace", "")
    write("buffer_size_kb", "64")
    sites = {}
    for kind, size, site in live.values():
        site = re.sub(r"\+0x.*", "", site)
        count, total = sites.get((kind, site), (0, 0))
        sites[kind, site] = (count + 1, total + size)
    return {
        "slab": sum(size for kind, size, _ in live.values() if kind == "slab"),
        "percpu": sum(size for kind, size, _ in live.values() if kind == "percpu"),
        "module": module_bytes(),
        "sites": [[kind, site, count, total] for (kind, site), (count, total) in sorted(sites.items())],
    }
