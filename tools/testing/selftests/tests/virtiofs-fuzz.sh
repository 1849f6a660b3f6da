# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A server that answers what is asked for the window by chance: errors, numbers that are none,
# replies that are cut, damaged, late, or in another order, refusals of what it did, and any
# alignment.  Each call comes to an end, with the right data or with an error; nobody is harmed;
# and when the server is well again, so is all else.
#
# A round is a seed, and the last one is fresh.  RDAX_ROUNDS=4 has the three seeds that were fixed
# first, and the fresh one.
#
# expect: rust pass, c pass
# cpus: 2
# debug: always
# regions: 0
# alone: yes
# boot: --virtiofs @SCRATCH@,window=8,cache=always --share @SCRATCH@
# timeout: 600
# rounds: 2
# debug-rounds: 1

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../virtiofs.sh"
rounds=$(asked_for rounds)
fresh=$(fresh_seed)
echo "# seed $fresh; again: --append rdax.seed=$fresh"
seeds=$(seq -s' ' $((${rounds:-2} - 1)))" $fresh"
plan $((14 * $(wc -w <<<"$seeds") + 1))

# Page by page 9p takes long.
poison fill /tmp/file 0 8192 5
cp /tmp/file "$there/file"
mkdir "$there/small"
SMALL=8
for ((i = 1; i <= SMALL; i++)); do
	noise "$there/small/$i" $((i * 3500))
done
cp /bin/true "$there/program"

# small_files HOW: says which of them is another, or is not read to an end.
small_files() {
	local i read=0 failed=0
	for ((i = 1; i <= SMALL; i++)); do
		if bounded 30 window cat "$1" "$here/small/$i" >/tmp/small 2>/dev/null; then
			cmp -s /tmp/small "$there/small/$i" || echo "small file $i is another by $1"
			read=$((read + 1))
		elif [ $? = 137 ]; then
			echo "small file $i: no end by $1"
		else
			failed=$((failed + 1))
		fi
	done
	echo "# $failed of $((read + failed)) small files could not be read by $1" >&2
}

# Files that get shorter and longer, and go.  bash is to run it.
# shellcheck disable=SC2317
change_files() {
	local i
	for i in {1..20}; do
		head -c 9000 /dev/urandom >"$here/new$i"
		truncate -s $((i * 500)) "$here/new$i"
		head -c 5000 /dev/urandom >>"$here/new$i"
		rm "$here/new$i"
	done
	true
}
export -f change_files
export here

# What is ordered: so many seeds that are the same in each run, and one that no run had before.
for seed in $seeds; do
	equal "seed $seed: faults are ordered" ok "$(virtiofs fault "fuzz=$seed")"
	# The answer to FUSE_INIT is fuzzed, too: then the mount fails, or is there and all that
	# is asked of it is ECONNREFUSED.
	mounted=1
	for _ in {1..8}; do
		if bounded 30 mount -t virtiofs -o dax=always dax "$mnt"; then
			if bounded 30 stat "$here/file" >/dev/null; then
				mounted=0
				break
			fi
			bounded 60 umount "$mnt"
		fi
	done
	result "$mounted" "seed $seed: it is mounted"
	[ "$mounted" = 0 ] || break

	output=$(bounded 200 window crowd "$here/file" 4 60 5 hostile 2>&1)
	status=$?
	equal "seed $seed: four tasks come to an end, with the data or errors" "0 same" "$status $(grep -v ' accesses failed$' <<<"$output" | sort -u | paste -sd,)"
	grep ' accesses failed$' <<<"$output" | sed 's/^/# /'
	equal "seed $seed: small files, read" "" "$(small_files read)"
	equal "seed $seed: small files, mapped" "" "$(small_files mmap)"
	hung=0
	for _ in {1..5}; do
		bounded 30 "$here/program" 2>/dev/null
		[ $? != 137 ] || hung=$((hung + 1))
	done
	equal "seed $seed: a program comes to an end, five times" 0 $hung
	bounded 200 bash -c change_files >/dev/null 2>&1
	check "seed $seed: files change, and that comes to an end" test $? -lt 128
	faults=$(virtiofs count faults)
	echo "# seed $seed: $faults faults, $(virtiofs count SETUPMAPPING) SETUPMAPPING, $(virtiofs count REMOVEMAPPING) REMOVEMAPPING"
	check "seed $seed: there were faults" test "$faults" -ge 20

	virtiofs reset >/dev/null
	virtiofs zero >/dev/null
	# What is under way comes to an end first.
	sleep 1
	equal "seed $seed: then the file is as it was" same "$(bounded 60 poison verify "$here/file" 0 8192 5)"
	equal "seed $seed: and through mappings" same "$(bounded 60 mapped verify "$here/file" 0 $((8192 * 4096)) 5)"
	equal "seed $seed: and so are small files" "" "$(small_files mmap 2>&1 | grep -v "^# 0 of $SMALL ")"
	check "seed $seed: a program runs" bounded 30 "$here/program"
	check "seed $seed: it is unmounted" bounded 60 umount "$mnt"
	equal "seed $seed: nobody was harmed" "" "$(complaints)"
done
check "what the host has is as it was" cmp /tmp/file "$there/file"
finish
