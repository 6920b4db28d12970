// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The C ABI's manners: NULL, misuse and what lies outside get a negative errno
 * or nothing at all, and change nothing (TAG-15).
 */
#include <linux/string.h>

#include "mteswap_kunit.h"

#define TYPE 4
#define SLOTS 64

/**
 * struct abi - a store and a swap that no bad call may change
 * @mk: the shared fixture, first, so that mk_*() find it
 * @swap: of type TYPE; slot 0 has two references, slot 1 is pinned as well
 * @stats: the store's when the case began
 */
struct abi {
	struct mk mk;
	struct mteswap_swap *swap;
	struct mteswap_stats stats;
};

static int abi_init(struct kunit *test)
{
	mteswap_entry_t entry;
	struct abi *abi;
	int i, ret = mk_init(test);

	if (ret)
		return ret;
	abi = kunit_kzalloc(test, sizeof(*abi), GFP_KERNEL);
	if (!abi)
		return -ENOMEM;
	abi->mk = *(struct mk *)test->priv;
	test->priv = abi;
	abi->swap = mk_swap(test, abi->mk.store, TYPE, SLOTS);
	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(abi->swap, 1, &entry), 0);
		KUNIT_ASSERT_EQ(test, mteswap_swap_duplicate(abi->swap, entry), 0);
		KUNIT_ASSERT_EQ(test, mteswap_swap_duplicate(abi->swap, entry), 0);
	}
	mteswap_swapcache_clear(abi->swap, mk_entry(TYPE, 0), 1);
	mk_fill_random(abi->mk.tags, 1);
	mk_save(test, mk_entry(TYPE, 0), abi->mk.tags);
	mk_save(test, mk_entry(0, 0), abi->mk.tags);
	mk_save(test, mk_entry(MK_TYPE_MAX, MK_OFFSET_MAX), abi->mk.tags);
	KUNIT_ASSERT_EQ(test, mteswap_stats(abi->mk.store, &abi->stats), 0);
	return 0;
}

/* The store, the swap and the output buffer are as abi_init() left them. */
static void expect_nothing_changed(struct kunit *test)
{
	struct abi *abi = test->priv;
	struct mteswap_stats stats;

	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(abi->mk.out, MK_POISON, MK_TAGS),
			      "the output buffer was written");
	KUNIT_ASSERT_EQ(test, mteswap_stats(abi->mk.store, &stats), 0);
	KUNIT_EXPECT_MEMEQ(test, &stats, &abi->stats, sizeof(stats));
	mk_fill_random(abi->mk.tags, 1);
	mk_expect_record(test, mk_entry(TYPE, 0), abi->mk.tags);
	mk_expect_record(test, mk_entry(0, 0), abi->mk.tags);
	mk_expect_record(test, mk_entry(MK_TYPE_MAX, MK_OFFSET_MAX), abi->mk.tags);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(abi->swap, mk_entry(TYPE, 0)), 2);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(abi->swap, mk_entry(TYPE, 1)), 2);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(abi->swap, mk_entry(TYPE, 2)), -ENOENT);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(abi->swap, mk_entry(TYPE, 0), 1), 0);
	mteswap_swapcache_clear(abi->swap, mk_entry(TYPE, 0), 1);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(abi->swap, mk_entry(TYPE, 1), 1), -EEXIST);
}

static void abi_tells_version_and_page_size(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, mteswap_abi() & 0xff, MTESWAP_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, mteswap_abi() >> 8, MTESWAP_ABI);
}

static void abi_statistics_are_sixteen_words(struct kunit *test)
{
	struct abi *abi = test->priv;

	KUNIT_EXPECT_EQ(test, sizeof(struct mteswap_stats), 16 * sizeof(u64));
	KUNIT_EXPECT_EQ(test, abi->stats.entries, 3);
	KUNIT_EXPECT_LE(test, abi->stats.inline_entries, abi->stats.entries);
}

