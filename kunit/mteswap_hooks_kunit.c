// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The hooks, in the order a swap-out and a swap-in call them: folios, refault
 * page by page, split (HOOK, and TAG where pages are needed).
 */
#include <linux/string.h>

#include "mteswap_kunit.h"

#define TYPE 2
#define NR 16

/* @nr pages, tagged, each with tags of its own. */
static struct mteswap_page *tagged_folio(struct kunit *test, size_t nr)
{
	struct mteswap_page *pages = mk_pages(test, nr);
	struct mk *mk = test->priv;
	size_t i;

	for (i = 0; i < nr; i++) {
		mk_fill(mk->tags, mk_patterns[i % ARRAY_SIZE(mk_patterns)].kind,
			mk_patterns[i % ARRAY_SIZE(mk_patterns)].arg, i);
		mk_write_tags(test, &pages[i], mk->tags);
		mteswap_set_page_tagged(pages[i].flags);
	}
	return pages;
}

/* The tags that tagged_folio() gave page @i, in mk->tags. */
static u8 *tags_of(struct kunit *test, size_t i)
{
	struct mk *mk = test->priv;

	mk_fill(mk->tags, mk_patterns[i % ARRAY_SIZE(mk_patterns)].kind,
		mk_patterns[i % ARRAY_SIZE(mk_patterns)].arg, i);
	return mk->tags;
}

static void expect_page(struct kunit *test, const struct mteswap_page *page, const u8 *tags)
{
	struct mk *mk = test->priv;

	mk_read_tags(test, page, mk->out);
	KUNIT_EXPECT_MEMEQ(test, mk->out, tags, MK_TAGS);
}

static void hook_1_prepare_saves_the_tags_of_a_page(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = tagged_folio(test, 1);

	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 8), 1, page), 0);
	mk_expect_record(test, mk_entry(TYPE, 8), tags_of(test, 0));
	/* The page is as it was, should its write fail. */
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(page->flags));
	expect_page(test, page, tags_of(test, 0));
}

static void tag_1_prepare_of_an_untagged_page_stores_nothing(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = mk_pages(test, 1);
	struct mteswap_stats stats;

	mk_fill_random(mk->tags, 1);
	mk_write_tags(test, page, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 8), 1, page), 0);
	mk_expect_absent(test, mk_entry(TYPE, 8));
	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	KUNIT_EXPECT_EQ(test, stats.entries, 0);
	KUNIT_EXPECT_EQ(test, *page->flags, 0);
}

static void tag_1_prepare_of_an_untagged_page_keeps_the_older_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = mk_pages(test, 1);

	mk_fill_random(mk->tags, 2);
	mk_save(test, mk_entry(TYPE, 8), mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 8), 1, page), 0);
	mk_expect_record(test, mk_entry(TYPE, 8), mk->tags);
}

static void tag_1_a_locked_page_is_not_yet_tagged(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = mk_pages(test, 1);

	KUNIT_ASSERT_TRUE(test, mteswap_try_page_tagging(page->flags));
	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(mk->store, 8, 1, page), 0);
	mk_expect_absent(test, 8);
}

static void hook_2_restore_gives_tags_and_flag_back(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = mk_pages(test, 1);

	mk_fill_random(mk->old, 3);
	mk_write_tags(test, page, mk->old);
	mk_fill_random(mk->tags, 4);
	mk_save(test, mk_entry(TYPE, 8), mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, mk_entry(TYPE, 8), 1, page), 1);
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(page->flags));
	expect_page(test, page, mk->tags);
	mk_expect_record(test, mk_entry(TYPE, 8), mk->tags);
}

static void tag_5_restore_of_nothing_leaves_the_page_untouched(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = mk_pages(test, 1);

	mk_fill_random(mk->tags, 5);
	mk_write_tags(test, page, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, mk_entry(TYPE, 8), 1, page), 0);
	KUNIT_EXPECT_EQ(test, *page->flags, 0);
	expect_page(test, page, mk->tags);
}

static void tag_6_restore_leaves_a_tagged_page_as_it_is(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *page = tagged_folio(test, 1);

	mk_fill_random(mk->old, 6);
	mk_save(test, mk_entry(TYPE, 8), mk->old);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, mk_entry(TYPE, 8), 1, page), 0);
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(page->flags));
	expect_page(test, page, tags_of(test, 0));
}

