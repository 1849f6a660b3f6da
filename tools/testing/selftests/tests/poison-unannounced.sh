# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# nfit puts poison on the bus's list before it announces it.  Here the announcement never comes.  A
# write of the page then fails, because firmware clears nothing: the poison has to be known
# afterwards, to this binding and to the next one.
#
# expect: rust pass
# regions: 0
# alone: c debug-c fixed
# boot: --modules mods-nfit
# timeout: 150

. "$(dirname "$0")/../lib.sh"
plan 14

nfit_bus
json=$(ndctl create-namespace -b $bus -t pmem -m raw 2>/tmp/err) || bail "create-namespace: $(tail -n 1 /tmp/err)"
ns=$(jq -r .dev <<<"$json") dev=$(jq -r .blockdev <<<"$json")
disk=/dev/$dev bb=/sys/block/$dev/badblocks holder=$ns
check "a sector fails" ndctl inject-error "$ns" -b $bus -B 64 -n 1
wait_for 30 recorded 0
scrub_ends
equal "it is on record" "64 1" "$(bad_sectors)"

fail_in nvdimm_region_notify 5
echo 1000 >/sys/module/dax_delay/parameters/count
check "another one fails" ndctl inject-error "$ns" -b $bus -B 66 -n 1
check "it is announced in vain" wait_for 20 grep -qv "^0$" /sys/module/dax_delay/parameters/hits
equal "so it is not on record" "64 1" "$(bad_sectors)"

# What it finds is announced in vain, too, as long as this lasts.
scrub_ends
fail_in nvdimm_clear_poison 5
equal "firmware does not clear them for a write" EIO "$(poison pwrite "$disk" $((64 * 512)) 4096 n direct)"
check "it was asked" failed_in
rmmod dax_delay
equal "both are on record" "64 1,66 1" "$(bad_sectors)"

unbind
bind
wait_for 20 test -e "$bb" || bail "the disk does not come back"
equal "so they are for the next binding" "64 1,66 1" "$(bad_sectors)"
equal "a write repairs both" "4096 -" "$(poison pwrite "$disk" $((64 * 512)) 4096 n direct) $(bad_sectors)"

check "the namespace is destroyed" ndctl destroy-namespace -f "$ns"
nfit_gone
finish
