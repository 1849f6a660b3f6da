// SPDX-License-Identifier: GPL-2.0

/*
 * What pmem-dax.c is for the C driver: nfit_test makes up its memory with
 * vmalloc(), which only it can translate to pages.
 */

#include <linux/mm.h>
#include <linux/vmalloc.h>
#include "../../../../tools/testing/nvdimm/test/nfit_test.h"
#include "../../../drivers/nvdimm/pmem_rust.h"

bool pmem_rust_vmalloc_pfn(phys_addr_t phys, void *kaddr, unsigned long *pfn)
{
	if (!get_nfit_res(phys))
		return false;
	*pfn = page_to_pfn(vmalloc_to_page(kaddr));
	return true;
}
