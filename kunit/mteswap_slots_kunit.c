// SPDX-License-Identifier: MIT OR Apache-2.0
/* Which slots of a swap are handed out, and which never. */
#include "mteswap_kunit.h"

#define TYPE 3
#define SLOTS (2 * MTESWAP_CLUSTER)

static void slots_come_lowest_first_then_last_freed_first(struct kunit *test)
{
	static const u64 freed[] = { 3, 9, 1, 6 };
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 20);
	u64 i;

	for (i = 0; i < 12; i++)
		KUNIT_ASSERT_EQ(test, mk_take_slot(test, swap, 1, false), mk_entry(TYPE, i));
	for (i = 0; i < ARRAY_SIZE(freed); i++)
		mteswap_swap_free(swap, mk_entry(TYPE, freed[i]), 1);
	for (i = ARRAY_SIZE(freed); i-- > 0;)
		KUNIT_EXPECT_EQ(test, mk_take_slot(test, swap, 1, false), mk_entry(TYPE, freed[i]));
	for (i = 12; i < 20; i++)
		KUNIT_EXPECT_EQ(test, mk_take_slot(test, swap, 1, false), mk_entry(TYPE, i));
}

static void slots_of_a_run_are_aligned_and_handed_out_once(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 64);
	u64 taken = 0, run;
	mteswap_entry_t entry;
	size_t nr;

	mk_take_slot(test, swap, 1, false);
	taken = 1;
	for (nr = 2; nr <= 16; nr *= 2) {
		KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, nr, &entry), 0);
		KUNIT_EXPECT_EQ(test, entry & (nr - 1), 0);
		run = (BIT_ULL(nr) - 1) << (entry - mk_entry(TYPE, 0));
		KUNIT_EXPECT_EQ(test, taken & run, 0);
		taken |= run;
	}
	/* What is left comes out one by one, and then there is none. */
	while (mteswap_swap_alloc(swap, 1, &entry) == 0) {
		run = BIT_ULL(entry - mk_entry(TYPE, 0));
		KUNIT_ASSERT_EQ(test, taken & run, 0);
		taken |= run;
	}
	KUNIT_EXPECT_EQ(test, taken, ~0ull);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 1, &entry), -ENOSPC);
}

static void slots_without_an_aligned_run_are_enospc(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, SLOTS);
	mteswap_entry_t entry = 77;
	u64 i;

	/* Half of the area is free, and no two slots of one pair. */
	for (i = 0; i < SLOTS; i += 2)
		mteswap_swap_free(swap, mk_entry(TYPE, i), 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 2, &entry), -ENOSPC);
	KUNIT_EXPECT_EQ(test, entry, 77);
	/* Two neighbours are no run where they are not aligned. */
	mteswap_swap_free(swap, mk_entry(TYPE, 801), 1);
	mteswap_swap_free(swap, mk_entry(TYPE, 803), 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 4, &entry), 0);
	KUNIT_EXPECT_EQ(test, entry, mk_entry(TYPE, 800));
}

static void slots_are_handed_out_marked_and_without_count(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 8);
	mteswap_entry_t entry;
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, 8, &entry), 0);
	KUNIT_EXPECT_EQ(test, entry, mk_entry(TYPE, 0));
	for (i = 0; i < 8; i++) {
		KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry + i), 0);
		mk_expect_cached(test, swap, entry + i, true);
	}
	mteswap_swapcache_clear(swap, entry, 8);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry + i), -ENOENT);
}

static void slots_marked_bad_are_never_handed_out(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, TYPE, 4);
	mteswap_entry_t used = mk_take_slot(test, swap, 1, false), entry;
	u64 taken = 0;

	KUNIT_EXPECT_EQ(test, mteswap_swap_mark_bad(swap, mk_entry(TYPE, 2)), 0);
	/* A slot in use keeps its references. */
	KUNIT_EXPECT_LT(test, mteswap_swap_mark_bad(swap, used), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, used), 1);
	while (mteswap_swap_alloc(swap, 1, &entry) == 0)
		taken |= BIT_ULL(entry - mk_entry(TYPE, 0));
	KUNIT_EXPECT_EQ(test, taken, BIT_ULL(1) | BIT_ULL(3));
}

static void slots_of_a_destroyed_swap_leave_no_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap;
	mteswap_entry_t entry;
	int i;

	KUNIT_ASSERT_EQ(test, mteswap_swap_create(mk->store, TYPE, SLOTS, &swap), 0);
	mk_fill_random(mk->tags, 4);
	for (i = 0; i < 100; i++) {
		entry = mk_take_slot(test, swap, 1, false);
		mk_save(test, entry, mk->tags);
	}
	mk_save(test, mk_entry(TYPE + 1, 5), mk->tags);
	mteswap_swap_free(swap, mk_entry(TYPE, 0), 100);
	for (i = 0; i < 100; i++)
		mk_expect_absent(test, mk_entry(TYPE, i));
	/* Now with the slot still in use. */
	entry = mk_take_slot(test, swap, 1, false);
	mk_save(test, entry, mk->tags);
	mteswap_swap_destroy(swap);
	mk_expect_absent(test, entry);
	mk_expect_record(test, mk_entry(TYPE + 1, 5), mk->tags);
}

static struct kunit_case slots_cases[] = {
	KUNIT_CASE(slots_come_lowest_first_then_last_freed_first),
	KUNIT_CASE(slots_of_a_run_are_aligned_and_handed_out_once),
	KUNIT_CASE(slots_without_an_aligned_run_are_enospc),
	KUNIT_CASE(slots_are_handed_out_marked_and_without_count),
	KUNIT_CASE(slots_marked_bad_are_never_handed_out),
	KUNIT_CASE(slots_of_a_destroyed_swap_leave_no_record),
	{}
};

static struct kunit_suite slots_suite = {
	.name = "mteswap_slots",
	.init = mk_init,
	.test_cases = slots_cases,
};

kunit_test_suite(slots_suite);
