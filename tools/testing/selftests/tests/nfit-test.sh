# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# tools/testing/nvdimm: a bus made up in software, whose firmware can inject and clear.
#
# expect: rust pass, c pass
# debug: always
# regions: 0
# boot: --modules mods-nfit
# timeout: 150

. "$(dirname "$0")/../lib.sh"

plan 19
nfit_bus
json=$(ndctl create-namespace -b $bus -t pmem -m fsdax -M mem 2>/tmp/err || ndctl create-namespace -b $bus -t pmem -m raw 2>/tmp/err) ||
	bail "create-namespace: $(tail -n 1 /tmp/err)"
ns=$(jq -r .dev <<<"$json") dev=$(jq -r .blockdev <<<"$json")
disk=/dev/$dev bb=/sys/block/$dev/badblocks
check "a namespace is made" test -b "$disk"
check "it holds data" sh -c "head -c 1M /dev/urandom >/tmp/d && dd if=/tmp/d of=$disk oflag=direct bs=64k conv=notrunc status=none &&
	cmp -n 1048576 /tmp/d $disk"
media_errors() {
	ndctl list -n "$ns" --media-errors | jq -c '[.[].badblocks[]? | [.offset, .length]]'
}
equal "no errors at first" "[]" "$(media_errors)"
check "errors are injected" ndctl inject-error "$ns" -b $bus -B 64 -n 8
wait_for 30 recorded 0
scrub_ends
equal "badblocks has them" "64 8" "$(bad_sectors)"
equal "ndctl lists them" "[[64,8]]" "$(media_errors)"
equal "they are read as EIO" EIO "$(poison pread "$disk" $((64 * 512)) 4096 direct)"
check "clear-errors" ndctl clear-errors "$ns"
equal "badblocks has none" - "$(bad_sectors)"
equal "ndctl lists none" "[]" "$(media_errors)"
check "inject again" ndctl inject-error "$ns" -b $bus -B 128 -n 8
wait_for 30 recorded 0
scrub_ends
equal "a write of one sector" 512 "$(poison pwrite "$disk" $((128 * 512)) 512 n direct)"
equal "clears that one by firmware" "129 7" "$(bad_sectors)"
equal "a write of the page" 4096 "$(poison pwrite "$disk" $((128 * 512)) 4096 n direct)"
equal "clears all" - "$(bad_sectors)"
check "the namespace is destroyed" ndctl destroy-namespace -f "$ns"
nfit_gone
finish
