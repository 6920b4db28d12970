// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The kernel's own names over the library (mteswap_linux.h), with the kernel's meanings. In a
 * kernel they are there already: this suite is for user space alone.
 */
#include <errno.h>

#include <mteswap_linux.h>

#include "../mteswap_kunit.h"

#define TYPE 3
#define SLOTS 64
#define BATCH MTESWAP_LINUX_BATCH

struct mteswap_store *mteswap_linux_store;
static struct mteswap_swap *swap;

struct mteswap_swap *mteswap_linux_swap(unsigned int type)
{
	return type == TYPE ? swap : NULL;
}

static int linux_init(struct kunit *test)
{
	int err = mk_init(test);
	struct mk *mk = test->priv;

	if (err)
		return err;
	mteswap_linux_store = mk->store;
	swap = NULL;
	return 0;
}

static void linux_exit(struct kunit *test)
{
	(void)test;
	mteswap_linux_store = NULL;
	swap = NULL;
}

/* What page @i of a folio made with @seed has for tags, in mk->tags. */
static u8 *tags_of(struct kunit *test, size_t i, u64 seed)
{
	struct mk *mk = test->priv;

	mk_fill(mk->tags, mk_patterns[i % ARRAY_SIZE(mk_patterns)].kind,
		mk_patterns[i % ARRAY_SIZE(mk_patterns)].arg, seed + i);
	return mk->tags;
}

/* @nr pages in the swap cache at @offset, no tags written. */
static struct folio *untagged_folio(struct kunit *test, size_t nr, u64 offset)
{
	struct folio *folio = kunit_kzalloc(test, sizeof(*folio), GFP_KERNEL);
	struct mteswap_page *memory = mk_pages(test, nr);
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, folio);
	folio->swap = swp_entry(TYPE, offset);
	folio->nr = nr;
	folio->pages = kunit_kcalloc(test, nr, sizeof(*folio->pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, folio->pages);
	for (i = 0; i < nr; i++) {
		folio->pages[i].addr = memory[i].addr;
		folio->pages[i].folio = folio;
	}
	return folio;
}

/* As whoever puts a page into a tagged mapping. */
static void tag_page(struct kunit *test, struct page *page, const u8 *tags)
{
	struct mteswap_page view = mteswap_linux_page(page);

	KUNIT_ASSERT_TRUE(test, try_page_mte_tagging(page));
	mk_write_tags(test, &view, tags);
	set_page_mte_tagged(page);
}

static struct folio *tagged_folio(struct kunit *test, size_t nr, u64 offset, u64 seed)
{
	struct folio *folio = untagged_folio(test, nr, offset);
	size_t i;

	for (i = 0; i < nr; i++)
		tag_page(test, &folio->pages[i], tags_of(test, i, seed));
	return folio;
}

/* Tags of no pattern: none of its pages is saved without memory. */
static struct folio *random_folio(struct kunit *test, size_t nr, u64 offset, u64 seed)
{
	struct folio *folio = untagged_folio(test, nr, offset);
	struct mk *mk = test->priv;
	size_t i;

	for (i = 0; i < nr; i++) {
		mk_fill_random(mk->tags, seed + i);
		tag_page(test, &folio->pages[i], mk->tags);
	}
	return folio;
}

static void expect_page(struct kunit *test, struct page *page, const u8 *tags)
{
	struct mteswap_page view = mteswap_linux_page(page);
	struct mk *mk = test->priv;

	KUNIT_EXPECT_TRUE(test, page_mte_tagged(page));
	KUNIT_EXPECT_EQ(test, page->flags & ~(BIT(PG_mte_tagged) | BIT(PG_mte_lock)), 0);
	mk_read_tags(test, &view, mk->out);
	KUNIT_EXPECT_MEMEQ(test, mk->out, tags, MK_TAGS);
}

static u64 entries(struct kunit *test)
{
	struct mteswap_stats stats;

	KUNIT_ASSERT_EQ(test, mteswap_stats(mteswap_linux_store, &stats), 0);
	return stats.entries;
}

