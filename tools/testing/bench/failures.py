# SPDX-License-Identifier: GPL-2.0
"""Instructions of what XFS does when memory under it fails or goes away.

The file system has one allocation group: with more than one the C kernel does not come
back from a removal.
"""

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import subprocess
import time

PAGE = 4096
FICLONE = 0x40049409
PR_MCE_KILL = 33
PR_MCE_KILL_EARLY = 1
CONTROL = "/sys/kernel/debug/dax_holder_test/control"

libc = ctypes.CDLL(None)


def sh(*argv):
    """Runs a command, which has to succeed."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def writing(path, text):
    """The instructions of a write of this to a file: this task's CPU time in ns."""
    fd = os.open(path, os.O_WRONLY)
    data = text.encode()
    start = time.thread_time_ns()
    os.write(fd, data)
    end = time.thread_time_ns()
    os.close(fd)
    return end - start


def write(path, text):
    """Writes a word to a file of sysfs or debugfs."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Failures:
    """One file system after the other on /dev/pmem0."""

    def __init__(self, mount, driver):
        self.mount = mount
        self.driver = driver

    def fresh(self):
        """A new file system with DAX, mounted."""
        sh("mkfs.xfs", "-q", "-f", "-d", "agcount=1", "--unsupported", "/dev/pmem0")
        sh("mount", "-o", "dax=always,noatime", "/dev/pmem0", self.mount)

    def touched(self, name):
        """The file was mapped, each page of it: its inode is in core and knows them."""
        with open(f"{self.mount}/{name}", "rb") as file:
            with mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
                return mapping[0], mapping[-1]

    def mapper(self, sharers):
        """A process that has all of the files mapped, has touched them, and wants to be told; its number."""
        ready, done = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                mappings = []
                for number in range(sharers):
                    with open(f"{self.mount}/{number}", "rb") as file:
                        mapping = mmap.mmap(file.fileno(), 2 * PAGE, mmap.MAP_SHARED, mmap.PROT_READ)
                    mappings.append((mapping, mapping[0], mapping[PAGE]))
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGBUS])
                if libc.prctl(PR_MCE_KILL, 1, PR_MCE_KILL_EARLY, 0, 0) == 0:
                    os.write(done, b"x")
                while True:
                    signal.sigwait([signal.SIGBUS])
            finally:
                os._exit(1)
        os.close(done)
        if os.read(ready, 1) != b"x":
            raise RuntimeError("a process cannot map the files")
        os.close(ready)
        return pid

    def notify(self, sharers, processes=0):
        """A page that many files share fails, with so many processes that map all and are told."""
        self.fresh()
        first = f"{self.mount}/0"
        with open(first, "wb") as file:
            file.write(b"x" * 2 * PAGE)
        for number in range(1, sharers):
            fd = os.open(f"{self.mount}/{number}", os.O_CREAT | os.O_RDWR)
            source = os.open(first, os.O_RDONLY)
            fcntl.ioctl(fd, FICLONE, source)
            os.close(source)
            os.close(fd)
        os.sync()
        for number in range(sharers):
            self.touched(number)
        pids = [self.mapper(sharers) for _ in range(processes)]
        bmap = subprocess.run(["xfs_io", "-r", "-c", "bmap", first], check=True, capture_output=True, text=True)
        sector = int(bmap.stdout.split("]: ")[1].split("..")[0])
        sh("modprobe", "dax_holder_test")
        write(CONTROL, "open bench /dev/pmem0")
        write(CONTROL, "ref bench")
        # The second page first: then everything is warm, and there is as much to do.
        writing(CONTROL, f"notify bench {sector * 512 + PAGE} {PAGE} 0")
        # They take the signal.
        time.sleep(1 if processes else 0)
        value = writing(CONTROL, f"notify bench {sector * 512} {PAGE} 0")
        write(CONTROL, "close bench")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        sh("umount", self.mount)
        return value

    def unbind(self, files):
        """The device goes away, with so many files in core."""
        self.fresh()
        for number in range(files):
            with open(f"{self.mount}/{number}", "wb") as file:
                file.write(b"x" * PAGE)
            self.touched(number)
        os.sync()
        device = os.path.basename(os.path.realpath("/sys/block/pmem0/device"))
        value = writing(f"{self.driver}/unbind", device)
        sh("umount", self.mount)
        write(f"{self.driver}/bind", device)
        for _ in range(200):
            if os.path.exists("/dev/pmem0"):
                break
            time.sleep(0.05)
        return value

    def rows(self, quick):
        """Every row, and what it took."""
        if os.path.ismount(self.mount):
            sh("umount", self.mount)
        # A signal is a line in the log, which is no part of this where it is also one on the console.
        sh("dmesg", "-n", "1")
        # Of each mapping Python keeps the file.
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 16, 1 << 16))
        for sharers in (1, 10, 100 if quick else 1000):
            yield f"XFS: a page of {sharers} files fails", {"value": self.notify(sharers), "switches": 0}
        for sharers, processes in ((1, 100), (10, 10), (100 if quick else 1000, 10)):
            row = f"XFS: a page of {sharers} files fails, {processes} processes map each and are told"
            yield row, {"value": self.notify(sharers, processes), "switches": 0}
        # dax_holder_test had this device and is not told of removals: the driver would look at each page.
        self.unbind(1)
        for files in (1, 100, 1000 if quick else 10000):
            yield f"XFS: unbind, {files} files in core", {"value": self.unbind(files), "switches": 0}


if __name__ == "__main__":
    # By itself, after a namespace was made: only these.
    import sys
    sh("modprobe", "nd_pmem")
    sh("modprobe", "nfit")
    sh("ndctl", "create-namespace", "-f", "-e", "namespace0.0", "-m", "fsdax", "-M", "dev")
    os.makedirs("/mnt/pmem", exist_ok=True)
    for row, answer in Failures("/mnt/pmem", "/sys/bus/nd/drivers/nd_pmem").rows(sys.argv[1:] == ["quick"]):
        print(json.dumps({row: answer["value"]}), flush=True)
