// SPDX-License-Identifier: GPL-2.0
/*
 * Holders of dax devices that a test leads by hand, and that write down what they are
 * told.  One command a write to /sys/kernel/debug/dax_holder_test/control; a command
 * that fails is a write that fails:
 *
 *   open NAME PATH              a block device, whole or a partition
 *   get NAME                    become a holder of its dax device; EBUSY when refused
 *   ref NAME                    only a reference to the dax device
 *   as NAME OTHER               as get, but with OTHER's pointer for the holder
 *   put NAME
 *   close NAME                  put, close the block device, forget NAME
 *   notify NAME OFF LEN FLAGS   dax_holder_notify_failure(), whose error this is
 *   delay NAME MS               its callback waits MS, or for `release NAME`
 *   release NAME
 *   answer NAME ERRNO           what its callback returns
 *
 * dax_holder_test/NAME shows:
 *
 *   range 0x<start>-0x<last>    of the block device in the dax device, once held
 *   running N                   callbacks at work
 *   late N                      puts that returned while a callback was at work
 *   call 0x<offset> 0x<len> 0x<flags>      one line for each callback
 *
 * In C, so that both cores are called as the file systems call them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/blkdev.h>
#include <linux/dax.h>
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define NAME_SIZE 32
#define PATH_SIZE 64
#define CALLS 32

struct call {
	u64 offset, len;
	int flags;
};

struct holder {
	struct list_head list;
	char name[NAME_SIZE];
	struct dentry *file;
	struct file *bdev_file;
	struct dax_device *dax_dev;
	/* What the device was taken with: this holder, another one, or NULL. */
	void *taken_as;
	u64 start, size;

	unsigned int delay_ms;
	bool released;
	int answer;
	wait_queue_head_t queue;

	/* Commands that have found it, and so keep it from being closed. */
	atomic_t users;
	atomic_t running;
	unsigned int late;

	spinlock_t lock; /* protects what the callbacks write down */
	unsigned int calls;
	struct call call[CALLS];
};

static LIST_HEAD(holders);
static DEFINE_MUTEX(holders_lock);
static struct dentry *directory;

static int holder_notify(struct dax_device *dax_dev, u64 offset, u64 len, int flags)
{
	struct holder *holder = dax_holder(dax_dev);
	int answer;

	if (!holder) {
		pr_err("called without a holder\n");
		return -ENODEV;
	}
	atomic_inc(&holder->running);
	spin_lock(&holder->lock);
	if (holder->calls < CALLS)
		holder->call[holder->calls] = (struct call){ offset, len, flags };
	holder->calls++;
	spin_unlock(&holder->lock);
	if (holder->delay_ms)
		wait_event_timeout(holder->queue, READ_ONCE(holder->released),
				   msecs_to_jiffies(holder->delay_ms));
	answer = holder->answer;
	atomic_dec(&holder->running);
	return answer;
}

static const struct dax_holder_operations holder_ops = {
	.notify_failure = holder_notify,
};

