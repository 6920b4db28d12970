// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The swap map: a slot's references and its cache mark, value by value (PIN-1 to
 * PIN-4, PIN-9).
 */

#include "mteswap_kunit.h"

#define TYPE 3
#define SLOTS (2 * MTESWAP_CLUSTER)

/* What a slot can be, and what duplicate and prepare make of it. */
struct state {
	const char *name;
	enum { IS_FREE, IS_BAD, IS_COUNTED, IS_SHMEM } is;
	unsigned int count;
	bool cached;
	int duplicate;
	int prepare;
};

static const struct state states[] = {
	{ "free", IS_FREE, 0, false, -ENOENT, -ENOENT },
	{ "bad", IS_BAD, 0, false, -ENOENT, -ENOENT },
	{ "0, cache", IS_COUNTED, 0, true, 0, -EEXIST },
	{ "1", IS_COUNTED, 1, false, 0, 0 },
	{ "1, cache", IS_COUNTED, 1, true, 0, -EEXIST },
	{ "2", IS_COUNTED, 2, false, 0, 0 },
	{ "0x3d", IS_COUNTED, 0x3d, false, 0, 0 },
	{ "0x3d, cache", IS_COUNTED, 0x3d, true, 0, -EEXIST },
	{ "0x3e", IS_COUNTED, 0x3e, false, 0, 0 },
	{ "0x3e, cache", IS_COUNTED, 0x3e, true, 0, -EEXIST },
	{ "0x3f", IS_COUNTED, 0x3f, false, 0, 0 },
	{ "0x3f, cache", IS_COUNTED, 0x3f, true, 0, -EEXIST },
	{ "0x40", IS_COUNTED, 0x40, false, 0, 0 },
	{ "0x7e", IS_COUNTED, 0x7e, false, 0, 0 },
	{ "0x80", IS_COUNTED, 0x80, true, 0, -EEXIST },
	{ "0xbf", IS_COUNTED, 0xbf, false, 0, 0 },
	{ "0x100", IS_COUNTED, 0x100, false, 0, 0 },
	{ "0x10000", IS_COUNTED, 0x10000, true, 0, -EEXIST },
	{ "shmem", IS_SHMEM, 0, false, -EINVAL, 0 },
	{ "shmem, cache", IS_SHMEM, 0, true, -EINVAL, -EEXIST },
};

KUNIT_ARRAY_PARAM_DESC(state, states, name);

static mteswap_entry_t take_state(struct kunit *test, struct mteswap_swap *swap,
				  const struct state *state)
{
	mteswap_entry_t entry;

	switch (state->is) {
	case IS_FREE:
	case IS_BAD:
		entry = mk_take_slot(test, swap, 0, true);
		mteswap_swapcache_clear(swap, entry, 1);
		if (state->is == IS_BAD)
			KUNIT_ASSERT_EQ(test, mteswap_swap_mark_bad(swap, entry), 0);
		return entry;
	case IS_SHMEM:
		return mk_take_shmem(test, swap, state->cached);
	default:
		return mk_take_slot(test, swap, state->count, state->cached);
	}
}

static int expected_count(const struct state *state)
{
	return state->is == IS_COUNTED ? (int)state->count : -ENOENT;
}

static void pin_1_duplicate_by_the_table(struct kunit *test)
{
	const struct state *state = test->param_value;
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, SLOTS);
	mteswap_entry_t entry = take_state(test, swap, state);
	int count = mteswap_swap_count(swap, entry);

	if (state->is != IS_SHMEM)
		KUNIT_EXPECT_EQ(test, count, expected_count(state));
	KUNIT_EXPECT_EQ(test, mteswap_swap_duplicate(swap, entry), state->duplicate);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), count + !state->duplicate);
	if (state->is == IS_COUNTED || state->is == IS_SHMEM)
		mk_expect_cached(test, swap, entry, state->cached);
}

static void pin_1_prepare_by_the_table(struct kunit *test)
{
	const struct state *state = test->param_value;
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, SLOTS);
	mteswap_entry_t entry = take_state(test, swap, state);
	int count = mteswap_swap_count(swap, entry);

	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), state->prepare);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1),
			state->prepare ? state->prepare : -EEXIST);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), count);
}

static void pin_1_outside_the_device_is_einval(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, SLOTS);
	const mteswap_entry_t outside[] = {
		mk_entry(TYPE, SLOTS), mk_entry(TYPE, MK_OFFSET_MAX), mk_entry(TYPE - 1, 0),
		mk_entry(TYPE + 1, 0), mk_entry(0, 0), 1ull << 63, ~0ull,
	};
	size_t i;

	mk_take_slot(test, swap, 1, false);
	for (i = 0; i < ARRAY_SIZE(outside); i++) {
		KUNIT_EXPECT_EQ(test, mteswap_swap_duplicate(swap, outside[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, outside[i], 1), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swap_mark_bad(swap, outside[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swap_shmem_alloc(swap, outside[i], 1), -EINVAL);
		KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, outside[i]), -ENOENT);
	}
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, mk_entry(TYPE, 0)), 1);
}