static void abi_null_store(struct kunit *test)
{
	struct abi *abi = test->priv;
	struct mteswap_page *page = mk_pages(test, 1);
	u8 *tags = abi->mk.tags, *out = abi->mk.out;
	struct mteswap_swap *swap = (void *)-1;
	mteswap_entry_t cursor = 5;
	struct mteswap_stats stats;
	unsigned long present = 7;

	KUNIT_EXPECT_EQ(test, mteswap_store_create(NULL), -EINVAL);
	mteswap_store_destroy(NULL);
	KUNIT_EXPECT_EQ(test, mteswap_save(NULL, 0, tags), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_save_atomic(NULL, 0, tags), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_restore(NULL, 0, out), -EINVAL);
	mteswap_invalidate(NULL, 0);
	mteswap_invalidate_range(NULL, 0, 1);
	mteswap_invalidate_area(NULL, 0);
	KUNIT_EXPECT_EQ(test, mteswap_save_range(NULL, 0, 1, tags), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_restore_range(NULL, 0, 1, out, &present), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_move(NULL, 0, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_next(NULL, &cursor, out), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_reserve(NULL, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_shrink(NULL), 0);
	KUNIT_EXPECT_EQ(test, mteswap_stats(NULL, &stats), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(NULL, 0, 1, page), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(NULL, 0, 1, page), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_create(NULL, 5, 8, &swap), -EINVAL);
	KUNIT_EXPECT_PTR_EQ(test, swap, (void *)-1);
	KUNIT_EXPECT_EQ(test, cursor, 5);
	KUNIT_EXPECT_EQ(test, present, 7);
	KUNIT_EXPECT_EQ(test, *page->flags, 0);
	expect_nothing_changed(test);
}

static void abi_null_buffers(struct kunit *test)
{
	struct abi *abi = test->priv;
	struct mteswap_store *store = abi->mk.store;

	KUNIT_EXPECT_EQ(test, mteswap_save(store, 9, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_save_atomic(store, 9, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_restore(store, 0, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_save_range(store, 9, 2, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_restore_range(store, 0, 1, NULL, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_next(store, NULL, abi->mk.out), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_stats(store, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_create(store, 5, 8, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(abi->swap, 1, NULL), -EINVAL);
	expect_nothing_changed(test);
}

static void abi_null_swap(struct kunit *test)
{
	mteswap_entry_t entry = 77;

	mteswap_swap_destroy(NULL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(NULL, 1, &entry), -EINVAL);
	KUNIT_EXPECT_EQ(test, entry, 77);
	KUNIT_EXPECT_EQ(test, mteswap_swap_duplicate(NULL, 0), -EINVAL);
	mteswap_swap_free(NULL, 0, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(NULL, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_mark_bad(NULL, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_shmem_alloc(NULL, 0, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(NULL, 0, 1), -EINVAL);
	mteswap_swapcache_clear(NULL, 0, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(NULL, 0), -EINVAL);
	expect_nothing_changed(test);
}

static void abi_null_flags(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged(NULL));
	mteswap_set_page_tagged(NULL);
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging(NULL));
	KUNIT_EXPECT_EQ(test, mteswap_try_page_tagging_bounded(NULL, 5), -EINVAL);
	mteswap_abandon_tagging(NULL);
	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged_bit(NULL, 3));
	mteswap_set_page_tagged_bit(NULL, 3);
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging_bits(NULL, 3, 4));
}

/* Pages no hook can work on, one after the other in place of the second of four. */
static void abi_pages_that_are_none(struct kunit *test)
{
	struct abi *abi = test->priv;
	struct mteswap_page *pages = mk_pages(test, 4);
	struct mteswap_page good = pages[1], bad[5];
	unsigned long flags[4] = { 0 };
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].flags = NULL;
	bad[1].addr = NULL;
	bad[2].tagged_bit = BITS_PER_LONG;
	bad[3].lock_bit = 255;
	bad[4].lock_bit = bad[4].tagged_bit;

	for (n = 0; n < ARRAY_SIZE(bad); n++) {
		pages[1] = bad[n];
		for (i = 0; i < 4; i++)
			if (i != 1)
				*pages[i].flags = flags[i] = i & 1;
		*good.flags = 0;
		KUNIT_EXPECT_EQ_MSG(test,
				    mteswap_prepare_to_swap(abi->mk.store, 100, 4, pages),
				    -EINVAL, "bad page %zu", n);
		KUNIT_EXPECT_EQ_MSG(test, mteswap_swap_restore(abi->mk.store, 0, 4, pages),
				    -EINVAL, "bad page %zu", n);
		mteswap_sync_tags(pages, 4);
		KUNIT_EXPECT_TRUE_MSG(test, mteswap_pages_differ(&pages[0], &pages[1]),
				      "bad page %zu", n);
		mteswap_copy_tags(&pages[0], &pages[1]);
		mteswap_copy_tags(&pages[1], &pages[3]);
		for (i = 0; i < 4; i++)
			if (i != 1)
				KUNIT_EXPECT_EQ_MSG(test, *pages[i].flags, flags[i],
						    "bad page %zu", n);
		KUNIT_EXPECT_EQ_MSG(test, *good.flags, 0, "bad page %zu", n);
	}
	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(abi->mk.store, 100, 4, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(abi->mk.store, 0, 4, NULL), -EINVAL);
	mteswap_sync_tags(NULL, 4);
	mteswap_copy_tags(NULL, &pages[0]);
	mteswap_copy_tags(&pages[0], NULL);
	expect_nothing_changed(test);
}

static void abi_tag_15_bit_63_is_no_entry(struct kunit *test)
{
	static const mteswap_entry_t bad[] = { 1ull << 63, ~0ull, 1ull << 63 | 5ull << 58 };
	struct abi *abi = test->priv;
	struct mteswap_store *store = abi->mk.store;
	struct mteswap_page *page = mk_pages(test, 1);
	mteswap_entry_t cursor;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_EQ(test, mteswap_save(store, bad[i], abi->mk.tags), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_save_atomic(store, bad[i], abi->mk.tags), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_restore(store, bad[i], abi->mk.out), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_save_range(store, bad[i], 1, abi->mk.tags), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_restore_range(store, bad[i], 1, abi->mk.out, NULL),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_move(store, bad[i], 1), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_move(store, 0, bad[i]), -EINVAL);
		cursor = bad[i];
		KUNIT_EXPECT_EQ(test, mteswap_next(store, &cursor, abi->mk.out), -EINVAL);
		KUNIT_EXPECT_EQ(test, cursor, bad[i]);
		mteswap_invalidate(store, bad[i]);
		mteswap_invalidate_range(store, bad[i], 1);
		KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(store, bad[i], 1, page), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swap_restore(store, bad[i], 1, page), -EINVAL);
	}
	KUNIT_EXPECT_EQ(test, *page->flags, 0);
	expect_nothing_changed(test);
}

static void abi_tag_15_a_range_stays_in_its_type(struct kunit *test)
{
	static const struct {
		mteswap_entry_t first;
		size_t nr;
	} bad[] = {
		{ 0, 0 },
		{ (1ull << 58) - 1, 2 },
		{ 31ull << 58 | ((1ull << 58) - 1), 2 },
		{ 1, (size_t)1 << 58 },
		{ 0, ((size_t)1 << 58) + 1 },
		{ 5, ~(size_t)0 },
		{ 31ull << 58, ~(size_t)0 },
	};
	struct abi *abi = test->priv;
	struct mteswap_store *store = abi->mk.store;
	struct mteswap_page *page = mk_pages(test, 1);
	unsigned long present = 7;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_EQ(test, mteswap_save_range(store, bad[i].first, bad[i].nr,
							 abi->mk.tags), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_restore_range(store, bad[i].first, bad[i].nr,
							    abi->mk.out, &present), -EINVAL);
		mteswap_invalidate_range(store, bad[i].first, bad[i].nr);
		KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(store, bad[i].first, bad[i].nr,
							      page), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swap_restore(store, bad[i].first, bad[i].nr, page),
				-EINVAL);
	}
	KUNIT_EXPECT_EQ(test, present, 7);
	KUNIT_EXPECT_EQ(test, *page->flags, 0);
	expect_nothing_changed(test);
}

static void abi_tag_15_types_end_at_31(struct kunit *test)
{
	static const unsigned int bad[] = { 32, 63, 64, 1u << 31, ~0u };
	struct abi *abi = test->priv;
	struct mteswap_swap *swap = (void *)-1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		mteswap_invalidate_area(abi->mk.store, bad[i]);
		KUNIT_EXPECT_EQ(test, mteswap_swap_create(abi->mk.store, bad[i], 8, &swap),
				-EINVAL);
		KUNIT_EXPECT_PTR_EQ(test, swap, (void *)-1);
	}
	expect_nothing_changed(test);
}

static void abi_swaps_of_no_size_are_refused(struct kunit *test)
{
	struct abi *abi = test->priv;
	struct mteswap_swap *swap = (void *)-1;
	struct mk_host before, after;

	mk_host_read(&before);
	KUNIT_EXPECT_EQ(test, mteswap_swap_create(abi->mk.store, 5, 0, &swap), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_create(abi->mk.store, 5, ~(size_t)0, &swap), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swap_create(abi->mk.store, 5, ((size_t)1 << 58) + 1, &swap),
			-EINVAL);
	KUNIT_EXPECT_PTR_EQ(test, swap, (void *)-1);
	mk_host_read(&after);
	KUNIT_EXPECT_EQ(test, after.bytes, before.bytes);
	expect_nothing_changed(test);
}

static void abi_runs_that_are_none_are_refused(struct kunit *test)
{
	static const size_t einval[] = { 0, 3, 6, 48, ~(size_t)0 };
	struct abi *abi = test->priv;
	mteswap_entry_t entry = 77;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(einval); i++)
		KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(abi->swap, einval[i], &entry), -EINVAL);
	/* A power of two, and more than there is. */
	KUNIT_EXPECT_LT(test, mteswap_swap_alloc(abi->swap, 128, &entry), 0);
	KUNIT_EXPECT_LT(test, mteswap_swap_alloc(abi->swap, (size_t)1 << 63, &entry), 0);
	KUNIT_EXPECT_EQ(test, entry, 77);
	expect_nothing_changed(test);
}

