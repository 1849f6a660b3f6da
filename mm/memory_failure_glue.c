// SPDX-License-Identifier: GPL-2.0

/*
 * What the DAX side of memory_failure() in Rust needs from C: macros that are loops.
 */

#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include "memory_failure_dax.h"

/* See memory_failure_dax.h. */
struct task_struct *mf_next_process(int *nr)
{
	struct task_struct *task, *thread;
	struct pid *pid;

	while ((pid = find_ge_pid(*nr, &init_pid_ns))) {
		*nr = pid_nr(pid) + 1;
		task = pid_task(pid, PIDTYPE_TGID);
		if (!task)
			continue;
		/* The first one may have ended. */
		for_each_thread(task, thread) {
			if (READ_ONCE(thread->mm))
				return thread;
		}
	}
	return NULL;
}
