# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A hundred tasks that load from a file of eight ranges, through a window of two: each gets what
# is in the file, and all come to an end.
#
# C passes nearly always, and once hung until the end of its time on a host that did other work
# (ten tasks blocked, which took the boot with it): it is no part of what has to hold, and runs by
# run-all --any --kernel c.
#
# expect: rust pass
# cpus: 2
# regions: 0
# boot: --virtiofs @SCRATCH@,window=4,cache=always --share @SCRATCH@
# timeout: 900

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
plan 3

# Page by page 9p takes long.
poison fill /tmp/file 0 4096 5
cp /tmp/file "$there/file"
virtiofs_mount
virtiofs zero >/dev/null
equal "100 tasks at once" same "$(bounded 400 window crowd "$here/file" 100 12 5 load 2>&1 | sort -u | paste -sd,)"
check "the file is as it was" cmp /tmp/file "$there/file"
echo "# $(virtiofs count SETUPMAPPING) SETUPMAPPING, $(virtiofs count REMOVEMAPPING) REMOVEMAPPING for 1200 accesses"
equal "no FUSE READ" 0 "$(virtiofs count READ)"
umount "$mnt"
finish