static void abi_swap_ranges_that_leave_the_area(struct kunit *test)
{
	static const struct {
		u64 offset;
		size_t nr;
	} bad[] = {
		{ 0, 0 }, { 0, SLOTS + 1 }, { SLOTS - 1, 2 }, { SLOTS, 1 },
		{ 1, ~(size_t)0 }, { (1ull << 58) - 1, 2 },
	};
	struct abi *abi = test->priv;
	mteswap_entry_t first;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		first = mk_entry(TYPE, bad[i].offset);
		mteswap_swap_free(abi->swap, first, bad[i].nr);
		mteswap_swapcache_clear(abi->swap, first, bad[i].nr);
		KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(abi->swap, first, bad[i].nr),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swap_shmem_alloc(abi->swap, first, bad[i].nr),
				-EINVAL);
	}
	expect_nothing_changed(test);
}

static void abi_shmem_alloc_of_a_slot_in_use_is_refused(struct kunit *test)
{
	struct abi *abi = test->priv;

	/* With references, and free: neither becomes shmem's. */
	KUNIT_EXPECT_LT(test, mteswap_swap_shmem_alloc(abi->swap, mk_entry(TYPE, 0), 1), 0);
	KUNIT_EXPECT_LT(test, mteswap_swap_shmem_alloc(abi->swap, mk_entry(TYPE, 5), 1), 0);
	expect_nothing_changed(test);
}

