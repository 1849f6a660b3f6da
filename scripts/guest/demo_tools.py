# SPDX-License-Identifier: GPL-2.0
"""What scripts/guest/demo needs to poison, look and tell. Nothing in here waits for ever."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import re
import select
import signal
import struct
import subprocess
import time

PAGE = 4096
SECTOR = 512
CELLS = 64

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
]
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
MAP_SHARED_VALIDATE = 3
MAP_SYNC = 0x80000
MADV_HWPOISON = 100
BUS_CODES = {2: "BUS_ADRERR", 4: "BUS_MCEERR_AR", 5: "BUS_MCEERR_AO"}

HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Sigaction(ctypes.Structure):
    """struct sigaction of the C library."""

    _fields_ = [
        ("handler", HANDLER),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


def run(command, timeout=60, cwd=None):
    """Runs a shell command: its status and its output. 124 when it was not done in time.

    One that cannot be killed is left behind: the story goes on.
    """
    with subprocess.Popen(
        ["timeout", "-k", "2", str(timeout), "bash", "-c", command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
        start_new_session=True,
    ) as process:
        output = b""
        end = time.monotonic() + timeout + 10
        while time.monotonic() < end:
            if select.select([process.stdout], [], [], 0.5)[0]:
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                output += chunk
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if process.poll() is None:
            # Do not let Popen wait for it.
            process.returncode = 124
        return process.returncode, output.decode(errors="replace").strip()


class Mapping:
    """A file's bytes through mmap, touched by C code, as a program would."""

    def __init__(self, path, write=False, sync=False):
        fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(fd).st_size
        length = (self.size + PAGE - 1) // PAGE * PAGE
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        flags = MAP_SHARED_VALIDATE | MAP_SYNC if sync else mmap.MAP_SHARED
        address = LIBC.mmap(None, length, prot, flags, fd, 0)
        error = ctypes.get_errno()
        os.close(fd)
        if address is None or address == ctypes.c_void_p(-1).value:
            raise OSError(error, os.strerror(error))
        self.address = address

    def read(self, offset, length):
        """Copies bytes out of the mapping. Where they are bad, SIGBUS comes."""
        buffer = ctypes.create_string_buffer(length)
        LIBC.memmove(buffer, ctypes.c_void_p(self.address + offset), ctypes.c_size_t(length))
        return buffer.raw

    def physical(self, page):
        """The physical address of a page, which is touched first."""
        self.read(page * PAGE, 1)
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            entry = os.pread(pagemap.fileno(), 8, (self.address // PAGE + page) * 8)
        return (struct.unpack("Q", entry)[0] & ((1 << 55) - 1)) * PAGE

    def poison(self, page):
        """Has the kernel treat the page as bad memory."""
        if LIBC.madvise(self.address + page * PAGE, PAGE, MADV_HWPOISON) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


class Child:
    """Runs a function in a process of its own, and tells what became of it.

    Each SIGBUS is kept with its address and size. After the last one allowed the process
    ends, as it would without a handler; before that it goes on.
    """

    def __init__(self, function, signals=1):
        self.facts = {"signals": []}
        self.buffer = b""
        self.ended = False
        self.pipe, self.write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            self._child(function, signals)
        os.close(self.write_end)

    def _send(self, **facts):
        os.write(self.write_end, json.dumps(facts).encode() + b"\n")

    def _child(self, function, signals):
        left = [signals]

        def handler(_number, info, _context):
            code, address, lsb = struct.unpack_from("<8xi4xQh", ctypes.string_at(info, 32))
            self._send(signal={"code": code, "address": address, "size": 1 << lsb})
            left[0] -= 1
            if left[0] <= 0:
                os._exit(0)

        # SA_SIGINFO; not SA_NODEFER: one at a time.
        action = Sigaction(HANDLER(handler), flags=4)
        LIBC.sigaction(signal.SIGBUS, ctypes.byref(action), None)
        try:
            self._send(value=function(self._send))
        except OSError as error:
            self._send(error=errno.errorcode.get(error.errno, str(error.errno)))
        except BaseException as error:  # pylint: disable=broad-except
            self._send(error=repr(error))
        finally:
            os._exit(0)

    def wait(self, until=None, timeout=30):
        """Waits for the end, or for the fact named `until`. Returns all facts."""
        end = time.monotonic() + timeout
        while not self.ended and until not in self.facts:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
                break
            chunk = os.read(self.pipe, 1 << 16)
            self.ended = not chunk
            self.buffer += chunk
            *lines, self.buffer = self.buffer.split(b"\n")
            for line in lines:
                facts = json.loads(line)
                if "signal" in facts:
                    self.facts["signals"].append(facts.pop("signal"))
                self.facts.update(facts)
        if until is None:
            if not self.ended:
                self.facts["hung"] = True
                os.kill(self.pid, signal.SIGKILL)
            self._reap()
        return self.facts

    def _reap(self):
        for _ in range(40):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                if os.WIFSIGNALED(status):
                    self.facts.setdefault("killed", signal.Signals(os.WTERMSIG(status)).name)
                return
            time.sleep(0.05)


def attempt(function, signals=1, timeout=30):
    """What becomes of a function in a process of its own."""
    return Child(lambda _send: function(), signals).wait(timeout=timeout)


def outcome(facts):
    """Facts in words."""
    words = [
        f"SIGBUS {BUS_CODES.get(s['code'], s['code'])} at {s['address']:#x}, {s['size']} bytes"
        for s in facts["signals"]
    ]
    if "error" in facts:
        words.append(facts["error"])
    if "killed" in facts:
        words.append(f"killed by {facts['killed']}")
    if facts.get("hung"):
        words.append("no answer in time")
    if "value" in facts:
        words.append(str(facts["value"]))
    return ", then ".join(words) or "nothing"


def fiemap(path):
    """Where the file is on the device: (offset in the file, on the device, length), in bytes."""
    count = 64
    # FIEMAP_FLAG_SYNC, as many extents as fit.
    request = bytearray(struct.pack("=QQLLLL", 0, (1 << 64) - 1, 1, 0, count, 0))
    request += bytes(56 * count)
    with open(path, "rb") as file:
        fcntl.ioctl(file.fileno(), 0xC020660B, request)
    mapped = struct.unpack_from("=L", request, 20)[0]
    return [struct.unpack_from("=QQQ", request, 32 + 56 * index) for index in range(mapped)]


def on_device(extents, offset):
    """Where byte `offset` of a file is on the device."""
    for logical, physical, length in extents:
        if logical <= offset < logical + length:
            return physical + offset - logical
    return None


def badblocks():
    """The bad ranges in sysfs: (first byte, bytes) on the device."""
    with open("/sys/block/pmem0/badblocks", encoding="ascii") as file:
        pairs = [line.split() for line in file if line.strip()]
    return [(int(first) * SECTOR, int(count) * SECTOR) for first, count in pairs]


def badblocks_words():
    """sysfs' badblocks as it is there."""
    bad = badblocks()
    return "; ".join(f"sector {a // SECTOR}, {n // SECTOR} sectors" for a, n in bad) or "none"


def ndctl_list():
    """What ndctl list says of the namespace: the interesting fields."""
    status, output = run("ndctl list -N -M 2>/dev/null", timeout=30)
    try:
        listed = json.loads(output)
    except ValueError:
        return {"error": f"status {status}: {output[:80]}"}
    namespace = listed[0] if isinstance(listed, list) else listed
    wanted = ("dev", "mode", "size", "blockdev", "badblock_count", "badblocks")
    return {key: namespace[key] for key in wanted if key in namespace}


def is_bad(bad, start, length):
    """Whether a range overlaps what is bad."""
    return any(first < start + length and start < first + count for first, count in bad)


def picture(extents, size, name):
    """The poison map: the whole device, and the file's pages."""
    bad = badblocks()
    with open("/sys/block/pmem0/size", encoding="ascii") as file:
        device = int(file.read()) * SECTOR
    cell = -(-device // CELLS)
    bar = "".join("X" if is_bad(bad, index * cell, cell) else "." for index in range(CELLS))
    pages = -(-size // PAGE)
    zoom = "".join(
        "X" if is_bad(bad, on_device(extents, page * PAGE), PAGE) else "." for page in range(pages)
    )
    rows = [zoom[at:at + CELLS] for at in range(0, pages, CELLS)]
    mib = 1 << 20
    lines = [f"device  [{bar}]  {device // mib} MiB, {cell / mib:.1f} MiB a cell"]
    for number, row in enumerate(rows):
        head, tail = ("file    [", "") if number == 0 else ("         ", "")
        if number == len(rows) - 1:
            tail = f"]  {name}, a page a cell"
        lines.append(head + row + tail)
    return lines


class KernelLog:
    """The kernel's lines on the matter, as they come."""

    WANTED = re.compile(r"emory failure|nd_pmem|(pmem0|dm-[0-9]).*(error|hutdown|hutting|bad|emove|frozen)|"
                        r"mce: |Hardware Error")

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        self.news()

    def news(self):
        """The lines since the last time."""
        lines = []
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return lines
            except OSError:
                # Overwritten in the meantime: the next read goes on behind it.
                continue
            text = record.partition(";")[2].split("\n")[0]
            if self.WANTED.search(text):
                lines.append(text)
