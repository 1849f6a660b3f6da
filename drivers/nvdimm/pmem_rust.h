/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RDAX_PMEM_RUST_H
#define _RDAX_PMEM_RUST_H

#include <linux/types.h>

/*
 * Asked for memory of the pmem driver that is not in the direct map: if a test
 * made it up, finds the page behind @kaddr and returns true.
 */
bool pmem_rust_vmalloc_pfn(phys_addr_t phys, void *kaddr, unsigned long *pfn);

#endif
