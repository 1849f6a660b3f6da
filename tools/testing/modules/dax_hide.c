// SPDX-License-Identifier: GPL-2.0
/*
 * Makes memory bad without a report: takes a page out of the kernel's direct map, as
 * the handler of a machine check does, and notifies no task and no holder.
 *
 *   insmod dax_hide.ko phys=0x140005000      the kernel faults when it reads there
 *   cat /sys/module/dax_hide/parameters/hidden   is it out of the map now?
 *   rmmod dax_hide                           the kernel does not fault any more
 *
 * In C, because there is no Rust abstraction of kprobes, by which it finds a function
 * that is not exported.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/set_memory.h>

static unsigned long phys;
module_param(phys, ulong, 0444);
MODULE_PARM_DESC(phys, "the physical address of the page");

static int get_hidden(char *buffer, const struct kernel_param *kp)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)__va(phys), &level);

	return sysfs_emit(buffer, "%d\n", !pte || !pte_present(*pte));
}

static const struct kernel_param_ops hidden_ops = {
	.get = get_hidden,
};
module_param_cb(hidden, &hidden_ops, NULL, 0444);
MODULE_PARM_DESC(hidden, "1 while the direct map does not have the page");

static int __init dax_hide_init(void)
{
	struct kprobe probe = { .symbol_name = "set_mce_nospec" };
	int (*hide)(unsigned long pfn);
	int ret;

	if (!phys || !pfn_valid(PHYS_PFN(phys)))
		return -EINVAL;
	ret = register_kprobe(&probe);
	if (ret)
		return ret;
	hide = (void *)probe.addr;
	unregister_kprobe(&probe);
	return hide(PHYS_PFN(phys));
}

static void __exit dax_hide_exit(void)
{
	if (clear_mce_nospec(PHYS_PFN(phys)))
		pr_err("%#lx stays unmapped\n", phys);
}

module_init(dax_hide_init);
module_exit(dax_hide_exit);
MODULE_DESCRIPTION("Make a page of memory unreadable");
MODULE_LICENSE("GPL");
