// SPDX-License-Identifier: GPL-2.0
/*
 * What the calls of the dax core cost that every access makes, measured while the
 * module is loaded:
 *
 *   insmod dax_bench.ko device=/dev/pmem0 calls=10000
 *   cat /sys/module/dax_bench/parameters/{calls,read_lock_ns,direct_access_ns}
 *
 * The times are of all calls together, less an empty loop.  Each is the least of
 * several tries, so that interrupts are not in it.  In a guest whose nanoseconds are
 * instructions (scripts/boot --icount) they are instructions.
 *
 * In C, so that both cores are called as the file systems call them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/dax.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>

#define TRIES 9

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "path of the block device");

static unsigned int calls = 10000;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "how many calls to measure");

static unsigned long read_lock_ns;
module_param(read_lock_ns, ulong, 0444);
MODULE_PARM_DESC(read_lock_ns, "of dax_read_lock() and dax_read_unlock()");

static unsigned long direct_access_ns;
module_param(direct_access_ns, ulong, 0444);
MODULE_PARM_DESC(direct_access_ns, "of dax_direct_access()");

static u64 empty_loop(struct dax_device *dax_dev, pgoff_t pgoff)
{
	u64 begun = ktime_get_ns();

	for (unsigned int i = 0; i < calls; i++)
		barrier();
	return ktime_get_ns() - begun;
}

static u64 read_lock_loop(struct dax_device *dax_dev, pgoff_t pgoff)
{
	u64 begun = ktime_get_ns();

	for (unsigned int i = 0; i < calls; i++) {
		int id = dax_read_lock();

		barrier();
		dax_read_unlock(id);
	}
	return ktime_get_ns() - begun;
}

static u64 direct_access_loop(struct dax_device *dax_dev, pgoff_t pgoff)
{
	unsigned long pfn;
	void *kaddr;
	u64 begun, ns;
	int id;

	id = dax_read_lock();
	begun = ktime_get_ns();
	for (unsigned int i = 0; i < calls; i++) {
		if (dax_direct_access(dax_dev, pgoff, 1, DAX_ACCESS, &kaddr, &pfn) != 1) {
			dax_read_unlock(id);
			return U64_MAX;
		}
		barrier();
	}
	ns = ktime_get_ns() - begun;
	dax_read_unlock(id);
	return ns;
}

static u64 least(u64 (*loop)(struct dax_device *dax_dev, pgoff_t pgoff), struct dax_device *dax_dev,
		 pgoff_t pgoff)
{
	u64 ns = U64_MAX;

	for (int i = 0; i < TRIES; i++) {
		ns = min(ns, loop(dax_dev, pgoff));
		cond_resched();
	}
	return ns;
}

static int __init dax_bench_init(void)
{
	struct dax_device *dax_dev;
	struct file *file;
	u64 start, empty, ns;
	int error = 0;

	if (!device || !calls)
		return -EINVAL;
	file = bdev_file_open_by_path(device, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(file)) {
		pr_err("cannot open %s: %ld\n", device, PTR_ERR(file));
		return PTR_ERR(file);
	}
	dax_dev = fs_dax_get_by_bdev(file_bdev(file), &start, NULL, NULL);
	if (IS_ERR_OR_NULL(dax_dev)) {
		pr_err("%s has no DAX\n", device);
		error = -EOPNOTSUPP;
		goto out_file;
	}

	empty = least(empty_loop, dax_dev, start >> PAGE_SHIFT);
	ns = least(read_lock_loop, dax_dev, start >> PAGE_SHIFT);
	read_lock_ns = ns - min(empty, ns);
	ns = least(direct_access_loop, dax_dev, start >> PAGE_SHIFT);
	if (ns == U64_MAX) {
		pr_err("the first page of %s cannot be accessed\n", device);
		error = -EIO;
		goto out_dax;
	}
	direct_access_ns = ns - min(empty, ns);
	pr_info("%u calls: read lock and unlock %lu ns, direct_access %lu ns, empty loop %llu ns\n",
		calls, read_lock_ns, direct_access_ns, empty);

out_dax:
	fs_put_dax(dax_dev, NULL);
out_file:
	bdev_fput(file);
	return error;
}

static void __exit dax_bench_exit(void)
{
}

module_init(dax_bench_init);
module_exit(dax_bench_exit);
MODULE_DESCRIPTION("Measure calls of the dax core");
MODULE_LICENSE("GPL");
