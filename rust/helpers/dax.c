// SPDX-License-Identifier: GPL-2.0

/*
 * Inline functions and macros that the DAX core calls.
 */

#include <linux/blkdev.h>
#include <linux/cacheinfo.h>
#include <linux/dax.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/libnvdimm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

__rust_helper void rust_helper_pagefault_disable(void)
{
	pagefault_disable();
}

__rust_helper void rust_helper_pagefault_enable(void)
{
	pagefault_enable();
}

__rust_helper void *rust_helper_dax_alloc_inode_sb(struct super_block *sb,
						   struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

__rust_helper bool rust_helper_cpu_dcache_is_aliasing(void)
{
	return cpu_dcache_is_aliasing();
}

__rust_helper enum inode_state_flags_enum
rust_helper_inode_state_read_once(struct inode *inode)
{
	return inode_state_read_once(inode);
}

__rust_helper void rust_helper_mapping_set_gfp_mask(struct address_space *mapping,
						    gfp_t mask)
{
	mapping_set_gfp_mask(mapping, mask);
}

__rust_helper void rust_helper_device_lock(struct device *dev)
{
	device_lock(dev);
}

__rust_helper void rust_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

__rust_helper u8 rust_helper_bdev_partno(const struct block_device *bdev)
{
	return bdev_partno(bdev);
}

/* Some machines have no way to write back caches to persistent memory. */
__rust_helper void rust_helper_dax_wb_cache(void *addr, size_t size)
{
#ifdef CONFIG_ARCH_HAS_PMEM_API
	arch_wb_cache_pmem(addr, size);
#endif
}

/* srcu_read_lock_held() is always true without lockdep. */
__rust_helper void rust_helper_dax_assert_reading(const struct srcu_struct *a,
						  const struct srcu_struct *b)
{
	WARN_ON_ONCE(!srcu_read_lock_held(a) && !srcu_read_lock_held(b));
}

#ifndef CONFIG_ARCH_HAS_COPY_MC
__rust_helper size_t rust_helper__copy_mc_to_iter(const void *addr, size_t bytes,
						  struct iov_iter *i)
{
	return _copy_mc_to_iter(addr, bytes, i);
}
#endif
