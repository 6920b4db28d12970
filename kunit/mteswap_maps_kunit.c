// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Every page of the tag maps that are built in, taken from real programs,
 * through the store, the hooks and the wire format.
 */
#include <linux/sched.h>
#include <linux/string.h>

#include "mteswap_kunit.h"

/* What Linux 6.12 spends on the record of one 4 KiB page, in tenths of a byte. */
#define LINUX_BYTES_10 1371
#define FOLIO 16

static mteswap_entry_t entry_of(const struct mk_map *map, size_t page)
{
	size_t i = map - mteswap_kunit_maps();

	return mk_entry(i % 32, (i / 32 + 1) * 100000 + page);
}

static void maps_are_built_in(struct kunit *test)
{
	const struct mk_map *map;
	size_t nr = 0, pages = 0;

	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		KUNIT_EXPECT_GT(test, strlen(map->name), 0);
		KUNIT_EXPECT_GT_MSG(test, mk_map_pages(map), 0, "%s", map->name);
		pages += mk_map_pages(map);
		nr++;
	}
	KUNIT_EXPECT_GT(test, nr, 0);
	kunit_info(test, "%zu maps, %zu pages\n", nr, pages);
}

/* Saves every page of every map, each under an entry of its own. */
static size_t save_all(struct kunit *test)
{
	const struct mk_map *map;
	size_t page, pages = 0;

	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page < mk_map_pages(map); page++)
			mk_save(test, entry_of(map, page), mk_map_page(map, page));
		pages += mk_map_pages(map);
	}
	return pages;
}

static void tag_2_tag_4_maps_come_back(struct kunit *test)
{
	const struct mk_map *map;
	size_t page, times;

	save_all(test);
	for (times = 0; times < 2; times++)
		for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map))
			for (page = 0; page < mk_map_pages(map); page++)
				mk_expect_record(test, entry_of(map, page),
						 mk_map_page(map, page));
}

static void tag_7_maps_go_page_by_page(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_stats stats;
	const struct mk_map *map;
	size_t page;

	save_all(test);
	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page < mk_map_pages(map); page += 2)
			mteswap_invalidate(mk->store, entry_of(map, page));
		for (page = 0; page < mk_map_pages(map); page++) {
			if (page % 2)
				mk_expect_record(test, entry_of(map, page),
						 mk_map_page(map, page));
			else
				mk_expect_absent(test, entry_of(map, page));
		}
		for (page = 1; page < mk_map_pages(map); page += 2)
			mteswap_invalidate(mk->store, entry_of(map, page));
	}
	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	KUNIT_EXPECT_EQ(test, stats.entries, 0);
	KUNIT_EXPECT_EQ(test, stats.payload_bytes, 0);
}

static void tag_8_maps_go_by_area(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_stats stats;
	unsigned int type;

	KUNIT_EXPECT_GT(test, save_all(test), 0);
	for (type = 0; type <= MK_TYPE_MAX; type++)
		mteswap_invalidate_area(mk->store, type);
	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	KUNIT_EXPECT_EQ(test, stats.entries, 0);
	KUNIT_EXPECT_EQ(test, stats.payload_bytes, 0);
}

static void tag_2_maps_replace_one_another(struct kunit *test)
{
	const struct mk_map *map;
	size_t page;

	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page < mk_map_pages(map); page++) {
			mk_save(test, 5, mk_map_page(map, page));
			mk_expect_record(test, 5, mk_map_page(map, page));
		}
	}
}

static void tag_10_maps_in_ranges(struct kunit *test)
{
	struct mk *mk = test->priv;
	u8 *out = kunit_kcalloc(test, FOLIO, MK_TAGS, GFP_KERNEL);
	const struct mk_map *map;
	size_t page, some;
	long ret;

	KUNIT_ASSERT_NOT_NULL(test, out);
	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page < mk_map_pages(map); page += FOLIO) {
			const u8 *tags = mk_map_page(map, page);

			some = mk_map_pages(map) - page;
			if (some > FOLIO)
				some = FOLIO;
			memset(out, MK_POISON, FOLIO * MK_TAGS);
			ret = mteswap_save_range(mk->store, entry_of(map, page), some, tags);
			KUNIT_ASSERT_EQ(test, ret, 0);
			ret = mteswap_restore_range(mk->store, entry_of(map, page), some, out,
						    NULL);
			KUNIT_ASSERT_EQ(test, ret, (long)some);
			KUNIT_EXPECT_MEMEQ(test, out, tags, some * MK_TAGS);
		}
	}
}

static void hook_1_hook_2_maps_out_and_in_again(struct kunit *test)
{
	struct mteswap_page *pages = mk_pages(test, FOLIO);
	struct mk *mk = test->priv;
	const struct mk_map *map;
	size_t page, k;
	int ret;

	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page + FOLIO <= mk_map_pages(map); page += FOLIO) {
			for (k = 0; k < FOLIO; k++) {
				*pages[k].flags = 0;
				mk_write_tags(test, &pages[k], mk_map_page(map, page + k));
				mteswap_set_page_tagged(pages[k].flags);
			}
			ret = mteswap_prepare_to_swap(mk->store, entry_of(map, page), FOLIO,
						      pages);
			KUNIT_ASSERT_EQ(test, ret, 0);
			/* The frames are used for something else meanwhile. */
			for (k = 0; k < FOLIO; k++)
				*pages[k].flags = 0;
			mteswap_sync_tags(pages, FOLIO);
			for (k = 0; k < FOLIO; k++)
				*pages[k].flags = 0;
			ret = mteswap_swap_restore(mk->store, entry_of(map, page), FOLIO, pages);
			KUNIT_ASSERT_EQ(test, ret, FOLIO);
			for (k = 0; k < FOLIO; k++) {
				mk_read_tags(test, &pages[k], mk->out);
				KUNIT_EXPECT_MEMEQ_MSG(test, mk->out, mk_map_page(map, page + k),
						       MK_TAGS, "%s, page %zu", map->name,
						       page + k);
			}
		}
	}
}

