// SPDX-License-Identifier: GPL-2.0

/*
 * What the holder of tables' dax devices in Rust needs of device mapper, whose types
 * stay opaque to Rust.
 */

#include "../../../drivers/md/dm-core.h"
#include "dm_dax.h"

struct walk {
	struct block_device *bdev;
	dm_dax_part_fn fn;
	void *data;
};

static int each_section(struct dm_target *ti, const struct dm_dax_section *section,
			void *data)
{
	struct walk *walk = data;
	const sector_t max = U64_MAX >> SECTOR_SHIFT;
	struct dm_dax_part part = {
		.begin = (u64)ti->begin << SECTOR_SHIFT,
		.start = (u64)section->start << SECTOR_SHIFT,
		.len = (u64)section->len << SECTOR_SHIFT,
		.chunk = (u64)section->chunk << SECTOR_SHIFT,
		.every = section->every,
		.first = section->first,
	};

	if (section->dev->bdev != walk->bdev)
		return 0;
	if (ti->begin > max || section->start > max || section->len > max ||
	    section->chunk > max)
		return -EOPNOTSUPP;
	walk->fn(&part, walk->data);
	return 0;
}

static int is_bdev(struct dm_target *ti, struct dm_dev *dev, sector_t start,
		   sector_t len, void *bdev)
{
	return dev->bdev == bdev;
}

/* Has it memory of the device to give out, or not? */
static int each_part_of(struct dm_target *ti, struct walk *walk)
{
	/* That of the error target is an error. */
	if (!ti->type->direct_access || dm_target_is_wildcard(ti->type))
		return 0;
	if (ti->type->dax_sections)
		return ti->type->dax_sections(ti, each_section, walk);
	if (ti->type->iterate_devices &&
	    ti->type->iterate_devices(ti, is_bdev, walk->bdev))
		return -EOPNOTSUPP;
	return 0;
}

int dm_dax_each_part(struct mapped_device *md, struct block_device *bdev,
		     u64 *size, dm_dax_part_fn fn, void *data)
{
	struct walk walk = { .bdev = bdev, .fn = fn, .data = data };
	struct dm_table *table;
	int srcu_idx, ret = 0, err;
	unsigned int i;

	*size = 0;
	table = dm_get_live_table(md, &srcu_idx);
	if (table) {
		*size = (u64)dm_table_get_size(table) << SECTOR_SHIFT;
		/* What one target cannot say is no reason to leave out others. */
		for (i = 0; i < table->num_targets; i++) {
			err = each_part_of(dm_table_get_target(table, i), &walk);
			if (!ret)
				ret = err;
			cond_resched();
		}
	}
	dm_put_live_table(md, srcu_idx);
	return ret;
}

struct dax_device *dm_dax_device(struct mapped_device *md)
{
	return md->dax_dev;
}
