/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between device mapper and its part in Rust, which holds the dax devices of tables.
 */
#ifndef _RDAX_DM_DAX_H
#define _RDAX_DM_DAX_H

#include <linux/types.h>

struct block_device;
struct dax_device;
struct dm_dev;
struct mapped_device;

/* To be called once, before the rest. */
void dm_dax_init(void);

/*
 * dm_dax_get - make @md a user of the dax device of a device of one of its tables
 * @dev: open, with @bdev and @bdev_file set; it identifies the use
 *
 * From now on @md is told of memory of @dev that fails or goes away.  NULL if there
 * is no dax device, or one that goes away.  Sleeps.
 */
struct dax_device *dm_dax_get(struct mapped_device *md, struct dm_dev *dev);

/* Has to come before @dev is closed.  Does not wait for @md being told.  Sleeps. */
void dm_dax_put(struct dm_dev *dev);

/* As struct dm_dax_section, in bytes, with where in @md its target begins. */
struct dm_dax_part {
	u64 begin;
	u64 start;
	u64 len;
	u64 chunk;
	u64 every;
	u64 first;
};

typedef void (*dm_dax_part_fn)(const struct dm_dax_part *part, void *data);

/*
 * dm_dax_each_part - the parts of @bdev that the live table of @md has
 * @size: gets the size of the table in bytes
 *
 * @fn must not sleep.  -EOPNOTSUPP when a target with DAX has a part that it cannot
 * describe; the other parts are gone through all the same.  Sleeps.
 */
int dm_dax_each_part(struct mapped_device *md, struct block_device *bdev,
		     u64 *size, dm_dax_part_fn fn, void *data);

/* The dax device of @md, NULL if it has none. */
struct dax_device *dm_dax_device(struct mapped_device *md);

#endif
