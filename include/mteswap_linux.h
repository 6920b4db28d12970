/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel's own names over mteswap.h, with the kernel's meanings.
 *
 * In a kernel (Linux 6.10 and later) this stands in for arch/arm64/mm/mteswap.c: it defines
 * all that file defines, so it is included in one file. The page-flag protocol and the swap
 * map are the kernel's there; they agree with the library's bit by bit.
 *
 * In user space, over a struct page such as that of kunit/shim, everything is static inline,
 * and the page flags, the swap map and the pin are the library's as well. What that wants of
 * its surroundings is what a kernel has: struct page and struct folio with page_address(),
 * page_swap_entry(), folio_nr_pages(), folio_page(); swp_entry_t with swp_entry(); and the
 * bit numbers PG_mte_tagged and PG_mte_lock.
 *
 * Ids such as TAG-3 name the rules of docs/semantics.md.
 */
#ifndef MTESWAP_LINUX_H
#define MTESWAP_LINUX_H

#include <linux/mm.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <asm/mte.h>

#include <mteswap.h>

#ifdef __KERNEL__
#include <asm/cpufeature.h>
#define mteswap_linux_has_tags() system_supports_mte()
#else
#define mteswap_linux_has_tags() true
/* In a kernel asm/mte.h and asm/pgtable.h declare them, for all to call. */
static inline void *mte_allocate_tag_storage(void);
static inline void mte_free_tag_storage(char *storage);
static inline int mte_save_tags(struct page *page);
static inline void mte_restore_tags(swp_entry_t entry, struct page *page);
static inline void mte_invalidate_tags(int type, pgoff_t offset);
static inline void mte_invalidate_tags_area(int type);
static inline int arch_prepare_to_swap(struct folio *folio);
static inline void arch_swap_restore(swp_entry_t entry, struct folio *folio);
#endif

/* Pages of a folio that one call of the library sees: their views stand on the stack. */
#define MTESWAP_LINUX_BATCH 16

/* Where the records are; the including program makes it. Tagged pages stay without it. */
extern struct mteswap_store *mteswap_linux_store;

static inline struct mteswap_page mteswap_linux_page(struct page *page)
{
	return (struct mteswap_page) {
		/* From 6.18 on the word stands alone in a struct. */
		.flags = (unsigned long *)&page->flags,
		.addr = page_address(page),
		.tagged_bit = PG_mte_tagged,
		.lock_bit = PG_mte_lock,
	};
}

/* Views of the pages of @folio from its page @from on; how many. */
static inline size_t mteswap_linux_batch(struct folio *folio, size_t from,
					 struct mteswap_page *pages)
{
	size_t left = folio_nr_pages(folio) - from;
	size_t nr = left < MTESWAP_LINUX_BATCH ? left : MTESWAP_LINUX_BATCH;
	size_t i;

	for (i = 0; i < nr; i++)
		pages[i] = mteswap_linux_page(folio_page(folio, from + i));
	return nr;
}

/* Keeps the tags of pages whose slots begin with @first. */
static inline int mteswap_linux_save(u64 first, size_t nr, const struct mteswap_page *pages)
{
	size_t i;

	if (mteswap_linux_store)
		return mteswap_prepare_to_swap(mteswap_linux_store, first, nr, pages);
	for (i = 0; i < nr; i++)
		if (mteswap_page_tagged_bit(pages[i].flags, pages[i].tagged_bit))
			return -ENOMEM;
	return 0;
}

/**
 * mte_allocate_tag_storage() - room for a page's tags
 *
 * For hibernation and core dumps, which keep tags by other keys than swap entries.
 *
 * Context: Process context. May sleep.
 * Return: MTESWAP_TAGS_BYTES bytes, or NULL.
 */
void *mte_allocate_tag_storage(void)
{
	return mteswap_host_alloc(MTESWAP_TAGS_BYTES, sizeof(u64), MTESWAP_HOST_MAY_SLEEP);
}

/**
 * mte_free_tag_storage() - take it back, wiped
 * @storage: from mte_allocate_tag_storage(), or NULL
 *
 * Context: As mteswap_host_free().
 */
void mte_free_tag_storage(char *storage)
{
	if (!storage)
		return;
	/* Tags are what an attacker wants to know (TAG-12). */
	memzero_explicit(storage, MTESWAP_TAGS_BYTES);
	mteswap_host_free(storage, MTESWAP_TAGS_BYTES, sizeof(u64));
}

/**
 * mte_save_tags() - keep a page's tags under its swap entry
 * @page: a page of a folio in the swap cache; nothing is kept of an untagged one (TAG-1)
 *
 * Context: Process context. May sleep.
 * Return: 0, or -ENOMEM, and then an older record is as it was (TAG-3).
 */
int mte_save_tags(struct page *page)
{
	struct mteswap_page view = mteswap_linux_page(page);

	return mteswap_linux_save(page_swap_entry(page).val, 1, &view);
}

/**
 * mte_restore_tags() - give a page the tags that are kept for an entry
 * @entry: the entry; its record stays (TAG-4)
 * @page: the page; one that is tagged already is left alone (TAG-6)
 *
 * Context: Any; spinlocks may be held.
 */
void mte_restore_tags(swp_entry_t entry, struct page *page)
{
	struct mteswap_page view = mteswap_linux_page(page);

	mteswap_swap_restore(mteswap_linux_store, entry.val, 1, &view);
}

