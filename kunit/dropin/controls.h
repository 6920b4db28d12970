/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two stores under the kernel's names, and faults that it can be told to have. */
#ifndef MTESWAP_CONTROLS_H
#define MTESWAP_CONTROLS_H

#include <linux/mm_types.h>
#include <linux/types.h>

extern struct mteswap_store *mteswap_linux_store;

/* Restore a page's tags once its slot is free, not before. */
extern bool mteswap_late_restore;

/* The drop-in's, and those of arch/arm64/mm/mteswap.c, as names.mk has them compiled. */
int ours_arch_prepare_to_swap(struct folio *folio);
void ours_arch_swap_restore(swp_entry_t entry, struct folio *folio);
int ours_mte_save_tags(struct page *page);
void ours_mte_restore_tags(swp_entry_t entry, struct page *page);
void ours_mte_invalidate_tags(int type, pgoff_t offset);
void ours_mte_invalidate_tags_area(int type);
void *ours_mte_allocate_tag_storage(void);
void ours_mte_free_tag_storage(char *storage);

int stock_arch_prepare_to_swap(struct folio *folio);
int stock_mte_save_tags(struct page *page);
void stock_mte_restore_tags(swp_entry_t entry, struct page *page);
void stock_mte_invalidate_tags(int type, pgoff_t offset);
void stock_mte_invalidate_tags_area(int type);

#ifdef MTESWAP_EXCHANGED
/* For mm/memory.c, which calls the second once the slot is free. */
#define arch_swap_restore(entry, folio)					\
	do {								\
		if (!READ_ONCE(mteswap_late_restore))			\
			(arch_swap_restore)(entry, folio);		\
	} while (0)
#define mteswap_restore_late(entry, folio)				\
	do {								\
		if (READ_ONCE(mteswap_late_restore))			\
			(arch_swap_restore)(entry, folio);		\
	} while (0)
#endif

#endif
