// SPDX-License-Identifier: GPL-2.0

/*
 * Inline functions and macros that the fs-dax part of memory_failure() calls.
 */

#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/rmap.h>
#include <linux/sched.h>

__rust_helper bool rust_helper_dax_mapping(struct address_space *mapping)
{
	return dax_mapping(mapping);
}

__rust_helper void rust_helper_i_mmap_lock_read(struct address_space *mapping)
{
	i_mmap_lock_read(mapping);
}

__rust_helper void rust_helper_i_mmap_unlock_read(struct address_space *mapping)
{
	i_mmap_unlock_read(mapping);
}

__rust_helper int rust_helper_mapping_mapped(const struct address_space *mapping)
{
	return mapping_mapped(mapping);
}

/* Fields of unions that bindgen gives no names. */
__rust_helper struct address_space *rust_helper_mf_folio_mapping(struct folio *folio)
{
	return folio->mapping;
}

/* As dax_folio_is_shared() in fs/dax.c. */
__rust_helper bool rust_helper_mf_folio_is_shared(struct folio *folio)
{
	return !folio->mapping && folio->share;
}

/* Is @page the one of @index of the file with @mapping?  @mapping is only compared. */
__rust_helper bool rust_helper_mf_page_is_at(struct page *page,
					     const struct address_space *mapping,
					     pgoff_t index)
{
	struct folio *folio = page_folio(page);

	return READ_ONCE(folio->mapping) == mapping &&
	       READ_ONCE(folio->index) + folio_page_idx(folio, page) == index;
}

__rust_helper int rust_helper_mf_folio_ref_count(struct folio *folio)
{
	return folio_ref_count(folio);
}

__rust_helper unsigned int rust_helper_folio_order(struct folio *folio)
{
	return folio_order(folio);
}

__rust_helper void
rust_helper_page_vma_mapped_walk_done(struct page_vma_mapped_walk *walk)
{
	page_vma_mapped_walk_done(walk);
}

__rust_helper struct mm_struct *rust_helper_mf_task_mm(struct task_struct *task)
{
	return READ_ONCE(task->mm);
}

/*
 * A task that has dropped the last reference to a page is not done with its page
 * struct yet, and may be preempted.  It does not sleep before it is.
 */
__rust_helper void rust_helper_mf_wait_for_puts(void)
{
	synchronize_rcu_tasks();
}
