/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_GFP_H
#define MTESWAP_SHIM_LINUX_GFP_H

#include <linux/types.h>
#include <mteswap.h>

#define __GFP_ZERO 1u
#define __GFP_DIRECT_RECLAIM 2u
#define GFP_ATOMIC 0u
#define GFP_KERNEL __GFP_DIRECT_RECLAIM

/* The page size of the build under test, whatever this machine's is. */
#define PAGE_SHIFT MTESWAP_PAGE_SHIFT
#define PAGE_SIZE (1ul << PAGE_SHIFT)

/* One page, aligned to its size; 0 where there is no memory. */
unsigned long get_zeroed_page(gfp_t gfp);
void free_page(unsigned long addr);

#endif