static int holder_show(struct seq_file *seq, void *unused)
{
	struct holder *holder = seq->private;
	struct call call;

	if (holder->size)
		seq_printf(seq, "range %#llx-%#llx\n", holder->start,
			   holder->start + holder->size - 1);
	seq_printf(seq, "running %d\n", atomic_read(&holder->running));
	seq_printf(seq, "late %u\n", READ_ONCE(holder->late));
	for (unsigned int i = 0; i < min(READ_ONCE(holder->calls), CALLS); i++) {
		spin_lock(&holder->lock);
		call = holder->call[i];
		spin_unlock(&holder->lock);
		seq_printf(seq, "call %#llx %#llx %#x\n", call.offset, call.len, call.flags);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(holder);

/* Found, it is not closed until put_found(). */
static struct holder *find(const char *name)
{
	struct holder *holder;

	mutex_lock(&holders_lock);
	list_for_each_entry(holder, &holders, list) {
		if (!strcmp(holder->name, name)) {
			atomic_inc(&holder->users);
			mutex_unlock(&holders_lock);
			return holder;
		}
	}
	mutex_unlock(&holders_lock);
	return NULL;
}

static void put_found(struct holder *holder)
{
	atomic_dec(&holder->users);
}

static int open_holder(const char *name, const char *path)
{
	struct holder *holder = find(name);

	if (holder) {
		put_found(holder);
		return -EEXIST;
	}
	holder = kzalloc(sizeof(*holder), GFP_KERNEL);
	if (!holder)
		return -ENOMEM;
	strscpy(holder->name, name);
	init_waitqueue_head(&holder->queue);
	spin_lock_init(&holder->lock);
	holder->bdev_file = bdev_file_open_by_path(path, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(holder->bdev_file)) {
		int error = PTR_ERR(holder->bdev_file);

		kfree(holder);
		return error;
	}
	holder->file = debugfs_create_file(name, 0400, directory, holder, &holder_fops);
	mutex_lock(&holders_lock);
	list_add_tail(&holder->list, &holders);
	mutex_unlock(&holders_lock);
	return 0;
}

static int take(struct holder *holder, void *as, const struct dax_holder_operations *ops)
{
	struct block_device *bdev = file_bdev(holder->bdev_file);
	struct dax_device *dax_dev;
	u64 start;

	if (holder->dax_dev)
		return -EALREADY;
	dax_dev = fs_dax_get_by_bdev(bdev, &start, as, ops);
	if (IS_ERR_OR_NULL(dax_dev))
		return -EBUSY;
	holder->dax_dev = dax_dev;
	holder->taken_as = as;
	holder->start = start;
	holder->size = bdev_nr_bytes(bdev);
	return 0;
}

static int take_as(struct holder *holder, const char *name)
{
	struct holder *other = find(name);
	int error;

	if (!other)
		return -ENOENT;
	error = take(holder, other, &holder_ops);
	put_found(other);
	return error;
}

static int put_holder(struct holder *holder)
{
	struct dax_device *dax_dev = xchg(&holder->dax_dev, NULL);

	if (!dax_dev)
		return -EALREADY;
	fs_put_dax(dax_dev, holder->taken_as);
	/* From here on a file system would free what its callback uses. */
	if (atomic_read(&holder->running))
		holder->late++;
	return 0;
}

static int close_holder(struct holder *holder)
{
	mutex_lock(&holders_lock);
	/* The caller's own is one. */
	if (atomic_read(&holder->users) != 1 || atomic_read(&holder->running)) {
		mutex_unlock(&holders_lock);
		return -EBUSY;
	}
	list_del(&holder->list);
	mutex_unlock(&holders_lock);
	debugfs_remove(holder->file);
	put_holder(holder);
	bdev_fput(holder->bdev_file);
	kfree(holder);
	return 0;
}

static int release_holder(struct holder *holder)
{
	WRITE_ONCE(holder->released, true);
	wake_up_all(&holder->queue);
	return 0;
}

static int run(char *words)
{
	char verb[16], name[NAME_SIZE], path[PATH_SIZE];
	unsigned long long offset, len;
	struct holder *holder;
	int flags, number, n, error = -EINVAL;

	/* The widths below. */
	BUILD_BUG_ON(NAME_SIZE != 32 || PATH_SIZE != 64);
	n = sscanf(words, "%15s %31s %63s", verb, name, path);
	if (n < 2)
		return -EINVAL;
	if (!strcmp(verb, "open"))
		return n == 3 ? open_holder(name, path) : -EINVAL;

	holder = find(name);
	if (!holder)
		return -ENOENT;
	if (!strcmp(verb, "get")) {
		error = take(holder, holder, &holder_ops);
	} else if (!strcmp(verb, "ref")) {
		error = take(holder, NULL, NULL);
	} else if (!strcmp(verb, "as") && n == 3) {
		error = take_as(holder, path);
	} else if (!strcmp(verb, "put")) {
		error = put_holder(holder);
	} else if (!strcmp(verb, "release")) {
		error = release_holder(holder);
	} else if (!strcmp(verb, "close")) {
		error = close_holder(holder);
		if (!error)
			return 0;
	} else if (!strcmp(verb, "notify")) {
		n = sscanf(words, "%*s %*s %lli %lli %i", &offset, &len, &flags);
		if (n == 3 && holder->dax_dev)
			error = dax_holder_notify_failure(holder->dax_dev, offset, len, flags);
	} else if (sscanf(words, "%*s %*s %i", &number) == 1) {
		error = 0;
		if (!strcmp(verb, "delay")) {
			WRITE_ONCE(holder->released, false);
			holder->delay_ms = number;
		} else if (!strcmp(verb, "answer")) {
			holder->answer = -number;
		} else {
			error = -EINVAL;
		}
	}
	put_found(holder);
	return error;
}

static ssize_t control_write(struct file *file, const char __user *buffer, size_t size,
			     loff_t *pos)
{
	char *words;
	int error;

	if (size > 256)
		return -E2BIG;
	words = memdup_user_nul(buffer, size);
	if (IS_ERR(words))
		return PTR_ERR(words);
	error = run(words);
	kfree(words);
	/* A notification's answer may be positive, or none at all. */
	return error < 0 ? error : size;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = control_write,
};

static int __init dax_holder_test_init(void)
{
	directory = debugfs_create_dir("dax_holder_test", NULL);
	debugfs_create_file("control", 0200, directory, NULL, &control_fops);
	return 0;
}

static void __exit dax_holder_test_exit(void)
{
	struct holder *holder, *next;

	/* No command can be at work: each held the module by its open file. */
	list_for_each_entry_safe(holder, next, &holders, list) {
		atomic_inc(&holder->users);
		release_holder(holder);
		put_holder(holder);
		while (close_holder(holder))
			schedule_timeout_uninterruptible(1);
	}
	debugfs_remove(directory);
	/* The last callback's return. */
	synchronize_rcu_tasks();
}

module_init(dax_holder_test_init);
module_exit(dax_holder_test_exit);
MODULE_DESCRIPTION("Holders of dax devices that tests lead by hand");
MODULE_LICENSE("GPL");
