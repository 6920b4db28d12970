// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What the store asks of its host: no memory where it may not, none kept
 * after its last record, nothing told in what it gives back, and no harm
 * where there is none to be had (TAG-3, TAG-9, TAG-10, TAG-12).
 */
#include <linux/string.h>

#include "mteswap_kunit.h"

#define PAGES 500

static struct mk_host host(void)
{
	struct mk_host host;

	mk_host_read(&host);
	return host;
}

static struct mteswap_stats stats_of(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_stats stats;

	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	return stats;
}

/* Far apart and close together, of several types and kinds. */
static mteswap_entry_t nth_entry(u64 i)
{
	return mk_entry(i % 4, i * i % 9973 * (i % 3 ? 1 : 4099));
}

static void save_nth(struct kunit *test, u64 i)
{
	const struct mk_pattern *pattern = &mk_patterns[i % ARRAY_SIZE(mk_patterns)];
	struct mk *mk = test->priv;

	mk_fill(mk->tags, pattern->kind, pattern->arg, i);
	mk_save(test, nth_entry(i), mk->tags);
}

static void tag_9_restore_and_invalidate_never_allocate(struct kunit *test)
{
	struct mk *mk = test->priv;
	unsigned long before;
	u64 i;

	for (i = 0; i < PAGES; i++)
		save_nth(test, i);
	before = host().allocs;
	for (i = 0; i < PAGES; i++) {
		mteswap_restore(mk->store, nth_entry(i), mk->out);
		mteswap_restore(mk->store, nth_entry(i) + 1000, mk->out);
		mteswap_invalidate(mk->store, nth_entry(i));
		mteswap_invalidate(mk->store, nth_entry(i));
	}
	mteswap_invalidate_range(mk->store, 0, 1000);
	mteswap_invalidate_area(mk->store, 2);
	KUNIT_EXPECT_EQ(test, host().allocs, before);
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 0);
}

static void tag_2_the_statistics_are_the_hosts_books(struct kunit *test)
{
	struct mk_host before = host();
	struct mteswap_stats first = stats_of(test), stats;
	struct mk *mk = test->priv;
	u64 i;

	for (i = 0; i < PAGES; i++) {
		save_nth(test, i);
		stats = stats_of(test);
		KUNIT_ASSERT_EQ(test, stats.payload_bytes + stats.index_bytes -
				      first.payload_bytes - first.index_bytes,
				(u64)(host().bytes - before.bytes));
	}
	for (i = 0; i < PAGES; i += 2)
		mteswap_invalidate(mk->store, nth_entry(i));
	stats = stats_of(test);
	KUNIT_EXPECT_EQ(test, stats.payload_bytes + stats.index_bytes -
			      first.payload_bytes - first.index_bytes,
			(u64)(host().bytes - before.bytes));
}

static void tag_2_the_last_record_gives_every_payload_back(struct kunit *test)
{
	struct mk *mk = test->priv;
	u64 i;

	for (i = 0; i < PAGES; i++)
		save_nth(test, i);
	KUNIT_EXPECT_GT(test, stats_of(test).payload_bytes, 0);
	for (i = 0; i < PAGES; i++)
		mteswap_invalidate(mk->store, nth_entry(i));
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 0);
	KUNIT_EXPECT_EQ(test, stats_of(test).payload_bytes, 0);
}

static void tag_2_a_destroyed_store_keeps_nothing(struct kunit *test)
{
	struct mk_host before = host();
	struct mteswap_swap *swap;
	struct mteswap_store *store;
	struct mk *mk = test->priv;
	mteswap_entry_t entry;
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_store_create(&store), 0);
	KUNIT_ASSERT_EQ(test, mteswap_swap_create(store, 1, 1000, &swap), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 8, &entry), 0);
	for (i = 0; i < PAGES; i++) {
		mk_fill(mk->tags, MK_CHUNKS, 0, i);
		KUNIT_EXPECT_EQ(test, mteswap_save(store, nth_entry(i), mk->tags), 0);
	}
	KUNIT_EXPECT_EQ(test, mteswap_reserve(store, 100), 0);
	mteswap_swapcache_clear(swap, entry, 8);
	mteswap_swap_destroy(swap);
	mteswap_store_destroy(store);
	KUNIT_EXPECT_EQ(test, host().blocks, before.blocks);
	KUNIT_EXPECT_EQ(test, host().bytes, before.bytes);
	KUNIT_EXPECT_EQ(test, host().misused, before.misused);
	KUNIT_EXPECT_EQ(test, host().warnings, before.warnings);
}

