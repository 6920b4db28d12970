/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_SWAP_H
#define MTESWAP_SHIM_LINUX_SWAP_H

#include <linux/mm.h>

/* Named by callers of swapcache_clear() and looked into by none of them. */
struct swap_info_struct;

static inline swp_entry_t page_swap_entry(struct page *page)
{
	return (swp_entry_t) { page->folio->swap.val + (page - page->folio->pages) };
}

#endif