static void pin_2_prepare_takes_several_at_once(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	u64 i;

	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, 16), 16), 0);
	for (i = 15; i < 33; i++)
		mk_expect_cached(test, swap, mk_entry(TYPE, i), i >= 16 && i < 32);
	mteswap_swapcache_clear(swap, mk_entry(TYPE, 16), 16);
	for (i = 15; i < 33; i++) {
		mk_expect_cached(test, swap, mk_entry(TYPE, i), false);
		KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, mk_entry(TYPE, i)), 1);
	}
}

static void pin_2_prepare_takes_a_whole_cluster(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	mteswap_entry_t second = mk_entry(TYPE, MTESWAP_CLUSTER);

	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, second, MTESWAP_CLUSTER), 0);
	mk_expect_cached(test, swap, second, true);
	mk_expect_cached(test, swap, second + MTESWAP_CLUSTER - 1, true);
	mk_expect_cached(test, swap, second - 1, false);
}

static void pin_2_one_pinned_slot_refuses_all(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	u64 pinned, i;

	for (pinned = 64; pinned < 72; pinned++) {
		KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, pinned), 1),
				0);
		KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, 64), 8),
				-EEXIST);
		for (i = 64; i < 72; i++)
			mk_expect_cached(test, swap, mk_entry(TYPE, i), i == pinned);
		mteswap_swapcache_clear(swap, mk_entry(TYPE, pinned), 1);
	}
}

static void pin_2_one_free_slot_refuses_all(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	u64 i;

	mteswap_swap_free(swap, mk_entry(TYPE, 70), 1);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, 64), 8), -ENOENT);
	for (i = 64; i < 72; i++)
		if (i != 70)
			mk_expect_cached(test, swap, mk_entry(TYPE, i), false);
}

static void pin_2_prepare_over_a_clusters_end_is_einval(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	mteswap_entry_t last = mk_entry(TYPE, MTESWAP_CLUSTER - 1);

	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, last, 2), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, 0), SLOTS), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, last, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, last, ~(size_t)0), -EINVAL);
	mk_expect_cached(test, swap, last, false);
	mk_expect_cached(test, swap, last + 1, false);
}

static void pin_2_free_goes_over_a_clusters_end(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	u64 i;

	mteswap_swap_free(swap, mk_entry(TYPE, MTESWAP_CLUSTER - 8), 16);
	for (i = MTESWAP_CLUSTER - 9; i < MTESWAP_CLUSTER + 9; i++)
		KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, mk_entry(TYPE, i)),
				i < MTESWAP_CLUSTER - 8 || i >= MTESWAP_CLUSTER + 8 ? 1 : -ENOENT);
}

static void pin_3_clear_frees_a_slot_without_count(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 4);
	mteswap_entry_t entry = mk_take_slot(test, swap, 0, true), again;

	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 0);
	mteswap_swapcache_clear(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), -ENOENT);
	KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, 1, &again), 0);
	KUNIT_EXPECT_EQ(test, again, entry);
}

static void pin_3_clear_keeps_a_counted_slot(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 4);
	mteswap_entry_t entry = mk_take_slot(test, swap, 2, true);

	mk_fill_random(mk->tags, 1);
	mk_save(test, entry, mk->tags);
	mteswap_swapcache_clear(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 2);
	mk_expect_record(test, entry, mk->tags);
}

static void pin_3_hook_3_the_tags_go_before_the_slot(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 1);
	mteswap_entry_t entry;
	int by_free;

	/* Freed by its last reference, then by its mark. */
	for (by_free = 0; by_free < 2; by_free++) {
		entry = mk_take_slot(test, swap, by_free, true);
		mk_fill_random(mk->tags, by_free);
		mk_save(test, entry, mk->tags);
		mteswap_swapcache_clear(swap, entry, 1);
		if (by_free) {
			mk_expect_record(test, entry, mk->tags);
			mteswap_swap_free(swap, entry, 1);
		}
		mk_expect_absent(test, entry);
	}
}

static void pin_4_free_drops_one_count(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 4);
	mteswap_entry_t entry = mk_take_slot(test, swap, 300, false);
	int count;

	mk_fill_random(mk->tags, 2);
	mk_save(test, entry, mk->tags);
	for (count = 299; count > 0; count--) {
		mteswap_swap_free(swap, entry, 1);
		KUNIT_ASSERT_EQ(test, mteswap_swap_count(swap, entry), count);
	}
	mk_expect_record(test, entry, mk->tags);
	mteswap_swap_free(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), -ENOENT);
	mk_expect_absent(test, entry);
}

