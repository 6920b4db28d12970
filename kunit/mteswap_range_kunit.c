// SPDX-License-Identifier: MIT OR Apache-2.0
/* Many entries at once: ranges, areas, the walk over all records (TAG-7, 8, 10). */
#include <linux/string.h>

#include "mteswap_kunit.h"

static struct mteswap_stats stats_of(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_stats stats;

	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	return stats;
}

static void tag_7_invalidate_range_drops_the_range(struct kunit *test)
{
	struct mk *mk = test->priv;
	u64 i;

	mk_fill(mk->tags, MK_CHUNKS, 0, 9);
	for (i = 0; i < 300; i++)
		mk_save(test, mk_entry(4, i), mk->tags);
	mteswap_invalidate_range(mk->store, mk_entry(4, 50), 201);
	for (i = 0; i < 300; i++) {
		if (i < 50 || i > 250)
			mk_expect_record(test, mk_entry(4, i), mk->tags);
		else
			mk_expect_absent(test, mk_entry(4, i));
	}
}

static void tag_8_area_goes_with_its_ends(struct kunit *test)
{
	static const u64 offsets[] = { 0, 1, 63, 64, 4095, 4096, BIT_ULL(32), MK_OFFSET_MAX };
	struct mk *mk = test->priv;
	size_t i;

	mk_fill_random(mk->tags, 10);
	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		mk_save(test, mk_entry(6, offsets[i]), mk->tags);
	mteswap_invalidate_area(mk->store, 6);
	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		mk_expect_absent(test, mk_entry(6, offsets[i]));
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 0);
	/* The area takes records again. */
	mk_save(test, mk_entry(6, MK_OFFSET_MAX), mk->tags);
	mk_expect_record(test, mk_entry(6, MK_OFFSET_MAX), mk->tags);
}

static void tag_8_area_spares_the_next_types(struct kunit *test)
{
	struct mk *mk = test->priv;
	unsigned int type, other;

	for (type = 0; type <= MK_TYPE_MAX; type++) {
		for (other = 0; other <= MK_TYPE_MAX; other++) {
			mk_fill(mk->tags, MK_RUNS, 9, other);
			mk_save(test, mk_entry(other, 0), mk->tags);
			mk_save(test, mk_entry(other, MK_OFFSET_MAX), mk->tags);
		}
		mteswap_invalidate_area(mk->store, type);
		for (other = 0; other <= MK_TYPE_MAX; other++) {
			mk_fill(mk->tags, MK_RUNS, 9, other);
			if (other == type) {
				mk_expect_absent(test, mk_entry(other, 0));
				mk_expect_absent(test, mk_entry(other, MK_OFFSET_MAX));
			} else {
				mk_expect_record(test, mk_entry(other, 0), mk->tags);
				mk_expect_record(test, mk_entry(other, MK_OFFSET_MAX), mk->tags);
			}
		}
	}
}

/* A range of pages, each told from the next. */
static u8 *fill_range(struct kunit *test, size_t nr, u64 seed)
{
	u8 *tags = kunit_kcalloc(test, nr, MK_TAGS, GFP_KERNEL);
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, tags);
	for (i = 0; i < nr; i++)
		mk_fill(tags + i * MK_TAGS, i % 3 ? MK_CHUNKS : MK_ONE, i % 16, seed + i);
	return tags;
}

static const size_t range_sizes[] = { 1, 2, 16, 63, 64, 65, 200 };

static void describe_size(const size_t *nr, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%zu pages", *nr);
}

KUNIT_ARRAY_PARAM(range_size, range_sizes, describe_size);

static void tag_10_save_range_saves_each_page(struct kunit *test)
{
	size_t i, nr = *(const size_t *)test->param_value;
	struct mk *mk = test->priv;
	u8 *tags = fill_range(test, nr, 12);

	KUNIT_ASSERT_EQ(test, mteswap_save_range(mk->store, mk_entry(1, 60), nr, tags), 0);
	for (i = 0; i < nr; i++)
		mk_expect_record(test, mk_entry(1, 60 + i), tags + i * MK_TAGS);
	mk_expect_absent(test, mk_entry(1, 59));
	mk_expect_absent(test, mk_entry(1, 60 + nr));
}

