# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A server that allows 30 mappings, fewer than the window has ranges: it refuses the 31st.  That is no
# error of the file that is read, as long as another mapping can go.  (The host test has 2000 files and
# 100 mappings; QEMU takes long for each.)
#
# expect: rust pass
# regions: 0
# alone: yes
# timeout: 500
# boot: --virtiofs @SCRATCH@,window=128,max-maps=30,cache=always --share @SCRATCH@

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 17

MIB=1048576
FILES=120
cat >/tmp/limit.py <<'EOF'
import mmap, os, sys

def content(n):
    return (b"%-16d" % n) * 256

def load(fd):
    return mmap.mmap(fd, 4096, prot=mmap.PROT_READ)[:]

def store(fd):
    with mmap.mmap(fd, 4096) as memory:
        memory[:] = memory[:]
        return memory[:]

def read(fd):
    return os.pread(fd, 4096, 0)

how = {"load": load, "store": store, "read": read}
answers = {}
for n in range(int(sys.argv[3])):
    path = "%s/%d" % (sys.argv[2], n)
    if sys.argv[1] == "make":
        with open(path, "wb") as file:
            file.write(content(n))
        continue
    fd = os.open(path, os.O_RDWR)
    try:
        answer = "same" if how[sys.argv[1]](fd) == content(n) else "other data"
    except OSError as error:
        answer = error.strerror
    os.close(fd)
    answers[answer] = answers.get(answer, 0) + 1
print(" ".join("%d: %s" % (count, answer) for answer, count in sorted(answers.items())))
EOF
files() {
	bounded 200 python3 /tmp/limit.py "$@"
}

mkdir "$there/small"
files make "$there/small" $FILES >/dev/null
noise "$there/large" $((66 * MIB))
large=$(sum "$there/large")
virtiofs_mount
equal "files that are read, more than there may be mappings" "$FILES: same" "$(files read "$here/small" $FILES)"
# A page fault that fails ends the task.
equal "files that are loaded from" "$FILES: same" "$(files load "$here/small" $FILES)"
equal "files that are stored to" "$FILES: same" "$(files store "$here/small" $FILES)"
refused=$(virtiofs count shmem_refused) setups=$(virtiofs count SETUPMAPPING)
check "few requests are refused ($refused of $setups)" test "$((refused * 20))" -lt "$setups"
check "most that is allowed is used" test "$(virtiofs count mapped)" -ge 25
check "no more is mapped than is allowed" test "$(virtiofs count mapped_peak)" -le 30
equal "a file that is larger" "$large" "$(sum_by read "$here/large")"
equal "and through a mapping" "$large" "$(sum_by mmap "$here/large")"
equal "the small ones, again" "$FILES: same" "$(files load "$here/small" $FILES)"
# A page was read and is stored to, for which a server may have to split one of its mappings.
printf '%-4096s' LOADED | tee "$there/split" >"$there/never"
holder "$here/split"
equal "a page is loaded" LOADED "$(ask get 0 6)"
virtiofs zero >/dev/null
virtiofs fault fail-setupmapping=1:ENOMEM >/dev/null
equal "a store, with no room for that at first" ok "$(ask put 0 STORED)"
equal "the server was asked once more" 2 "$(virtiofs count SETUPMAPPING)"
virtiofs reset >/dev/null
equal "what was stored is there" STORED "$(head -c 6 "$there/split")"
holder_ends
holder "$here/never"
[ "$(ask get 0 6)" != "no answer" ] || bail "the file is not mapped"
virtiofs fault fail-setupmapping=*:ENOSPC >/dev/null
equal "a store, with no room for it ever" SIGBUS "$(ask put 0 STORED)"
virtiofs reset >/dev/null
equal "and with room" ok "$(ask put 0 STORED)"
holder_ends
# A server that refuses whatever is given up is believed in the end.
virtiofs fault fail-setupmapping=*:ENOSPC >/dev/null
head -c 4096 /dev/zero >"$there/new"
equal "what it always refuses is an error" SIGBUS "$(bounded 60 window touch "$here/new" 0 | tail -n 1)"
virtiofs reset >/dev/null
equal "and is none afterwards" loaded "$(bounded 60 window touch "$here/new" 0 | tail -n 1)"
finish
