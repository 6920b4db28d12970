/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* As much of a page and a folio as mteswap_linux.h asks for. */
#ifndef MTESWAP_SHIM_LINUX_MM_H
#define MTESWAP_SHIM_LINUX_MM_H

#include <linux/types.h>

typedef struct {
	unsigned long val;
} swp_entry_t;

struct folio;

/* @addr is what the library was built to find tags at. */
struct page {
	unsigned long flags;
	void *addr;
	struct folio *folio;
};

/* @swap is the slot of the first page. */
struct folio {
	swp_entry_t swap;
	struct page *pages;
	size_t nr;
};

static inline void *page_address(const struct page *page)
{
	return page->addr;
}

static inline long folio_nr_pages(const struct folio *folio)
{
	return folio->nr;
}

static inline struct page *folio_page(struct folio *folio, size_t nr)
{
	return folio->pages + nr;
}

#endif
