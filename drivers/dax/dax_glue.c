// SPDX-License-Identifier: GPL-2.0

/*
 * What the DAX core in Rust needs from C: macros that define, export or register
 * something for the linker.
 */

#include <linux/dax.h>
#include <linux/idr.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/srcu.h>
#include "../../../drivers/dax/dax-private.h"
#include "dax_core.h"

/* The code of the tracepoints that Rust calls. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "../../include/trace/events/dax.h"

/* Both are initialized by the compiler, which Rust could not do without a moment before it. */
DEFINE_SRCU(dax_srcu);
DEFINE_IDA(dax_minor_ida);

/* The functions are Rust's; only C can put their names into the export table. */
EXPORT_SYMBOL_GPL(alloc_dax);
EXPORT_SYMBOL_GPL(dax_alive);
/* C does not export these two: drivers in modules call them by way of the kernel crate. */
EXPORT_SYMBOL_GPL(dax_copy_from_iter);
EXPORT_SYMBOL_GPL(dax_copy_to_iter);
EXPORT_SYMBOL_GPL(dax_dev_get);
EXPORT_SYMBOL_GPL(dax_dev_read_lock);
EXPORT_SYMBOL_GPL(dax_dev_read_unlock);
EXPORT_SYMBOL_GPL(dax_direct_access);
EXPORT_SYMBOL_GPL(dax_flush);
EXPORT_SYMBOL_GPL(dax_get_private);
EXPORT_SYMBOL_GPL(dax_good_bytes);
EXPORT_SYMBOL_GPL(dax_holder);
EXPORT_SYMBOL_GPL(dax_holder_notify_failure);
EXPORT_SYMBOL_GPL(dax_inode);
EXPORT_SYMBOL_GPL(dax_read_lock);
EXPORT_SYMBOL_GPL(dax_read_unlock);
EXPORT_SYMBOL_GPL(dax_recovery_read);
EXPORT_SYMBOL_GPL(dax_recovery_write);
EXPORT_SYMBOL_GPL(dax_retire);
EXPORT_SYMBOL_GPL(dax_set_ops);
EXPORT_SYMBOL_GPL(dax_set_unheld);
EXPORT_SYMBOL_GPL(dax_synchronous);
EXPORT_SYMBOL_GPL(dax_write_cache);
EXPORT_SYMBOL_GPL(dax_write_cache_enabled);
EXPORT_SYMBOL_GPL(dax_zero_page_range);
EXPORT_SYMBOL_GPL(inode_dax);
EXPORT_SYMBOL_GPL(kill_dax);
EXPORT_SYMBOL_GPL(put_dax);
EXPORT_SYMBOL_GPL(run_dax);
EXPORT_SYMBOL_GPL(set_dax_nocache);
EXPORT_SYMBOL_GPL(set_dax_nomc);
EXPORT_SYMBOL_GPL(set_dax_synchronous);
EXPORT_SYMBOL_GPL(dax_add_host);
EXPORT_SYMBOL_GPL(dax_remove_host);
EXPORT_SYMBOL_GPL(fs_dax_get_by_bdev);
EXPORT_SYMBOL_GPL(fs_dax_get);
EXPORT_SYMBOL_GPL(fs_put_dax);

/* Rust's module! has no initcall levels: this one is before drivers, as in super.c. */
static int __init dax_core_init(void)
{
	int rc;

	rc = dax_core_start();
	if (rc)
		return rc;
	return dax_bus_init();
}
subsys_initcall(dax_core_init);
