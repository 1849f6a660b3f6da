// SPDX-License-Identifier: GPL-2.0

/*
 * What the DAX side of memory_failure() in Rust needs from C: macros that are loops, and
 * references to inodes and super blocks, whose counts bindgen does not see.
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "memory_failure_dax.h"

/* A thread of @task with memory; in an RCU read section. */
static struct task_struct *mf_thread_with_mm(struct task_struct *task)
{
	struct task_struct *thread;

	/* The first one may have ended. */
	for_each_thread(task, thread) {
		if (READ_ONCE(thread->mm))
			return thread;
	}
	return NULL;
}

/* How many process numbers are checked in an RCU read section; some are of threads. */
#define MF_NUMBERS 256

/* See memory_failure_dax.h. */
struct task_struct *mf_next_process(int *nr)
{
	struct task_struct *task, *thread;
	struct pid *pid;

	for (int i = 0; i < MF_NUMBERS; i++) {
		pid = find_ge_pid(*nr, &init_pid_ns);
		if (!pid) {
			*nr = -1;
			break;
		}
		*nr = pid_nr(pid) + 1;
		task = pid_task(pid, PIDTYPE_TGID);
		thread = task ? mf_thread_with_mm(task) : NULL;
		if (thread)
			return thread;
	}
	return NULL;
}

/* How many threads are checked in an RCU read section; walking their lists is fast. */
#define MF_THREADS 4096

/* See memory_failure_dax.h. */
int mf_anyone_early(int force_early)
{
	struct task_struct *task, *thread;
	int left = MF_THREADS, found = 0;

	rcu_read_lock();
	for_each_process(task) {
		if (task->flags & PF_KTHREAD)
			continue;
		/* task_early_kill() looks at each of them. */
		left -= get_nr_threads(task);
		if (left < 0) {
			found = -1;
			break;
		}
		thread = mf_thread_with_mm(task);
		if (thread && task_early_kill(thread, force_early)) {
			found = 1;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

static void mf_call_work(struct work_struct *work)
{
	struct mf_dax_call *call = container_of(work, struct mf_dax_call, work);
	struct super_block *sb = call->sb;
	struct inode *inode = call->inode;

	call->fn(call);
	iput(inode);
	deactivate_super(sb);
}

/* See memory_failure_dax.h. */
void mf_dax_call_later(struct mf_dax_call *call)
{
	INIT_WORK(&call->work, mf_call_work);
	queue_work(system_dfl_long_wq, &call->work);
}
EXPORT_SYMBOL_GPL(mf_dax_call_later);

static void mf_free_call(struct mf_dax_call *call)
{
	kfree(call);
}

/* A worker gives back a reference to @inode, if any, and the active one to @sb. */
static void mf_put_later(struct super_block *sb, struct inode *inode)
{
	struct mf_dax_call *call = kmalloc_obj(*call, GFP_NOIO | __GFP_NOFAIL);

	call->sb = sb;
	call->inode = inode;
	call->fn = mf_free_call;
	mf_dax_call_later(call);
}

/* See memory_failure_dax.h. */
void mf_dax_put_super(struct super_block *sb)
{
	if (!atomic_add_unless(&sb->s_active, -1, 1))
		mf_put_later(sb, NULL);
}
EXPORT_SYMBOL_GPL(mf_dax_put_super);

/* See memory_failure_dax.h. */
struct inode *mf_dax_get_inode(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;

	if (!atomic_inc_not_zero(&sb->s_active))
		return NULL;
	if (igrab(inode))
		return inode;
	mf_dax_put_super(sb);
	return NULL;
}

/* See memory_failure_dax.h. */
struct inode *mf_dax_get_inode_of(struct vm_area_struct *vma)
{
	return vma_is_dax(vma) ? mf_dax_get_inode(vma->vm_file->f_mapping->host) : NULL;
}

/* See memory_failure_dax.h. */
void mf_dax_put_inode(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;

	if (!iput_if_not_last(inode)) {
		if (!mapping_empty(inode->i_mapping) || !inode->i_nlink ||
		    inode_state_read_once(inode) & I_DONTCACHE) {
			mf_put_later(sb, inode);
			return;
		}
		iput(inode);
	}
	mf_dax_put_super(sb);
}
EXPORT_SYMBOL_GPL(mf_dax_put_inode);