static void pin_4_the_mark_keeps_a_slot_without_count(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 1);
	mteswap_entry_t entry = mk_take_slot(test, swap, 1, true), none = 77;

	mk_fill_random(mk->tags, 3);
	mk_save(test, entry, mk->tags);
	mteswap_swap_free(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 0);
	mk_expect_record(test, entry, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 1, &none), -ENOSPC);
	KUNIT_EXPECT_EQ(test, none, 77);
	mteswap_swapcache_clear(swap, entry, 1);
	mk_expect_absent(test, entry);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 1, &none), 0);
}

static void pin_4_free_below_zero_is_refused_and_reported(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 8);
	mteswap_entry_t cached = mk_take_slot(test, swap, 0, true);
	mteswap_entry_t gone = mk_take_slot(test, swap, 1, false);
	mteswap_entry_t bad = mk_entry(TYPE, 7);
	unsigned long before;

	mteswap_swap_free(swap, gone, 1);
	KUNIT_ASSERT_EQ(test, mteswap_swap_mark_bad(swap, bad), 0);

	before = mk_warnings();
	mteswap_swap_free(swap, gone, 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_SWAP_FREE);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, gone), -ENOENT);
	mteswap_swap_free(swap, cached, 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_SWAP_FREE);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, cached), 0);
	mk_expect_cached(test, swap, cached, true);
	mteswap_swap_free(swap, bad, 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_SWAP_FREE);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, bad), -ENOENT);
	mteswap_swap_free(swap, mk_entry(TYPE, 8), 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_SWAP_FREE);
	mteswap_swapcache_clear(swap, cached, 1);
}

static void pin_4_one_invalid_slot_and_nothing_is_dropped(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	unsigned long before = mk_warnings();
	u64 i;

	mteswap_swap_free(swap, mk_entry(TYPE, 515), 1);
	KUNIT_EXPECT_EQ(test, mk_warnings(), before);
	/* Far enough on to lie in the second cluster of the range. */
	mteswap_swap_free(swap, mk_entry(TYPE, 500), 20);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_SWAP_FREE);
	for (i = 500; i < 520; i++)
		KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, mk_entry(TYPE, i)),
				i == 515 ? -ENOENT : 1);
	mteswap_swap_free(swap, mk_entry(TYPE, SLOTS - 4), 5);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, mk_entry(TYPE, SLOTS - 1)), 1);
}

static void pin_9_a_million_sharers(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 2);
	mteswap_entry_t entry = mk_take_slot(test, swap, 1, false);
	int count, ret = 0;

	for (count = 1; count < 1 << 20 && !ret; count++)
		ret = mteswap_swap_duplicate(swap, entry);
	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 1 << 20);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 1 << 20);
	mteswap_swapcache_clear(swap, entry, 1);
	for (; count > 1; count--)
		mteswap_swap_free(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 1);
	mteswap_swap_free(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), -ENOENT);
}

static void pin_1_free_of_a_shmem_slot_drops_it_at_once(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 4);
	mteswap_entry_t plain = mk_take_shmem(test, swap, false);
	mteswap_entry_t cached = mk_take_shmem(test, swap, true);

	mteswap_swap_free(swap, plain, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, plain), -ENOENT);
	mteswap_swap_free(swap, cached, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, cached), 0);
	mteswap_swapcache_clear(swap, cached, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, cached), -ENOENT);
}

static struct kunit_case map_cases[] = {
	KUNIT_CASE_PARAM(pin_1_duplicate_by_the_table, state_gen_params),
	KUNIT_CASE_PARAM(pin_1_prepare_by_the_table, state_gen_params),
	KUNIT_CASE(pin_1_outside_the_device_is_einval),
	KUNIT_CASE(pin_1_free_of_a_shmem_slot_drops_it_at_once),
	KUNIT_CASE(pin_2_prepare_takes_several_at_once),
	KUNIT_CASE(pin_2_prepare_takes_a_whole_cluster),
	KUNIT_CASE(pin_2_one_pinned_slot_refuses_all),
	KUNIT_CASE(pin_2_one_free_slot_refuses_all),
	KUNIT_CASE(pin_2_prepare_over_a_clusters_end_is_einval),
	KUNIT_CASE(pin_2_free_goes_over_a_clusters_end),
	KUNIT_CASE(pin_3_clear_frees_a_slot_without_count),
	KUNIT_CASE(pin_3_clear_keeps_a_counted_slot),
	KUNIT_CASE(pin_3_hook_3_the_tags_go_before_the_slot),
	KUNIT_CASE(pin_4_free_drops_one_count),
	KUNIT_CASE(pin_4_the_mark_keeps_a_slot_without_count),
	KUNIT_CASE(pin_4_free_below_zero_is_refused_and_reported),
	KUNIT_CASE(pin_4_one_invalid_slot_and_nothing_is_dropped),
	KUNIT_CASE(pin_9_a_million_sharers),
	{}
};

static struct kunit_suite map_suite = {
	.name = "mteswap_map",
	.init = mk_init,
	.test_cases = map_cases,
};

kunit_test_suite(map_suite);
