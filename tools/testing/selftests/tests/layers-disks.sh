# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What comes out of a failed page, a failed range and a removal for XFS, ext4, erofs and a mapped
# block device, on an NVDIMM and on a partition of one: which tasks are notified and which are not,
# what can be read, whether unbind returns, and what is there afterwards.  layers.sh has the words.
#
# expect: rust pass
# regions: 2
# timeout: 200

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
. "$(dirname "$0")/../layers.sh"

plan $((2 * CELLS_OF_A_LAYER))
two_nvdimms
matrix disk partition
finish
