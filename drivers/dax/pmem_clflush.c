// SPDX-License-Identifier: GPL-2.0

/*
 * Cache lines of memory that may not be mapped: x86 takes pages that failed out of
 * the direct map.
 */

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
			     _ASM_EXTABLE(1b, 2b)
			     : "+r" (done) : "r" (at) : "memory");
		if (!done)
			return false;
	}
	mb(); /* As clflush_cache_range(). */
	return true;
}