KUNIT_ARRAY_PARAM_DESC(pattern, mk_patterns, name);

/* Saves with ever more allocations let through, until one is enough. */
static void tag_3_no_memory_leaves_the_store_as_it_was(struct kunit *test)
{
	const struct mk_pattern *pattern = test->param_value;
	struct mk *mk = test->priv;
	mteswap_entry_t entry = mk_entry(7, 12345);
	int ret = -ENOMEM;
	long nr;

	mk_fill(mk->tags, pattern->kind, pattern->arg, 1);
	for (nr = 0; ret == -ENOMEM && nr < 100; nr++) {
		mk_host_fail_after(nr);
		ret = mteswap_save(mk->store, entry, mk->tags);
		mk_host_fail_after(-1);
		if (ret) {
			KUNIT_ASSERT_EQ(test, ret, -ENOMEM);
			mk_expect_absent(test, entry);
			KUNIT_ASSERT_EQ(test, stats_of(test).entries, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, ret, 0);
	/* The first save of a store cannot do without memory. */
	KUNIT_EXPECT_GT(test, nr, 1);
	mk_expect_record(test, entry, mk->tags);
}

static void tag_3_no_memory_keeps_the_older_record(struct kunit *test)
{
	const struct mk_pattern *older = test->param_value;
	struct mk *mk = test->priv;
	int i, ret, refused = 0;

	/* Random tags take a payload each: sooner or later the slabs are full. */
	for (i = 0; i < 400; i++) {
		mk_fill(mk->old, older->kind, older->arg, i);
		mk_save(test, i, mk->old);
	}
	mk_host_fail_after(0);
	for (i = 0; i < 400; i++) {
		mk_fill_random(mk->tags, i);
		ret = mteswap_save_atomic(mk->store, i, mk->tags);
		if (ret) {
			KUNIT_ASSERT_EQ(test, ret, -ENOMEM);
			mk_fill(mk->tags, older->kind, older->arg, i);
			refused++;
		}
		mk_expect_record(test, i, mk->tags);
	}
	mk_host_fail_after(-1);
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 400);
	/* Random pages replace random pages in place, all others need memory. */
	if (older->kind != MK_RANDOM || older->arg != 16)
		KUNIT_EXPECT_GT(test, refused, 0);
}

static void tag_10_no_memory_in_a_range_keeps_every_older_record(struct kunit *test)
{
	const size_t nr = 70;
	u8 *tags = kunit_kcalloc(test, nr, MK_TAGS, GFP_KERNEL);
	struct mk *mk = test->priv;
	int ret = -ENOMEM;
	long through;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, tags);
	for (i = 0; i < nr; i++)
		mk_fill_random(tags + i * MK_TAGS, 100 + i);
	/* Every third entry holds an older record, every other one nothing. */
	for (i = 0; i < nr; i += 3) {
		mk_fill(mk->old, MK_CHUNKS, 0, i);
		mk_save(test, mk_entry(5, 50 + i), mk->old);
	}
	for (through = 0; ret == -ENOMEM && through < 1000; through++) {
		mk_host_fail_after(through);
		ret = mteswap_save_range(mk->store, mk_entry(5, 50), nr, tags);
		mk_host_fail_after(-1);
		for (i = 0; i < nr && ret; i++) {
			mk_fill(mk->old, MK_CHUNKS, 0, i);
			if (i % 3)
				mk_expect_absent(test, mk_entry(5, 50 + i));
			else
				mk_expect_record(test, mk_entry(5, 50 + i), mk->old);
		}
	}
	KUNIT_EXPECT_EQ(test, ret, 0);
	KUNIT_EXPECT_GT(test, through, 1);
	for (i = 0; i < nr; i++)
		mk_expect_record(test, mk_entry(5, 50 + i), tags + i * MK_TAGS);
}

