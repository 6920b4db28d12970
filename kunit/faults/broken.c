// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Faults to put into the library, one at a time, so that the suites can be
 * seen to fail. The suites call what stands here in place of the functions
 * that WRAP names: by the linker's --wrap in user space, by macros in a kernel.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <mteswap.h>

#include "broken.h"

/* The library's own, and the one the suites are given in its place. */
#define WRAP(type, name, ...)              \
	type __real_##name(__VA_ARGS__);   \
	type __wrap_##name(__VA_ARGS__);   \
	type __wrap_##name(__VA_ARGS__)

/* Every 64th slot is never saved: the end of a leaf. */
WRAP(int, mteswap_save, struct mteswap_store *store, mteswap_entry_t entry, const void *tags)
{
	unsigned char older[MTESWAP_TAGS_BYTES];

	if (broken("lost-record") && store && tags && entry % 64 == 63)
		return 0;
	if (broken("lost-on-enomem") && __real_mteswap_save(store, entry, tags) == -ENOMEM) {
		/* As a store does that drops the older record first. */
		mteswap_invalidate(store, entry);
		return -ENOMEM;
	}
	if (broken("lost-memory"))
		mteswap_host_alloc(8, 8, 0);
	if (broken("kept-older-record") && mteswap_restore(store, entry, older) == 1)
		return 0;
	return __real_mteswap_save(store, entry, tags);
}

/* The tag of a page's last granule is off by one. */
WRAP(int, mteswap_restore, struct mteswap_store *store, mteswap_entry_t entry, void *tags)
{
	unsigned char *last = (unsigned char *)tags + MTESWAP_TAGS_BYTES - 1;
	int ret = __real_mteswap_restore(store, entry, tags);

	if (broken("wrong-tag") && ret == 1)
		*last ^= 0x10;
	if (broken("restore-drops") && ret == 1)
		mteswap_invalidate(store, entry);
	return ret;
}

/* A record goes, and what it said goes to the host with its memory. */
static void tell_tags(struct mteswap_store *store, mteswap_entry_t entry)
{
	void *memory = mteswap_host_alloc(MTESWAP_TAGS_BYTES, 8, 0);

	if (memory) {
		__real_mteswap_restore(store, entry, memory);
		mteswap_host_free(memory, MTESWAP_TAGS_BYTES, 8);
	}
}

WRAP(void, mteswap_invalidate, struct mteswap_store *store, mteswap_entry_t entry)
{
	if (broken("told-tags"))
		tell_tags(store, entry);
	if (!broken("stale-record"))
		__real_mteswap_invalidate(store, entry);
}

/* The last offset of an area is outlived by its record. */
WRAP(void, mteswap_invalidate_area, struct mteswap_store *store, unsigned int type)
{
	mteswap_entry_t last = ((mteswap_entry_t)type << 58) + ((1ull << 58) - 1);
	unsigned char tags[MTESWAP_TAGS_BYTES];
	bool there = broken("area-end") && mteswap_restore(store, last, tags) == 1;

	__real_mteswap_invalidate_area(store, type);
	if (there)
		mteswap_save(store, last, tags);
}

/* The first version of the pin: none. */
WRAP(int, mteswap_swapcache_prepare, struct mteswap_swap *swap, mteswap_entry_t entry, size_t nr)
{
	int ret = __real_mteswap_swapcache_prepare(swap, entry, nr);

	return broken("no-pin") && ret == -EEXIST ? 0 : ret;
}

/* Two callers get the duty of one page. */
WRAP(int, mteswap_try_page_tagging_bounded, unsigned long *flags, unsigned long spins)
{
	int ret = __real_mteswap_try_page_tagging_bounded(flags, spins);

	return broken("two-winners") && ret == -ETIMEDOUT ? 1 : ret;
}

/* The flag goes up, the tags are left. */
WRAP(void, mteswap_sync_tags, const struct mteswap_page *pages, size_t nr)
{
	size_t i;

	if (!broken("stale-page-tags")) {
		__real_mteswap_sync_tags(pages, nr);
		return;
	}
	for (i = 0; pages && i < nr; i++)
		if (mteswap_try_page_tagging_bits(pages[i].flags, pages[i].tagged_bit,
						  pages[i].lock_bit))
			mteswap_set_page_tagged_bit(pages[i].flags, pages[i].tagged_bit);
}

/* A folio's pages all get what its first page had. */
WRAP(int, mteswap_swap_restore, struct mteswap_store *store, mteswap_entry_t first, size_t nr,
     const struct mteswap_page *pages)
{
	size_t i;
	int ret, sum = 0;

	if (!broken("folio-first") || !store || !pages || !nr)
		return __real_mteswap_swap_restore(store, first, nr, pages);
	for (i = 0; i < nr; i++) {
		ret = __real_mteswap_swap_restore(store, first, 1, &pages[i]);
		if (ret < 0)
			return ret;
		sum += ret;
	}
	return sum;
}

/* Bytes that end early are read as if they went on. */
WRAP(int, mteswap_decode, const void *buf, size_t len, void *tags)
{
	int ret = __real_mteswap_decode(buf, len, tags);

	return broken("truncated-code") && ret == -EINVAL && len ? (int)len : ret;
}
