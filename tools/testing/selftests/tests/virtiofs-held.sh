# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Landlock rules hold inodes of a submount until its super block is not active any more.  The window,
# which is that of the mount around it, must not keep ranges of these inodes: their memory goes to
# others, whose files then had the bytes of the old ones.
#
# expect: rust pass, fixed pass
# debug: always
# regions: 0
# alone: c debug-c fixed
# timeout: 300
# boot: --virtiofs @SCRATCH@,window=8,cache=always,submount=sub --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 8

HELD=60 OTHERS=150
cat >/tmp/held.py <<'EOF'
import ctypes, mmap, os, struct, sys

def load(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)[:]

def content(name):
    return ("%-16s" % name).encode() * 256

def hold(where, count):
    libc = ctypes.CDLL(None, use_errno=True)
    # landlock_create_ruleset() for reading files; landlock_add_rule() for what is beneath a path.
    rules = libc.syscall(444, struct.pack("Q", 4), ctypes.c_size_t(8), 0)
    for number in range(count):
        file = os.open("%s/%d" % (where, number), os.O_PATH)
        if libc.syscall(445, rules, 1, struct.pack("=Qi", 4, file), 0) != 0:
            sys.exit("landlock_add_rule: %s" % os.strerror(ctypes.get_errno()))
        os.close(file)
    print("held", flush=True)
    sys.stdin.read()

def wrong(where, kind, count):
    return sum(load("%s/%d" % (where, n)) != content("%s-%d" % (kind, n)) for n in range(count))

if sys.argv[1] == "make":
    for n in range(int(sys.argv[4])):
        with open("%s/%d" % (sys.argv[2], n), "wb") as file:
            file.write(content("%s-%d" % (sys.argv[3], n)))
elif sys.argv[1] == "hold":
    hold(sys.argv[2], int(sys.argv[3]))
else:
    print(wrong(sys.argv[2], sys.argv[3], int(sys.argv[4])))
EOF
files() {
	bounded 120 python3 /tmp/held.py "$@"
}

mkdir "$there/sub" "$there/others"
files make "$there/sub" held $HELD
files make "$there/others" other $OTHERS
virtiofs_mount
equal "the files of the submount have their bytes" 0 "$(files wrong "$here/sub" held $HELD)"
coproc HOLDER { exec python3 /tmp/held.py hold "$here/sub" $HELD; }
# shellcheck disable=SC2153
pid=$HOLDER_PID holder_in=${HOLDER[1]}
read -r -t "$(patient 60)" words <&"${HOLDER[0]}"
equal "rules hold their inodes" held "$words"
check "the submount goes all the same" bounded 60 umount "$here/sub"
# Memory is freed after a grace period, and then used for the inodes of other files.
sleep 1
equal "other files have their own bytes" 0 "$(files wrong "$here/others" other $OTHERS)"
equal "and again" 0 "$(files wrong "$here/others" other $OTHERS)"
exec {holder_in}>&-
wait "$pid"
equal "the submount comes back with its bytes" 0 "$(files wrong "$here/sub" held $HELD)"
check "all is unmounted" bounded 60 umount -R "$mnt"
equal "nothing is mapped any more" 0 "$(virtiofs count mapped)"
finish