/**
 * mte_invalidate_tags() - drop the record of a slot
 * @type: the swap area
 * @offset: the slot (TAG-7)
 *
 * Context: Any; spinlocks may be held.
 */
void mte_invalidate_tags(int type, pgoff_t offset)
{
	mteswap_invalidate(mteswap_linux_store, swp_entry(type, offset).val);
}

/**
 * mte_invalidate_tags_area() - drop every record of a swap area
 * @type: the area (TAG-8)
 *
 * Context: Any; spinlocks may be held.
 */
void mte_invalidate_tags_area(int type)
{
	mteswap_invalidate_area(mteswap_linux_store, type);
}

/**
 * arch_prepare_to_swap() - keep the tags of a folio's pages
 * @folio: locked, in the swap cache, not yet written (HOOK-1)
 *
 * Of a folio longer than MTESWAP_LINUX_BATCH what was saved is dropped again on an error, as
 * Linux does; of others every older record is as it was (TAG-10).
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno; the folio then stays in memory.
 */
int arch_prepare_to_swap(struct folio *folio)
{
	struct mteswap_page pages[MTESWAP_LINUX_BATCH];
	mteswap_entry_t first = page_swap_entry(folio_page(folio, 0)).val;
	size_t nr = folio_nr_pages(folio);
	size_t done, batch;
	int err;

	/* Called for every folio, and no page has tags. */
	if (!mteswap_linux_has_tags())
		return 0;
	for (done = 0; done < nr; done += batch) {
		batch = mteswap_linux_batch(folio, done, pages);
		err = mteswap_linux_save(first + done, batch, pages);
		if (err) {
			mteswap_invalidate_range(mteswap_linux_store, first, done);
			return err;
		}
	}
	return 0;
}

/**
 * arch_swap_restore() - give a folio's pages their tags back
 * @entry: the slot of its first page
 * @folio: locked, read, in no page table yet (HOOK-2, HOOK-8)
 *
 * Context: Any; spinlocks may be held.
 */
void arch_swap_restore(swp_entry_t entry, struct folio *folio)
{
	struct mteswap_page pages[MTESWAP_LINUX_BATCH];
	size_t nr = folio_nr_pages(folio);
	size_t done, batch;

	if (!mteswap_linux_has_tags())
		return;
	for (done = 0; done < nr; done += batch) {
		batch = mteswap_linux_batch(folio, done, pages);
		mteswap_swap_restore(mteswap_linux_store, entry.val + done, batch, pages);
	}
}

#ifndef __KERNEL__
/* The swap map of an area; the including program has them. NULL where there is none. */
struct mteswap_swap *mteswap_linux_swap(unsigned int type);

static inline struct mteswap_swap *mteswap_linux_swap_of(swp_entry_t entry)
{
	return mteswap_linux_swap(swp_type(entry));
}

/* Does the page have tags to speak of? (FLAG-2) */
static inline bool page_mte_tagged(struct page *page)
{
	return mteswap_page_tagged_bit(&page->flags, PG_mte_tagged);
}

/* Its tags are written (FLAG-1). */
static inline void set_page_mte_tagged(struct page *page)
{
	mteswap_set_page_tagged_bit(&page->flags, PG_mte_tagged);
}

/* True: the caller writes its tags. False: they are written (FLAG-3). */
static inline bool try_page_mte_tagging(struct page *page)
{
	return mteswap_try_page_tagging_bits(&page->flags, PG_mte_tagged, PG_mte_lock);
}

/* The last reference to a slot is gone (HOOK-3). */
static inline void arch_swap_invalidate_page(int type, pgoff_t offset)
{
	mte_invalidate_tags(type, offset);
}

/* The area is switched off (HOOK-4). */
static inline void arch_swap_invalidate_area(int type)
{
	mte_invalidate_tags_area(type);
}

/*
 * One more reference to a slot. Whoever copies page tables cannot do anything about a slot
 * that is not there, or is shared memory's: of that Linux says nothing (PIN-1).
 *
 * Return: 0, or -ENOMEM.
 */
static inline int swap_duplicate(swp_entry_t entry)
{
	int err = mteswap_swap_duplicate(mteswap_linux_swap_of(entry), entry.val);

	return err == -EINVAL || err == -ENOENT ? 0 : err;
}

/* Shared memory holds these slots from now on. */
static inline void swap_shmem_alloc(swp_entry_t entry, int nr)
{
	mteswap_swap_shmem_alloc(mteswap_linux_swap_of(entry), entry.val, nr);
}

/* One reference less to each of the slots (PIN-4). */
static inline void swap_free_nr(swp_entry_t entry, int nr)
{
	mteswap_swap_free(mteswap_linux_swap_of(entry), entry.val, nr);
}

static inline void swap_free(swp_entry_t entry)
{
	swap_free_nr(entry, 1);
}

/*
 * Pins slots for a swap-in that goes past the swap cache.
 *
 * Return: 0, -EEXIST where somebody has one of them, -ENOENT, -EINVAL (PIN-1, PIN-2).
 */
static inline int swapcache_prepare(swp_entry_t entry, int nr)
{
	return mteswap_swapcache_prepare(mteswap_linux_swap_of(entry), entry.val, nr);
}

/* Lets go of them. Linux names the device too: the entry says it here (PIN-3, PIN-6). */
static inline void swapcache_clear(struct swap_info_struct *si, swp_entry_t entry, int nr)
{
	(void)si;
	mteswap_swapcache_clear(mteswap_linux_swap_of(entry), entry.val, nr);
}
#endif

#endif