static void tag_10_hook_1_no_memory_for_a_folio_saves_none_of_it(struct kunit *test)
{
	struct mteswap_page *pages = mk_pages(test, 8);
	struct mk *mk = test->priv;
	int i, ret = -ENOMEM;
	long through;

	for (i = 0; i < 8; i++) {
		mk_fill_random(mk->tags, i);
		mk_write_tags(test, &pages[i], mk->tags);
		mteswap_set_page_tagged(pages[i].flags);
	}
	mk_fill(mk->old, MK_CHUNKS, 0, 1);
	mk_save(test, mk_entry(1, 66), mk->old);
	for (through = 0; ret == -ENOMEM && through < 1000; through++) {
		mk_host_fail_after(through);
		ret = mteswap_prepare_to_swap(mk->store, mk_entry(1, 64), 8, pages);
		mk_host_fail_after(-1);
		for (i = 0; i < 8 && ret; i++) {
			if (i == 2)
				mk_expect_record(test, mk_entry(1, 66), mk->old);
			else
				mk_expect_absent(test, mk_entry(1, 64 + i));
		}
	}
	KUNIT_EXPECT_EQ(test, ret, 0);
	KUNIT_EXPECT_GT(test, through, 1);
	for (i = 0; i < 8; i++) {
		mk_fill_random(mk->tags, i);
		mk_expect_record(test, mk_entry(1, 64 + i), mk->tags);
	}
}

static void tag_16_no_memory_for_a_move_changes_nothing(struct kunit *test)
{
	struct mk *mk = test->priv;
	mteswap_entry_t from = mk_entry(0, 3), to = mk_entry(9, BIT_ULL(50));
	int ret = -ENOMEM;
	long through;

	mk_fill_random(mk->tags, 1);
	mk_save(test, from, mk->tags);
	for (through = 0; ret == -ENOMEM && through < 100; through++) {
		mk_host_fail_after(through);
		ret = mteswap_move(mk->store, from, to);
		mk_host_fail_after(-1);
		if (ret) {
			mk_expect_record(test, from, mk->tags);
			mk_expect_absent(test, to);
		}
	}
	KUNIT_EXPECT_EQ(test, ret, 0);
	mk_expect_absent(test, from);
	mk_expect_record(test, to, mk->tags);
}

static void tag_3_a_reserve_lets_saves_go_on_without_memory(struct kunit *test)
{
	static const size_t sizes[] = { 1, 64, 512 };
	struct mk *mk = test->priv;
	size_t i, n;

	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		mteswap_entry_t first = mk_entry(3 + n, 4096);

		KUNIT_ASSERT_EQ(test, mteswap_reserve(mk->store, sizes[n]), 0);
		KUNIT_EXPECT_GT(test, stats_of(test).reserved_bytes, 0);
		mk_host_fail_after(0);
		for (i = 0; i < sizes[n]; i++) {
			mk_fill_random(mk->tags, i);
			KUNIT_ASSERT_EQ_MSG(test, mteswap_save(mk->store, first + i, mk->tags), 0,
					    "save %zu of %zu", i, sizes[n]);
		}
		mk_host_fail_after(-1);
		for (i = 0; i < sizes[n]; i++) {
			mk_fill_random(mk->tags, i);
			mk_expect_record(test, first + i, mk->tags);
		}
	}
	KUNIT_EXPECT_EQ(test, mteswap_reserve(mk->store, 0), 0);
	KUNIT_EXPECT_EQ(test, stats_of(test).reserved_bytes, 0);
}

static void tag_3_a_reserve_that_cannot_be_had_is_enomem(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mk_host before = host();
	u64 reserved = stats_of(test).reserved_bytes;

	mk_host_fail_after(0);
	KUNIT_EXPECT_EQ(test, mteswap_reserve(mk->store, 1000), -ENOMEM);
	mk_host_fail_after(-1);
	KUNIT_EXPECT_EQ(test, stats_of(test).reserved_bytes, reserved);
	KUNIT_EXPECT_EQ(test, host().bytes, before.bytes);
}

static void tag_3_objects_that_cannot_be_had_are_enomem(struct kunit *test)
{
	struct mteswap_store *store = (void *)-1;
	struct mteswap_swap *swap = (void *)-1;
	struct mk_host before = host();
	struct mk *mk = test->priv;
	int ret = -ENOMEM;
	long through;

	mk_host_fail_after(0);
	KUNIT_EXPECT_EQ(test, mteswap_store_create(&store), -ENOMEM);
	KUNIT_EXPECT_PTR_EQ(test, store, (void *)-1);
	for (through = 0; ret == -ENOMEM && through < 100; through++) {
		KUNIT_EXPECT_EQ(test, host().bytes, before.bytes);
		mk_host_fail_after(through);
		ret = mteswap_swap_create(mk->store, 1, 5000, &swap);
		if (ret)
			KUNIT_EXPECT_PTR_EQ(test, swap, (void *)-1);
	}
	mk_host_fail_after(-1);
	KUNIT_ASSERT_EQ(test, ret, 0);
	mteswap_swap_destroy(swap);
}