static void tag_1_tag_2_a_page_is_saved_where_it_is_tagged(struct kunit *test)
{
	struct folio *plain = untagged_folio(test, 3, 8);
	struct folio *tagged = tagged_folio(test, 3, 8, 1);

	KUNIT_EXPECT_EQ(test, mte_save_tags(&tagged->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, mte_save_tags(&plain->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, mte_save_tags(&plain->pages[2]), 0);
	mk_expect_absent(test, mk_entry(TYPE, 8));
	mk_expect_record(test, mk_entry(TYPE, 9), tags_of(test, 1, 1));
	mk_expect_absent(test, mk_entry(TYPE, 10));
}

static void tag_3_a_page_that_cannot_be_saved_is_enomem(struct kunit *test)
{
	struct folio *folio = random_folio(test, 1, 8, 4);
	struct mk *mk = test->priv;
	int ret;

	mk_fill(mk->tags, MK_ONE, 5, 0);
	mk_save(test, mk_entry(TYPE, 8), mk->tags);
	mk_host_fail_after(0);
	ret = mte_save_tags(folio->pages);
	mk_host_fail_after(-1);
	KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
	mk_expect_record(test, mk_entry(TYPE, 8), mk->tags);
}

static void tag_4_tag_6_a_page_is_restored_once(struct kunit *test)
{
	struct folio *out = tagged_folio(test, 1, 8, 2);
	struct folio *in = untagged_folio(test, 1, 8);
	struct mteswap_page view;
	struct mk *mk = test->priv;

	KUNIT_ASSERT_EQ(test, mte_save_tags(out->pages), 0);
	mte_restore_tags(in->swap, in->pages);
	expect_page(test, in->pages, tags_of(test, 0, 2));
	KUNIT_EXPECT_EQ(test, entries(test), 1);

	/* Tags that came since are not undone. */
	view = mteswap_linux_page(in->pages);
	mk_fill_random(mk->tags, 3);
	mk_write_tags(test, &view, mk->tags);
	mte_restore_tags(in->swap, in->pages);
	expect_page(test, in->pages, mk->tags);
}

static void tag_5_nothing_is_restored_where_nothing_is_kept(struct kunit *test)
{
	struct folio *in = untagged_folio(test, 1, 8);
	struct mteswap_page view = mteswap_linux_page(in->pages);
	struct mk *mk = test->priv;

	mk_fill_random(mk->tags, 4);
	mk_write_tags(test, &view, mk->tags);
	mte_restore_tags(in->swap, in->pages);
	KUNIT_EXPECT_EQ(test, in->pages->flags, 0);
	mk_read_tags(test, &view, mk->out);
	KUNIT_EXPECT_MEMEQ(test, mk->out, mk->tags, MK_TAGS);
}

static void tag_7_a_slot_is_invalidated_by_type_and_offset(struct kunit *test)
{
	struct folio *folio = tagged_folio(test, 3, 8, 5);

	KUNIT_ASSERT_EQ(test, arch_prepare_to_swap(folio), 0);
	mte_invalidate_tags(TYPE, 9);
	mte_invalidate_tags(TYPE + 1, 8);
	mte_invalidate_tags(TYPE, 11);
	mk_expect_record(test, mk_entry(TYPE, 8), tags_of(test, 0, 5));
	mk_expect_absent(test, mk_entry(TYPE, 9));
	mk_expect_record(test, mk_entry(TYPE, 10), tags_of(test, 2, 5));
}

static void tag_8_hook_4_an_area_is_invalidated_alone(struct kunit *test)
{
	struct folio *folio = tagged_folio(test, 3, 8, 6);
	struct mk *mk = test->priv;

	KUNIT_ASSERT_EQ(test, arch_prepare_to_swap(folio), 0);
	mk_fill_random(mk->tags, 7);
	mk_save(test, mk_entry(TYPE - 1, 8), mk->tags);
	mk_save(test, mk_entry(TYPE + 1, 8), mk->tags);
	arch_swap_invalidate_area(TYPE);
	KUNIT_EXPECT_EQ(test, entries(test), 2);
	mte_invalidate_tags_area(TYPE - 1);
	mte_invalidate_tags_area(TYPE + 1);
	KUNIT_EXPECT_EQ(test, entries(test), 0);
}

/* Folios that are less, as much, and more than one call of the library takes. */
static const struct folio_pages {
	const char *name;
	size_t nr;
} folios[] = {
	{ "one page", 1 },
	{ "one batch", BATCH },
	{ "one page more", BATCH + 1 },
	{ "a cluster", MTESWAP_CLUSTER },
};

static void folio_name(const struct folio_pages *folio, char *name)
{
	snprintf(name, KUNIT_PARAM_DESC_SIZE, "%s", folio->name);
}

KUNIT_ARRAY_PARAM(folio, folios, folio_name);

static void tag_10_tag_11_hook_1_hook_2_folios_go_and_come_whole(struct kunit *test)
{
	size_t nr = ((const struct folio_pages *)test->param_value)->nr, i;
	struct folio *out = tagged_folio(test, nr, MTESWAP_CLUSTER, 8);
	struct folio *in = untagged_folio(test, nr, MTESWAP_CLUSTER);

	KUNIT_ASSERT_EQ(test, arch_prepare_to_swap(out), 0);
	KUNIT_EXPECT_EQ(test, entries(test), nr);
	arch_swap_restore(in->swap, in);
	for (i = 0; i < nr; i++)
		expect_page(test, &in->pages[i], tags_of(test, i, 8));
	KUNIT_EXPECT_EQ(test, entries(test), nr);
}

static void tag_10_a_folio_that_cannot_be_saved_stays(struct kunit *test)
{
	size_t nr = ((const struct folio_pages *)test->param_value)->nr;
	struct folio *folio = random_folio(test, nr, MTESWAP_CLUSTER, 9);
	int through, ret = -ENOMEM;

	for (through = 0; ret; through++) {
		mk_host_fail_after(through);
		ret = arch_prepare_to_swap(folio);
		mk_host_fail_after(-1);
		if (ret)
			KUNIT_ASSERT_EQ(test, ret, -ENOMEM);
		KUNIT_ASSERT_EQ(test, entries(test), ret ? 0 : nr);
	}
	KUNIT_EXPECT_GT(test, through, 1);
}

static void tag_12_storage_goes_back_wiped(struct kunit *test)
{
	u64 *secret = kunit_kmalloc(test, MK_TAGS, GFP_KERNEL);
	struct mk_host before, after;
	char *storage;

	KUNIT_ASSERT_NOT_NULL(test, secret);
	mk_fill_random((u8 *)secret, 10);
	mk_host_read(&before);
	storage = mte_allocate_tag_storage();
	KUNIT_ASSERT_NOT_NULL(test, storage);
	memcpy(storage, secret, MK_TAGS);
	mk_host_watch(secret, MK_TAGS / sizeof(*secret));
	mte_free_tag_storage(storage);
	mk_host_watch(NULL, 0);
	mk_host_read(&after);
	KUNIT_EXPECT_EQ(test, after.leaked, before.leaked);
	KUNIT_EXPECT_EQ(test, after.misused, before.misused);
	KUNIT_EXPECT_EQ(test, after.blocks, before.blocks);

	mte_free_tag_storage(NULL);
	mk_host_fail_after(0);
	storage = mte_allocate_tag_storage();
	mk_host_fail_after(-1);
	KUNIT_EXPECT_NULL(test, storage);
}

static void flag_3_the_bits_are_the_kernels(struct kunit *test)
{
	struct page *page = untagged_folio(test, 1, 0)->pages;

	page->flags = BIT(0) | BIT(63);
	KUNIT_EXPECT_FALSE(test, page_mte_tagged(page));
	KUNIT_EXPECT_TRUE(test, try_page_mte_tagging(page));
	KUNIT_EXPECT_EQ(test, page->flags, BIT(0) | BIT(63) | BIT(PG_mte_lock));
	KUNIT_EXPECT_FALSE(test, page_mte_tagged(page));
	set_page_mte_tagged(page);
	KUNIT_EXPECT_TRUE(test, page_mte_tagged(page));
	KUNIT_EXPECT_TRUE(test, page->flags & BIT(PG_mte_tagged));
	KUNIT_EXPECT_FALSE(test, try_page_mte_tagging(page));
}

static void pin_1_duplicate_says_nothing_of_what_is_not_there(struct kunit *test)
{
	swp_entry_t entry, shared;

	swap = mk_swap(test, mteswap_linux_store, TYPE, SLOTS);
	entry.val = mk_take_slot(test, swap, 1, false);
	KUNIT_EXPECT_EQ(test, swap_duplicate(entry), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry.val), 2);
	shared.val = mk_take_slot(test, swap, 0, true);
	swap_shmem_alloc(shared, 1);
	KUNIT_EXPECT_EQ(test, swap_duplicate(shared), 0);
	KUNIT_EXPECT_EQ(test, swap_duplicate(shared), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, shared.val), 1);
	/* A free slot, one behind the last, another area. */
	KUNIT_EXPECT_EQ(test, swap_duplicate(swp_entry(TYPE, SLOTS - 1)), 0);
	KUNIT_EXPECT_EQ(test, swap_duplicate(swp_entry(TYPE, SLOTS + 1)), 0);
	KUNIT_EXPECT_EQ(test, swap_duplicate(swp_entry(TYPE + 1, 0)), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry.val), 2);

	swap_free_nr(entry, 1);
	swap_free(entry);
	swapcache_clear(NULL, shared, 1);
	swap_free(shared);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry.val), -ENOENT);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, shared.val), -ENOENT);
}

