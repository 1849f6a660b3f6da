// SPDX-License-Identifier: GPL-2.0

/*
 * What the DAX side of memory_failure() in Rust needs from C: macros that are loops.
 */

#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
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
