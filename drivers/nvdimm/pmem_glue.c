// SPDX-License-Identifier: GPL-2.0

/*
 * What the Rust pmem driver cannot say in Rust: a weak symbol.
 */

#include "pmem_rust.h"

/* tools/testing/nvdimm, whose memory is made up, has the strong definition. */
__weak bool pmem_rust_vmalloc_pfn(phys_addr_t phys, void *kaddr,
				  unsigned long *pfn)
{
	return false;
}