static void pin_1_pin_9_a_count_that_cannot_go_on_is_enomem(struct kunit *test)
{
	swp_entry_t entry;
	int count, ret = 0;

	swap = mk_swap(test, mteswap_linux_store, TYPE, SLOTS);
	entry.val = mk_take_slot(test, swap, 0, true);
	for (count = 0; !ret && count < 1 << 25; count += !ret)
		ret = swap_duplicate(entry);
	KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry.val), count);
	swap_free_nr(entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry.val), count - 1);
	KUNIT_EXPECT_EQ(test, swap_duplicate(entry), 0);
}

static void pin_2_pin_3_hook_3_swap_in_past_the_swap_cache(struct kunit *test)
{
	struct folio *out = tagged_folio(test, 1, 0, 11);
	struct folio *in = untagged_folio(test, 1, 0);
	swp_entry_t entry;

	swap = mk_swap(test, mteswap_linux_store, TYPE, SLOTS);
	entry.val = mk_take_slot(test, swap, 1, true);
	out->swap = entry;
	in->swap = entry;
	KUNIT_ASSERT_EQ(test, arch_prepare_to_swap(out), 0);
	/* The page leaves the swap cache, and comes by a fault. */
	swapcache_clear(NULL, entry, 1);
	KUNIT_ASSERT_EQ(test, swapcache_prepare(entry, 1), 0);
	KUNIT_EXPECT_EQ(test, swapcache_prepare(entry, 1), -EEXIST);
	arch_swap_restore(entry, in);
	swap_free(entry);
	expect_page(test, in->pages, tags_of(test, 0, 11));
	/* The pin holds the slot, and its record. */
	mk_expect_record(test, entry.val, tags_of(test, 0, 11));
	swapcache_clear(NULL, entry, 1);
	mk_expect_absent(test, entry.val);
	KUNIT_EXPECT_EQ(test, swapcache_prepare(entry, 1), -ENOENT);
}