static void wire_maps_round_trip(struct kunit *test)
{
	u8 *code = kunit_kmalloc(test, MTESWAP_ENCODED_MAX, GFP_KERNEL);
	struct mk *mk = test->priv;
	const struct mk_map *map;
	size_t page, len;

	KUNIT_ASSERT_NOT_NULL(test, code);
	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page < mk_map_pages(map); page++) {
			const u8 *tags = mk_map_page(map, page);

			memset(mk->out, MK_POISON, MK_TAGS);
			len = mteswap_encode(tags, code, MTESWAP_ENCODED_MAX);
			KUNIT_ASSERT_GT_MSG(test, len, 0, "%s, page %zu", map->name, page);
			KUNIT_ASSERT_EQ_MSG(test, mteswap_decode(code, len, mk->out), (int)len,
					    "%s, page %zu", map->name, page);
			KUNIT_ASSERT_MEMEQ_MSG(test, mk->out, tags, MK_TAGS, "%s, page %zu",
					       map->name, page);
		}
	}
}

static void tag_2_maps_take_a_quarter_of_linux(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_stats empty, stats;
	u64 pages, bytes_10, linux_10;

	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &empty), 0);
	pages = save_all(test);
	KUNIT_ASSERT_GT(test, pages, 0);
	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	KUNIT_EXPECT_EQ(test, stats.entries, pages);
	/* The store itself is there once, however many pages it holds. */
	bytes_10 = (stats.payload_bytes + stats.index_bytes - empty.index_bytes) * 10 / pages;
	/* A larger page's buffer grows with it, the index's share does not. */
	linux_10 = LINUX_BYTES_10 + (MK_TAGS - 128) * 10;
	KUNIT_EXPECT_LT(test, bytes_10, linux_10 / 4);
	kunit_info(test, "%llu.%llu bytes a page, Linux %llu.%llu\n",
		   (unsigned long long)bytes_10 / 10, (unsigned long long)bytes_10 % 10,
		   (unsigned long long)linux_10 / 10, (unsigned long long)linux_10 % 10);
}

/* Each thread has every fourth map, all have the same types. */
struct share {
	struct mteswap_store *store;
	size_t first;
};

#define THREADS 4

static int pass_maps(void *data)
{
	struct share *share = data;
	u8 *out = kmalloc(MK_TAGS, GFP_KERNEL);
	const struct mk_map *map;
	size_t page;
	int bad = !out;

	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map)) {
		for (page = 0; page < mk_map_pages(map) && !bad; page++) {
			/* Neighbouring slots of one leaf, one thread each. */
			mteswap_entry_t entry = mk_entry(0, page * THREADS + share->first);

			if (page % THREADS != share->first)
				continue;
			bad = mteswap_save(share->store, entry, mk_map_page(map, page)) ||
			      mteswap_restore(share->store, entry, out) != 1 ||
			      memcmp(out, mk_map_page(map, page), MK_TAGS);
			if (page % 3)
				mteswap_invalidate(share->store, entry);
		}
	}
	kfree(out);
	return bad;
}

static void tag_13_maps_by_several_threads(struct kunit *test)
{
	struct mk_thread threads[THREADS];
	struct share shares[THREADS];
	struct mk *mk = test->priv;
	size_t i;

	for (i = 0; i < THREADS; i++) {
		shares[i].store = mk->store;
		shares[i].first = i;
		mk_start(test, &threads[i], pass_maps, &shares[i]);
	}
	for (i = 0; i < THREADS; i++) {
		mk_join(&threads[i]);
		KUNIT_EXPECT_EQ(test, threads[i].ret, 0);
	}
}

static struct kunit_case maps_cases[] = {
	KUNIT_CASE(maps_are_built_in),
	KUNIT_CASE_SLOW(tag_2_tag_4_maps_come_back),
	KUNIT_CASE_SLOW(tag_2_maps_replace_one_another),
	KUNIT_CASE_SLOW(tag_2_maps_take_a_quarter_of_linux),
	KUNIT_CASE_SLOW(tag_7_maps_go_page_by_page),
	KUNIT_CASE_SLOW(tag_8_maps_go_by_area),
	KUNIT_CASE_SLOW(tag_10_maps_in_ranges),
	KUNIT_CASE_SLOW(tag_13_maps_by_several_threads),
	KUNIT_CASE_SLOW(hook_1_hook_2_maps_out_and_in_again),
	KUNIT_CASE_SLOW(wire_maps_round_trip),
	{}
};

static struct kunit_suite maps_suite = {
	.name = "mteswap_maps",
	.init = mk_init,
	.test_cases = maps_cases,
};

kunit_test_suite(maps_suite);