static void hook_2_hook_3_restore_free_then_the_slot_is_bare(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 1);
	struct mteswap_page *pages = mk_pages(test, 2);
	mteswap_entry_t entry;

	mteswap_sync_tags(&pages[0], 1);
	mk_fill_random(mk->tags, 7);
	mk_write_tags(test, &pages[0], mk->tags);

	/* Out ... */
	KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, 1, &entry), 0);
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, entry, 1, &pages[0]), 0);
	KUNIT_ASSERT_EQ(test, mteswap_swap_duplicate(swap, entry), 0);
	mteswap_swapcache_clear(swap, entry, 1);
	/* ... and in: pin, restore, free, and the pin last. */
	KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, entry, 1, &pages[1]), 1);
	mteswap_swap_free(swap, entry, 1);
	mteswap_swapcache_clear(swap, entry, 1);
	expect_page(test, &pages[1], mk->tags);

	/* The next page there is untagged, and gets no one else's tags. */
	KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, 1, &entry), 0);
	mk_expect_absent(test, entry);
}

static void hook_4_swapoff_drops_the_area(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, NR);
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 0), NR, pages), 0);
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE + 1, 0), NR, pages),
			0);
	mteswap_invalidate_area(mk->store, TYPE);
	for (i = 0; i < NR; i++) {
		mk_expect_absent(test, mk_entry(TYPE, i));
		mk_expect_record(test, mk_entry(TYPE + 1, i), tags_of(test, i));
	}
}

static void hook_10_exit_without_swap_in_leaves_no_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, NR);
	struct mteswap_page *pages = tagged_folio(test, NR);
	struct mteswap_stats stats;
	mteswap_entry_t entry;
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, NR, &entry), 0);
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, entry, NR, pages), 0);
	for (i = 0; i < NR; i++) {
		/* Two mappings: the record goes with the slot, not with the first. */
		KUNIT_ASSERT_EQ(test, mteswap_swap_duplicate(swap, entry + i), 0);
		KUNIT_ASSERT_EQ(test, mteswap_swap_duplicate(swap, entry + i), 0);
	}
	mteswap_swapcache_clear(swap, entry, NR);
	mteswap_swap_free(swap, entry, NR);
	for (i = 0; i < NR; i++)
		mk_expect_record(test, entry + i, tags_of(test, i));
	mteswap_swap_free(swap, entry, NR);
	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	KUNIT_EXPECT_EQ(test, stats.entries, 0);
	KUNIT_EXPECT_EQ(test, stats.payload_bytes, 0);
}

static void hook_11_tags_0_are_saved_like_any_other(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 2);

	mteswap_sync_tags(&pages[0], 1);
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, 4, 1, &pages[0]), 0);
	memset(mk->tags, 0, MK_TAGS);
	mk_expect_record(test, 4, mk->tags);
	/* And write over what the frame held before. */
	mk_fill_random(mk->old, 8);
	mk_write_tags(test, &pages[1], mk->old);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, 4, 1, &pages[1]), 1);
	expect_page(test, &pages[1], mk->tags);
}

static void tag_10_a_folio_is_saved_page_by_page(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, NR);
	u64 i;

	KUNIT_EXPECT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 48), NR, pages),
			0);
	for (i = 0; i < NR; i++)
		mk_expect_record(test, mk_entry(TYPE, 48 + i), tags_of(test, i));
	mk_expect_absent(test, mk_entry(TYPE, 47));
	mk_expect_absent(test, mk_entry(TYPE, 48 + NR));
}

static void tag_11_a_folio_is_restored_page_by_page(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, NR), *fresh = mk_pages(test, NR);
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 48), NR, pages),
			0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, mk_entry(TYPE, 48), NR, fresh), NR);
	for (i = 0; i < NR; i++) {
		KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(fresh[i].flags));
		expect_page(test, &fresh[i], tags_of(test, i));
	}
}

static void tag_11_a_folio_may_hold_pages_without_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, NR), *fresh = mk_pages(test, NR);
	u64 i;

	/* Every third page was never tagged. */
	for (i = 0; i < NR; i += 3)
		*pages[i].flags = 0;
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 0), NR, pages), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, mk_entry(TYPE, 0), NR, fresh),
			NR - (NR + 2) / 3);
	for (i = 0; i < NR; i++) {
		KUNIT_EXPECT_EQ(test, mteswap_page_tagged(fresh[i].flags), i % 3 != 0);
		if (i % 3)
			expect_page(test, &fresh[i], tags_of(test, i));
	}
}

static void tag_11_refault_page_by_page_restores_each_once(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, NR), *fresh = mk_pages(test, NR);
	mteswap_entry_t first = mk_entry(TYPE, 32);
	int restored = 0;
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, first, NR, pages), 0);
	/* Each fault holds its own slot, and calls the hook for the whole folio. */
	for (i = 0; i < NR; i++) {
		KUNIT_ASSERT_EQ(test, mteswap_folio_entry(first + i, NR), first);
		restored += mteswap_swap_restore(mk->store, mteswap_folio_entry(first + i, NR),
						 NR, fresh);
	}
	KUNIT_EXPECT_EQ(test, restored, NR);
	for (i = 0; i < NR; i++)
		expect_page(test, &fresh[i], tags_of(test, i));
}

