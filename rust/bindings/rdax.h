/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rdax adds to the headers that bindgen reads.  Included at the end of
 * rust/bindings/bindings_helper.h.
 */

#include <linux/badblocks.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/capability.h>
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

/* Expressions that depend on the architecture. */
const unsigned long RUST_CONST_HELPER_RDAX_MEMREMAP_PMEM = ARCH_MEMREMAP_PMEM;
const unsigned long RUST_CONST_HELPER_MF_PMD_SIZE = PMD_SIZE;

/* The headers of libnvdimm are private to its directory. */
#if IS_ENABLED(CONFIG_BLK_DEV_PMEM_RUST)
#include "../../drivers/nvdimm/btt.h"
#include "../../drivers/nvdimm/nd-core.h"
#include "../../drivers/nvdimm/nd.h"
#include "../../drivers/nvdimm/pfn.h"
#include "../../rdax/drivers/nvdimm/pmem_rust.h"
#endif

/* The DAX side of memory_failure(). */
#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include "../../rdax/mm/memory_failure_dax.h"

/* The headers of the DAX core are private to its directory. */
#include <linux/cacheinfo.h>
#include <linux/cdev.h>
#include <linux/idr.h>
#include <linux/kallsyms.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include "../../drivers/dax/bus.h"
#include "../../drivers/dax/dax-private.h"
#include "../../rdax/drivers/dax/dax_core.h"
#include "../../rdax/include/trace/events/dax.h"

/* Flags are casts, which bindgen does not evaluate. */
const size_t RUST_CONST_HELPER_KSYM_SYMBOL_LEN = KSYM_SYMBOL_LEN;
const gfp_t RUST_CONST_HELPER_GFP_USER = GFP_USER;
const slab_flags_t RUST_CONST_HELPER_RDAX_SLAB_FLAGS =
	SLAB_HWCACHE_ALIGN | SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT;

/* Of device mapper no more than its public header, and the functions for its part in Rust. */
#if IS_ENABLED(CONFIG_BLK_DEV_DM)
#include <linux/device-mapper.h>
#include <linux/file.h>
#include "../../rdax/drivers/md/dm_dax.h"
#endif

/* Of XFS no more than the functions for notify_failure. */
#if IS_ENABLED(CONFIG_XFS_DAX_NOTIFY_RUST)
#include <linux/mm.h>
#include "../../rdax/fs/xfs/xfs_notify_rust.h"
#endif

/* FUSE's own headers stay out of this: see dax_glue.h. */
#if IS_ENABLED(CONFIG_FUSE_DAX_RUST)
#include <linux/iomap.h>
#include <linux/pagemap.h>
#include <linux/pci_regs.h>
#include <linux/pgalloc.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include "../../rdax/fs/fuse/dax_glue.h"

/* Casts, which bindgen does not evaluate. */
const u64 RUST_CONST_HELPER_IOMAP_NULL_ADDR = IOMAP_NULL_ADDR;
const int RUST_CONST_HELPER_IOCB_NOWAIT = IOCB_NOWAIT;
#endif
