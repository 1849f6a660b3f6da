/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between fs/dax.c and what it has in Rust.
 */
#ifndef _RDAX_FS_DAX_H
#define _RDAX_FS_DAX_H

#include <linux/types.h>

/*
 * Copies a page that may be poisoned: 0, or -EHWPOISON, and then @to is not to be
 * used.  Does not sleep.
 */
int dax_copy_page(void *to, const void *from);

/*
 * Compares memory that may be poisoned: 1 if it is the same, 0 if it is not, -EIO
 * if it cannot be read.  Sleeps.
 */
int dax_compare(const void *a, const void *b, size_t len);

#endif