/* Words that only these tags hold, with no code that could shorten them. */
static void tag_12_what_goes_back_tells_no_tags(struct kunit *test)
{
	const size_t words = MK_TAGS / sizeof(u64);
	struct mk_host before = host();
	struct mk *mk = test->priv;
	u64 *secret, i;

	secret = kunit_kcalloc(test, 64 * words, sizeof(*secret), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, secret);
	for (i = 0; i < 64; i++)
		mk_fill_random((u8 *)(secret + i * words), 7777 + i);
	mk_host_watch(secret, 64 * words);

	for (i = 0; i < 3 * 64; i++)
		mk_save(test, mk_entry(i % 3, i * 65), (u8 *)(secret + i % 64 * words));
	mk_fill(mk->tags, MK_ONE, 5, 0);
	/* Replaced by something shorter, replaced by the like, dropped each way. */
	for (i = 0; i < 64; i++)
		mk_save(test, mk_entry(i % 3, i * 65), mk->tags);
	for (; i < 96; i++)
		mk_save(test, mk_entry(i % 3, i * 65), (u8 *)(secret + (i + 1) % 64 * words));
	for (i = 0; i < 3 * 64; i += 2)
		mteswap_invalidate(mk->store, mk_entry(i % 3, i * 65));
	mteswap_invalidate_range(mk->store, mk_entry(1, 0), 100 * 65);
	for (i = 0; i < 3; i++)
		mteswap_invalidate_area(mk->store, i);
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 0);
	KUNIT_EXPECT_EQ(test, host().leaked, before.leaked);
	mk_host_watch(NULL, 0);
}

static void tag_12_a_destroyed_store_tells_no_tags(struct kunit *test)
{
	const size_t words = MK_TAGS / sizeof(u64);
	struct mk_host before = host();
	struct mk *mk = test->priv;
	struct mteswap_store *store;
	u64 i;

	mk_fill_random(mk->tags, 4242);
	/* Page tags are bytes; as words they are looked for in the same order. */
	u64 *secret = kunit_kmalloc(test, MK_TAGS, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, secret);
	memcpy(secret, mk->tags, MK_TAGS);
	KUNIT_ASSERT_EQ(test, mteswap_store_create(&store), 0);
	mk_host_watch(secret, words);
	for (i = 0; i < 200; i++)
		KUNIT_EXPECT_EQ(test, mteswap_save(store, i * 3, mk->tags), 0);
	mteswap_store_destroy(store);
	KUNIT_EXPECT_EQ(test, host().leaked, before.leaked);
	mk_host_watch(NULL, 0);
}

static struct kunit_case host_cases[] = {
	KUNIT_CASE(tag_9_restore_and_invalidate_never_allocate),
	KUNIT_CASE(tag_2_the_statistics_are_the_hosts_books),
	KUNIT_CASE(tag_2_the_last_record_gives_every_payload_back),
	KUNIT_CASE(tag_2_a_destroyed_store_keeps_nothing),
	KUNIT_CASE_PARAM(tag_3_no_memory_leaves_the_store_as_it_was, pattern_gen_params),
	KUNIT_CASE_PARAM(tag_3_no_memory_keeps_the_older_record, pattern_gen_params),
	KUNIT_CASE(tag_3_a_reserve_lets_saves_go_on_without_memory),
	KUNIT_CASE(tag_3_a_reserve_that_cannot_be_had_is_enomem),
	KUNIT_CASE(tag_3_objects_that_cannot_be_had_are_enomem),
	KUNIT_CASE(tag_10_no_memory_in_a_range_keeps_every_older_record),
	KUNIT_CASE(tag_10_hook_1_no_memory_for_a_folio_saves_none_of_it),
	KUNIT_CASE(tag_12_what_goes_back_tells_no_tags),
	KUNIT_CASE(tag_12_a_destroyed_store_tells_no_tags),
	KUNIT_CASE(tag_16_no_memory_for_a_move_changes_nothing),
	{}
};

static struct kunit_suite host_suite = {
	.name = "mteswap_host",
	.init = mk_init,
	.test_cases = host_cases,
};

kunit_test_suite(host_suite);
