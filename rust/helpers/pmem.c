// SPDX-License-Identifier: GPL-2.0

/*
 * Inline functions and macros of the persistent memory stack, which Rust cannot
 * call by itself.
 */

#include <linux/badblocks.h>
#include <linux/dax.h>
#include <linux/device.h>
#include <linux/libnvdimm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page-flags.h>
#include <linux/seqlock.h>
#include <linux/set_memory.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

__rust_helper unsigned long rust_helper_copy_mc_to_kernel(void *dst,
							  const void *src,
							  unsigned int len)
{
	return copy_mc_to_kernel(dst, src, len);
}

__rust_helper size_t rust_helper__copy_from_iter_flushcache(void *addr,
							    size_t bytes,
							    struct iov_iter *i)
{
	return _copy_from_iter_flushcache(addr, bytes, i);
}

__rust_helper void rust_helper_arch_invalidate_pmem(void *addr, size_t size)
{
	arch_invalidate_pmem(addr, size);
}

__rust_helper void rust_helper_memcpy_flushcache(void *dst, const void *src,
						 size_t size)
{
	memcpy_flushcache(dst, src, size);
}

/* These are inline without unloading of modules. */
__rust_helper bool rust_helper_try_module_get(struct module *module)
{
	return try_module_get(module);
}

__rust_helper void rust_helper_module_put(struct module *module)
{
	module_put(module);
}

__rust_helper bool rust_helper_kernel_page_present(struct page *page)
{
	return kernel_page_present(page);
}

__rust_helper void *rust_helper_page_address(const struct page *page)
{
	return page_address(page);
}

__rust_helper void rust_helper_flush_dcache_page(struct page *page)
{
	flush_dcache_page(page);
}

__rust_helper bool rust_helper_TestClearPageHWPoison(struct page *page)
{
#ifdef CONFIG_MEMORY_FAILURE
	return TestClearPageHWPoison(page);
#else
	return false;
#endif
}

__rust_helper void rust_helper_SetPageHWPoison(struct page *page)
{
#ifdef CONFIG_MEMORY_FAILURE
	SetPageHWPoison(page);
#endif
}

__rust_helper struct page *rust_helper_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

__rust_helper unsigned long rust_helper_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

__rust_helper struct page *rust_helper_compound_head(struct page *page)
{
	return compound_head(page);
}

__rust_helper void rust_helper_put_dev_pagemap(struct dev_pagemap *pgmap)
{
	put_dev_pagemap(pgmap);
}

__rust_helper int rust_helper_set_mce_nospec(unsigned long pfn)
{
	return set_mce_nospec(pfn);
}

__rust_helper int rust_helper_clear_mce_nospec(unsigned long pfn)
{
	return clear_mce_nospec(pfn);
}

__rust_helper int rust_helper_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

__rust_helper unsigned int rust_helper_badblocks_generation(struct badblocks *bb)
{
	return raw_read_seqcount(&bb->lock.seqcount);
}

__rust_helper unsigned int rust_helper_badblocks_read_begin(struct badblocks *bb)
{
	return read_seqbegin(&bb->lock);
}

__rust_helper bool rust_helper_badblocks_read_retry(struct badblocks *bb,
						    unsigned int start)
{
	return read_seqretry(&bb->lock, start);
}

#if !defined(CONFIG_BLOCK) || !defined(CONFIG_FS_DAX)
__rust_helper int rust_helper_dax_add_host(struct dax_device *dax_dev,
					   struct gendisk *disk)
{
	return dax_add_host(dax_dev, disk);
}

__rust_helper void rust_helper_dax_remove_host(struct gendisk *disk)
{
	dax_remove_host(disk);
}
#endif
