// SPDX-License-Identifier: GPL-2.0
/*
 * Holds a window open for a test: a task that enters the function `symbol` waits there
 * until it is released, or delay_ms are over.
 *
 *   insmod dax_delay.ko symbol=xfs_dax_notify_failure delay_ms=20000
 *   cat  /sys/module/dax_delay/parameters/delaying      1: a task waits in there
 *   echo 1 >/sys/module/dax_delay/parameters/release    let it go on
 *
 * Or makes it fail there instead: with error=6 it returns -ENXIO.
 *
 * A kprobe's handler must not sleep, and one that spins would not do: umount(2), which
 * the window is for, waits in synchronize_rcu_expedited() for the processor that spins.
 * So the handler sends the task to dax_delay_entry(), which sleeps as if the function
 * began with it, and then jumps to the function.
 *
 * In C, because there is no Rust abstraction of kprobes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>

static char *symbol;
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function to wait in");

static unsigned int delay_ms = 10000;
module_param(delay_ms, uint, 0644);
MODULE_PARM_DESC(delay_ms, "how long to wait at most");

static unsigned int skip;
module_param(skip, uint, 0444);
MODULE_PARM_DESC(skip, "how many calls to let pass first");

static int error;
module_param(error, int, 0444);
MODULE_PARM_DESC(error, "return this error, negated, and do not wait");

static atomic_t count = ATOMIC_INIT(1);
module_param_named(count, count.counter, int, 0644);
MODULE_PARM_DESC(count, "how many calls are still to wait, or to fail");

static int pid;
module_param(pid, int, 0644);
MODULE_PARM_DESC(pid, "whose calls count, 0: everybody's");

static atomic_t hits = ATOMIC_INIT(0);
module_param_named(hits, hits.counter, int, 0444);
MODULE_PARM_DESC(hits, "how many calls there were");

static atomic_t second = ATOMIC_INIT(0);
module_param_named(second, second.counter, int, 0444);
MODULE_PARM_DESC(second, "the sum of the second arguments of these calls");

static int delaying;
module_param(delaying, int, 0444);
MODULE_PARM_DESC(delaying, "1 while a task waits");

static bool released;
static DECLARE_WAIT_QUEUE_HEAD(queue);

static int set_release(const char *value, const struct kernel_param *kp)
{
	WRITE_ONCE(released, true);
	wake_up_all(&queue);
	return 0;
}

static const struct kernel_param_ops release_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_release,
};
module_param_cb(release, &release_ops, NULL, 0200);
MODULE_PARM_DESC(release, "write anything: go on");

/* The task that was sent to dax_delay_entry() and has not come through the probe again. */
static struct task_struct *waiter;
/* Where it goes on. */
unsigned long dax_delay_target;

asmlinkage void dax_delay_entry(void);
asmlinkage void dax_delay_sleep(void);

/* All registers that may hold an argument are kept; the stack is the caller's. */
asm(
"	.pushsection	.text, \"ax\", @progbits\n"
"	.type		dax_delay_entry, @function\n"
"	.globl		dax_delay_entry\n"
"dax_delay_entry:\n"
"	pushq		%rdi\n"
"	pushq		%rsi\n"
"	pushq		%rdx\n"
"	pushq		%rcx\n"
"	pushq		%r8\n"
"	pushq		%r9\n"
"	pushq		%r10\n"
"	pushq		%r11\n"
"	pushq		%rax\n"
"	call		dax_delay_sleep\n"
"	popq		%rax\n"
"	popq		%r11\n"
"	popq		%r10\n"
"	popq		%r9\n"
"	popq		%r8\n"
"	popq		%rcx\n"
"	popq		%rdx\n"
"	popq		%rsi\n"
"	popq		%rdi\n"
	ANNOTATE_RETPOLINE_SAFE
"	jmp		*dax_delay_target(%rip)\n"
"	.size		dax_delay_entry, . - dax_delay_entry\n"
"	.popsection\n"
);

asmlinkage void dax_delay_sleep(void)
{
	WRITE_ONCE(delaying, 1);
	/* Idle: it is no hung task, however long the test takes to release it. */
	wait_event_idle_timeout(queue, READ_ONCE(released), msecs_to_jiffies(delay_ms));
	WRITE_ONCE(delaying, 0);
}

static int pre_handler(struct kprobe *probe, struct pt_regs *regs)
{
	if (READ_ONCE(waiter) == current) {
		/* It has waited: in, and the place is free. */
		WRITE_ONCE(waiter, NULL);
		return 0;
	}
	if (pid && pid != current->tgid)
		return 0;
	/* int3 itself looks like an NMI; what was held before it is what counts. */
	if (!(regs->flags & X86_EFLAGS_IF) || preempt_count() & (PREEMPT_MASK | SOFTIRQ_MASK))
		return 0;
	atomic_add(regs->si, &second);
	if (atomic_inc_return(&hits) <= skip)
		return 0;
	if (error) {
		if (atomic_dec_if_positive(&count) < 0)
			return 0;
		/* The function did nothing yet: its return address is on top of the stack. */
		regs_set_return_value(regs, -error);
		regs->ip = *(unsigned long *)regs->sp;
		regs->sp += sizeof(unsigned long);
		return 1;
	}
	if (cmpxchg(&waiter, NULL, current))
		return 0;
	if (atomic_dec_if_positive(&count) < 0) {
		WRITE_ONCE(waiter, NULL);
		return 0;
	}
	WRITE_ONCE(released, false);
	regs->ip = (unsigned long)dax_delay_entry;
	return 1;
}
NOKPROBE_SYMBOL(pre_handler);

/* With one of these a probe stays an int3: a jump instead of it ignores regs->ip. */
static void post_handler(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}
NOKPROBE_SYMBOL(post_handler);

static struct kprobe probe = {
	.pre_handler = pre_handler,
	.post_handler = post_handler,
};

static int __init dax_delay_init(void)
{
	int ret;

	if (!symbol)
		return -EINVAL;
	/* Registered disarmed: a hit needs to know where to go on. */
	probe.symbol_name = symbol;
	probe.flags = KPROBE_FLAG_DISABLED;
	ret = register_kprobe(&probe);
	if (ret) {
		pr_err("cannot probe %s: %d\n", symbol, ret);
		return ret;
	}
	dax_delay_target = (unsigned long)probe.addr;
	ret = enable_kprobe(&probe);
	if (ret)
		unregister_kprobe(&probe);
	return ret;
}

static void __exit dax_delay_exit(void)
{
	unregister_kprobe(&probe);
	set_release(NULL, NULL);
	wait_event_timeout(queue, !READ_ONCE(delaying), HZ);
	while (READ_ONCE(delaying))
		schedule_timeout_uninterruptible(1);
	/* And out of dax_delay_entry(). */
	synchronize_rcu_tasks();
}

module_init(dax_delay_init);
module_exit(dax_delay_exit);
MODULE_DESCRIPTION("Make a function wait at its entry, or fail, for tests");
MODULE_LICENSE("GPL");
