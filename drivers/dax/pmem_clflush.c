// SPDX-License-Identifier: GPL-2.0

/*
 * Stores to memory that may not be mapped, and its cache lines: x86 takes pages that
 * failed out of the direct map.
 *
 * A store and a flush can be a machine check, too: a guest gets one from the first access
 * to a page that its host has lost.  The kernel survives it only at an instruction with an
 * entry of this kind in the exception table.  The entries of copy_to_nontemporal() are of
 * another kind.
 */

#include <linux/export.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/barrier.h>
#include <asm/processor.h>
#include "dax_core.h"

/* See dax_core.h. */
bool pmem_clflush_range(void *addr, size_t size)
{
	const unsigned long line = boot_cpu_data.x86_clflush_size;
	unsigned long at = (unsigned long)addr & ~(line - 1);

	mb(); /* As clflush_cache_range(). */
	for (; at < (unsigned long)addr + size; at += line) {
		unsigned int done = 0;

		asm volatile("1:	clflush (%1)\n"
			     "	incl %0\n"
			     "2:\n"
			     _ASM_EXTABLE_TYPE(1b, 2b, EX_TYPE_DEFAULT_MCE_SAFE)
			     : "+r" (done) : "r" (at) : "memory");
		if (!done)
			return false;
	}
	mb(); /* As clflush_cache_range(). */
	return true;
}

#define STORE(n)							\
	#n ":	movnti %[w" #n "], 8 * (" #n " - 1)(%[to])\n"		\
	_ASM_EXTABLE_TYPE(n##b, (%l[fault]), EX_TYPE_DEFAULT_MCE_SAFE)

/* See dax_core.h. */
bool pmem_store_words(u64 *to, const u64 *from, size_t words)
{
	for (; words >= 8; words -= 8, to += 8, from += 8)
		asm goto(STORE(1) STORE(2) STORE(3) STORE(4)
			 STORE(5) STORE(6) STORE(7) STORE(8)
			 : : [to] "r" (to), [w1] "r" (from[0]),
			     [w2] "r" (from[1]), [w3] "r" (from[2]),
			     [w4] "r" (from[3]), [w5] "r" (from[4]),
			     [w6] "r" (from[5]), [w7] "r" (from[6]),
			     [w8] "r" (from[7])
			 : "memory" : fault);
	for (; words; words--, to++, from++)
		asm goto(STORE(1)
			 : : [to] "r" (to), [w1] "r" (*from)
			 : "memory" : fault);
	wmb(); /* The stores are weakly ordered. */
	return true;
fault:
	return false;
}
EXPORT_SYMBOL_GPL(pmem_store_words);
