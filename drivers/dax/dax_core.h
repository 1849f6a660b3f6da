/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the DAX core in Rust and its C glue.
 */
#ifndef _RDAX_DAX_CORE_H
#define _RDAX_DAX_CORE_H

#include <linux/types.h>

struct dax_device;
struct ida;
struct srcu_struct;

/* Read sections that belong to no single device. */
extern struct srcu_struct dax_srcu;
/* The minor numbers of devices. */
extern struct ida dax_minor_ida;

/* Sets up the core; for the initcall alone. */
int dax_core_start(void);

/* @dev is dead, and every user that could have memory of it was a holder and gave it up. */
bool dax_is_given_up(struct dax_device *dev);

/* Pages of @dev may be in use by others than its holders: its removal has to look. */
void dax_set_unheld(struct dax_device *dev);

/*
 * dax_retire - end the holders of a device on top of one that goes away
 *
 * Each holder is notified of a removal.  Nothing gets the device any more, until
 * run_dax().  What has got it without being a holder goes on using it, until kill_dax().
 * No lock may be held that a holder takes.  Sleeps.
 */
void dax_retire(struct dax_device *dev);

/*
 * arch_invalidate_pmem() of x86 for memory that may not be mapped: writes back and drops
 * its cache lines.  False when some of it is not mapped, or when the access is a machine
 * check.
 */
bool pmem_clflush_range(void *addr, size_t size);

/*
 * Copies whole words, bypassing the caches.  False when a page is not mapped, or when a
 * store is a machine check; some words are stored then.  For x86.
 */
bool pmem_store_words(u64 *to, const u64 *from, size_t words);

#endif
