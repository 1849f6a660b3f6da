# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The same as layers-disks.sh on device mapper: linear, striped, and linear on linear.  A reported
# range goes across the border of two targets, and the users of both parts are notified.
#
# expect: rust pass
# regions: 2
# timeout: 250

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../xfs.sh"
. "$(dirname "$0")/../layers.sh"

plan $((3 * CELLS_OF_A_LAYER))
two_nvdimms
matrix linear stripe nested
finish