static void tag_11_a_refault_does_not_undo_new_tags(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, 4), *fresh = mk_pages(test, 4);

	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, 32, 4, pages), 0);
	KUNIT_ASSERT_EQ(test, mteswap_swap_restore(mk->store, 32, 4, fresh), 4);
	/* The program changes a tag between its faults on the folio's pages. */
	mk_fill_random(mk->old, 9);
	mk_write_tags(test, &fresh[1], mk->old);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, 32, 4, fresh), 0);
	expect_page(test, &fresh[1], mk->old);
}

static void tag_11_folio_entry_aligns_down(struct kunit *test)
{
	static const struct {
		mteswap_entry_t any;
		size_t nr;
		mteswap_entry_t first;
	} rows[] = {
		{ 0, 1, 0 },
		{ 17, 1, 17 },
		{ 17, 16, 16 },
		{ 31, 16, 16 },
		{ 1023, 512, 512 },
		{ 5ull << 58 | 7, 4, 5ull << 58 | 4 },
		{ 31ull << 58 | 3, 8, 31ull << 58 },
		{ ~0ull >> 1, 2048, (~0ull >> 1) - 2047 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		KUNIT_EXPECT_EQ(test, mteswap_folio_entry(rows[i].any, rows[i].nr), rows[i].first);
}

static void flag_11_split_keeps_each_pages_own_bits(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = tagged_folio(test, 8), *fresh = mk_pages(test, 8);
	u64 i;

	/* The head untagged, a tail tagged alone: each is what it was. */
	for (i = 0; i < 8; i++)
		if (i != 5)
			*pages[i].flags = 0;
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, mk_entry(TYPE, 0), 8, pages), 0);
	/* Split in swap: every slot comes back as a page of its own. */
	for (i = 0; i < 8; i++) {
		KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, mk_entry(TYPE, i), 1,
							   &fresh[i]), i == 5);
		KUNIT_EXPECT_EQ(test, mteswap_page_tagged(fresh[i].flags), i == 5);
	}
	expect_page(test, &fresh[5], tags_of(test, 5));
}

static void flag_3_hooks_use_the_bits_of_each_page(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 4), *fresh = mk_pages(test, 4);
	u64 i;

	for (i = 0; i < 4; i++) {
		pages[i].tagged_bit = 20 + i;
		pages[i].lock_bit = 50 - i;
		fresh[i].tagged_bit = 63 - i;
		fresh[i].lock_bit = i;
		mteswap_sync_tags(&pages[i], 1);
		mk_write_tags(test, &pages[i], tags_of(test, i));
	}
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->store, 0, 4, pages), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_restore(mk->store, 0, 4, fresh), 4);
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_EQ(test, *fresh[i].flags & ~BIT(i), BIT(63 - i));
		expect_page(test, &fresh[i], tags_of(test, i));
	}
}

static struct kunit_case hooks_cases[] = {
	KUNIT_CASE(hook_1_prepare_saves_the_tags_of_a_page),
	KUNIT_CASE(hook_2_restore_gives_tags_and_flag_back),
	KUNIT_CASE(hook_2_hook_3_restore_free_then_the_slot_is_bare),
	KUNIT_CASE(hook_4_swapoff_drops_the_area),
	KUNIT_CASE(hook_10_exit_without_swap_in_leaves_no_record),
	KUNIT_CASE(hook_11_tags_0_are_saved_like_any_other),
	KUNIT_CASE(tag_1_prepare_of_an_untagged_page_stores_nothing),
	KUNIT_CASE(tag_1_prepare_of_an_untagged_page_keeps_the_older_record),
	KUNIT_CASE(tag_1_a_locked_page_is_not_yet_tagged),
	KUNIT_CASE(tag_5_restore_of_nothing_leaves_the_page_untouched),
	KUNIT_CASE(tag_6_restore_leaves_a_tagged_page_as_it_is),
	KUNIT_CASE(tag_10_a_folio_is_saved_page_by_page),
	KUNIT_CASE(tag_11_a_folio_is_restored_page_by_page),
	KUNIT_CASE(tag_11_a_folio_may_hold_pages_without_record),
	KUNIT_CASE(tag_11_refault_page_by_page_restores_each_once),
	KUNIT_CASE(tag_11_a_refault_does_not_undo_new_tags),
	KUNIT_CASE(tag_11_folio_entry_aligns_down),
	KUNIT_CASE(flag_11_split_keeps_each_pages_own_bits),
	KUNIT_CASE(flag_3_hooks_use_the_bits_of_each_page),
	{}
};

static struct kunit_suite hooks_suite = {
	.name = "mteswap_hooks",
	.init = mk_init,
	.test_cases = hooks_cases,
};

kunit_test_suite(hooks_suite);