static void tag_10_restore_range_says_which_pages(struct kunit *test)
{
	size_t i, nr = *(const size_t *)test->param_value;
	size_t words = (nr + BITS_PER_LONG - 1) / BITS_PER_LONG;
	struct mk *mk = test->priv;
	u8 *tags = fill_range(test, nr, 13), *out = fill_range(test, nr, 14);
	u8 *before = fill_range(test, nr, 14);
	/* One word more than may be written. */
	unsigned long *present = kunit_kcalloc(test, words + 1, sizeof(long), GFP_KERNEL);
	long expected = 0;
	bool there;

	KUNIT_ASSERT_NOT_NULL(test, present);
	memset(present, 0xff, (words + 1) * sizeof(long));
	for (i = 0; i < nr; i++) {
		if (i % 5 == 3)
			continue;
		mk_save(test, mk_entry(5, 1000 + i), tags + i * MK_TAGS);
		expected++;
	}

	KUNIT_EXPECT_EQ(test, mteswap_restore_range(mk->store, mk_entry(5, 1000), nr, out,
						    present), expected);
	for (i = 0; i < words * BITS_PER_LONG; i++) {
		there = present[i / BITS_PER_LONG] & BIT(i % BITS_PER_LONG);
		KUNIT_EXPECT_EQ_MSG(test, there, i < nr && i % 5 != 3, "page %zu", i);
		if (i < nr)
			KUNIT_EXPECT_MEMEQ_MSG(test, out + i * MK_TAGS,
					       (there ? tags : before) + i * MK_TAGS, MK_TAGS,
					       "page %zu", i);
	}
	KUNIT_EXPECT_EQ(test, present[words], ~0ul);
	KUNIT_EXPECT_EQ(test, mteswap_restore_range(mk->store, mk_entry(5, 1000), nr, out, NULL),
			expected);
}

static void next_walks_every_record_in_order(struct kunit *test)
{
	static const mteswap_entry_t entries[] = {
		0, 1, 63, 64, 1ull << 33, 1ull << 58, (1ull << 58) + 5,
		(7ull << 58) + (1ull << 57), (31ull << 58) + 1, ~0ull >> 1,
	};
	struct mk *mk = test->priv;
	mteswap_entry_t cursor = 0;
	size_t i;

	/* Saved in another order than they are found. */
	for (i = ARRAY_SIZE(entries); i-- > 0;) {
		mk_fill(mk->tags, MK_RUNS, 1 + i, i);
		mk_save(test, entries[i], mk->tags);
	}
	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		KUNIT_ASSERT_EQ(test, mteswap_next(mk->store, &cursor, mk->out), 1);
		mk_fill(mk->tags, MK_RUNS, 1 + i, i);
		KUNIT_EXPECT_EQ(test, cursor, entries[i]);
		KUNIT_EXPECT_MEMEQ(test, mk->out, mk->tags, MK_TAGS);
		if (i + 1 < ARRAY_SIZE(entries))
			cursor++;
	}
	mteswap_invalidate(mk->store, cursor);
	memset(mk->out, MK_POISON, MK_TAGS);
	KUNIT_EXPECT_EQ(test, mteswap_next(mk->store, &cursor, mk->out), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(mk->out, MK_POISON, MK_TAGS));
}

static void next_of_an_empty_store_is_the_end(struct kunit *test)
{
	struct mk *mk = test->priv;
	mteswap_entry_t cursor = 0;

	KUNIT_EXPECT_EQ(test, mteswap_next(mk->store, &cursor, mk->out), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(mk->out, MK_POISON, MK_TAGS));
}

static struct kunit_case range_cases[] = {
	KUNIT_CASE(tag_7_invalidate_range_drops_the_range),
	KUNIT_CASE(tag_8_area_goes_with_its_ends),
	KUNIT_CASE(tag_8_area_spares_the_next_types),
	KUNIT_CASE_PARAM(tag_10_save_range_saves_each_page, range_size_gen_params),
	KUNIT_CASE_PARAM(tag_10_restore_range_says_which_pages, range_size_gen_params),
	KUNIT_CASE(next_walks_every_record_in_order),
	KUNIT_CASE(next_of_an_empty_store_is_the_end),
	{}
};

static struct kunit_suite range_suite = {
	.name = "mteswap_range",
	.init = mk_init,
	.test_cases = range_cases,
};

kunit_test_suite(range_suite);
