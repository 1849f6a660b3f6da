// SPDX-License-Identifier: GPL-2.0

/*
 * Inline functions and macros that FUSE DAX calls.
 */

#include <linux/fs.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <asm/processor.h>

__rust_helper loff_t rust_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

__rust_helper void rust_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

__rust_helper int rust_helper_inode_trylock(struct inode *inode)
{
	return inode_trylock(inode);
}

__rust_helper void rust_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

__rust_helper void rust_helper_inode_lock_shared(struct inode *inode)
{
	inode_lock_shared(inode);
}

__rust_helper int rust_helper_inode_trylock_shared(struct inode *inode)
{
	return inode_trylock_shared(inode);
}

__rust_helper void rust_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

__rust_helper void rust_helper_filemap_invalidate_lock(struct address_space *mapping)
{
	filemap_invalidate_lock(mapping);
}

__rust_helper void rust_helper_filemap_invalidate_unlock(struct address_space *mapping)
{
	filemap_invalidate_unlock(mapping);
}

__rust_helper void
rust_helper_filemap_invalidate_unlock_shared(struct address_space *mapping)
{
	filemap_invalidate_unlock_shared(mapping);
}

__rust_helper void rust_helper_sb_start_pagefault(struct super_block *sb)
{
	sb_start_pagefault(sb);
}

__rust_helper void rust_helper_sb_end_pagefault(struct super_block *sb)
{
	sb_end_pagefault(sb);
}

__rust_helper void rust_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

__rust_helper ssize_t rust_helper_generic_write_sync(struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

__rust_helper size_t rust_helper_iov_iter_count(const struct iov_iter *i)
{
	return iov_iter_count(i);
}

__rust_helper bool rust_helper_user_backed_iter(const struct iov_iter *i)
{
	return user_backed_iter(i);
}

__rust_helper void rust_helper_rdax_vma_set_dax(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_MIXEDMAP | VM_HUGEPAGE);
}

__rust_helper bool rust_helper_rdax_may_drop_fault_lock(const struct vm_fault *vmf)
{
	/* wp_pfn_shared() of mm/memory.c takes no VM_FAULT_RETRY from pfn_mkwrite(). */
	return fault_flag_allow_retry_first(vmf->flags) &&
	       !(vmf->flags & (FAULT_FLAG_RETRY_NOWAIT | FAULT_FLAG_MKWRITE));
}

__rust_helper void rust_helper_release_fault_lock(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

__rust_helper int rust_helper_rdax_kill_procs(struct address_space *mapping,
					      pgoff_t index, unsigned long count,
					      int mf_flags)
{
#ifdef CONFIG_MEMORY_FAILURE
	return mf_dax_kill_procs(mapping, index, count, mf_flags);
#else
	return -EOPNOTSUPP;
#endif
}

__rust_helper bool rust_helper_virtio_get_shm_region(struct virtio_device *vdev,
						     struct virtio_shm_region *region,
						     u8 id)
{
	return virtio_get_shm_region(vdev, region, id);
}

/* -1 if the device has no BARs, 0 if this is none of memory, 1 if it is. */
__rust_helper int rust_helper_rdax_virtio_bar(struct virtio_device *vdev, int bar,
					      u64 *start, u64 *len)
{
#ifdef CONFIG_PCI
	struct pci_dev *pdev;

	if (!vdev->dev.parent || !dev_is_pci(vdev->dev.parent))
		return -1;
	pdev = to_pci_dev(vdev->dev.parent);
	*start = pci_resource_start(pdev, bar);
	*len = pci_resource_len(pdev, bar);
	return !!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM);
#else
	return -1;
#endif
}

__rust_helper unsigned int rust_helper_rdax_phys_bits(void)
{
#ifdef CONFIG_X86
	return boot_cpu_data.x86_phys_bits;
#else
	return 64;
#endif
}