static void hook_3_a_slot_that_goes_takes_its_record_along(struct kunit *test)
{
	struct folio *folio = tagged_folio(test, 2, 8, 12);

	KUNIT_ASSERT_EQ(test, arch_prepare_to_swap(folio), 0);
	arch_swap_invalidate_page(TYPE, 8);
	mk_expect_absent(test, mk_entry(TYPE, 8));
	mk_expect_record(test, mk_entry(TYPE, 9), tags_of(test, 1, 12));
}

static void hook_1_without_a_store_tagged_pages_stay(struct kunit *test)
{
	struct folio *tagged = tagged_folio(test, 2, 8, 13);
	struct folio *plain = untagged_folio(test, 2, 8);

	mteswap_linux_store = NULL;
	KUNIT_EXPECT_EQ(test, mte_save_tags(tagged->pages), -ENOMEM);
	KUNIT_EXPECT_EQ(test, arch_prepare_to_swap(tagged), -ENOMEM);
	KUNIT_EXPECT_EQ(test, mte_save_tags(plain->pages), 0);
	KUNIT_EXPECT_EQ(test, arch_prepare_to_swap(plain), 0);
	mte_restore_tags(plain->swap, plain->pages);
	arch_swap_restore(plain->swap, plain);
	mte_invalidate_tags(TYPE, 8);
	mte_invalidate_tags_area(TYPE);
	KUNIT_EXPECT_EQ(test, plain->pages->flags, 0);
}

static struct kunit_case linux_cases[] = {
	KUNIT_CASE(tag_1_tag_2_a_page_is_saved_where_it_is_tagged),
	KUNIT_CASE(tag_3_a_page_that_cannot_be_saved_is_enomem),
	KUNIT_CASE(tag_4_tag_6_a_page_is_restored_once),
	KUNIT_CASE(tag_5_nothing_is_restored_where_nothing_is_kept),
	KUNIT_CASE(tag_7_a_slot_is_invalidated_by_type_and_offset),
	KUNIT_CASE(tag_8_hook_4_an_area_is_invalidated_alone),
	KUNIT_CASE_PARAM(tag_10_tag_11_hook_1_hook_2_folios_go_and_come_whole, folio_gen_params),
	KUNIT_CASE_PARAM(tag_10_a_folio_that_cannot_be_saved_stays, folio_gen_params),
	KUNIT_CASE(tag_12_storage_goes_back_wiped),
	KUNIT_CASE(flag_3_the_bits_are_the_kernels),
	KUNIT_CASE(pin_1_duplicate_says_nothing_of_what_is_not_there),
	KUNIT_CASE(pin_1_pin_9_a_count_that_cannot_go_on_is_enomem),
	KUNIT_CASE(pin_2_pin_3_hook_3_swap_in_past_the_swap_cache),
	KUNIT_CASE(hook_3_a_slot_that_goes_takes_its_record_along),
	KUNIT_CASE(hook_1_without_a_store_tagged_pages_stay),
	{}
};

static struct kunit_suite linux_suite = {
	.name = "mteswap_linux",
	.init = linux_init,
	.exit = linux_exit,
	.test_cases = linux_cases,
};

kunit_test_suite(linux_suite);
