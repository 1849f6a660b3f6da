/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rdax adds to the headers that bindgen reads.  Included at the end of
 * rust/bindings/bindings_helper.h.
 */

#include <linux/badblocks.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/dax.h>
#include <linux/kernfs.h>
#include <linux/libnvdimm.h>
#include <linux/memremap.h>
#include <linux/nd.h>
#include <linux/set_memory.h>
#include <linux/uio.h>

/* Features are casts, which bindgen does not evaluate. */
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_FUA = BLK_FEAT_FUA;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_IO_STAT = BLK_FEAT_IO_STAT;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_SYNCHRONOUS = BLK_FEAT_SYNCHRONOUS;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_NOWAIT = BLK_FEAT_NOWAIT;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_DAX = BLK_FEAT_DAX;

/* An expression that depends on the architecture. */
const unsigned long RUST_CONST_HELPER_RDAX_MEMREMAP_PMEM = ARCH_MEMREMAP_PMEM;

/* The headers of libnvdimm are private to its directory. */
#if IS_ENABLED(CONFIG_BLK_DEV_PMEM_RUST)
#include "../../drivers/nvdimm/btt.h"
#include "../../drivers/nvdimm/nd-core.h"
#include "../../drivers/nvdimm/nd.h"
#include "../../drivers/nvdimm/pfn.h"
#include "../../rdax/drivers/nvdimm/pmem_rust.h"
#endif