static void abi_a_store_with_live_swaps_is_not_freed(struct kunit *test)
{
	struct abi *abi = test->priv;
	unsigned long before = mk_warnings();

	mteswap_store_destroy(abi->mk.store);
	mk_expect_warning(test, &before, MTESWAP_WARN_STORE_IN_USE);
	/* Leaked and whole. */
	expect_nothing_changed(test);
}

static void abi_an_absurd_reserve_is_refused(struct kunit *test)
{
	struct abi *abi = test->priv;

	KUNIT_EXPECT_LT(test, mteswap_reserve(abi->mk.store, ~(size_t)0), 0);
	expect_nothing_changed(test);
}

static void abi_folio_entry_of_no_folio(struct kunit *test)
{
	static const struct {
		mteswap_entry_t any;
		size_t nr;
	} bad[] = {
		{ 17, 0 }, { 17, 3 }, { 17, 48 }, { 17, ~(size_t)0 },
		{ 1ull << 63 | 17, 4 }, { ~0ull, 16 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ(test, mteswap_folio_entry(bad[i].any, bad[i].nr), bad[i].any);
}

static struct kunit_case abi_cases[] = {
	KUNIT_CASE(abi_tells_version_and_page_size),
	KUNIT_CASE(abi_statistics_are_sixteen_words),
	KUNIT_CASE(abi_null_store),
	KUNIT_CASE(abi_null_buffers),
	KUNIT_CASE(abi_null_swap),
	KUNIT_CASE(abi_null_flags),
	KUNIT_CASE(abi_pages_that_are_none),
	KUNIT_CASE(abi_tag_15_bit_63_is_no_entry),
	KUNIT_CASE(abi_tag_15_a_range_stays_in_its_type),
	KUNIT_CASE(abi_tag_15_types_end_at_31),
	KUNIT_CASE(abi_swaps_of_no_size_are_refused),
	KUNIT_CASE(abi_runs_that_are_none_are_refused),
	KUNIT_CASE(abi_swap_ranges_that_leave_the_area),
	KUNIT_CASE(abi_shmem_alloc_of_a_slot_in_use_is_refused),
	KUNIT_CASE(abi_a_store_with_live_swaps_is_not_freed),
	KUNIT_CASE(abi_an_absurd_reserve_is_refused),
	KUNIT_CASE(abi_folio_entry_of_no_folio),
	{}
};

static struct kunit_suite abi_suite = {
	.name = "mteswap_abi",
	.init = abi_init,
	.test_cases = abi_cases,
};

kunit_test_suite(abi_suite);
