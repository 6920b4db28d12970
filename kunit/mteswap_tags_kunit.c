// SPDX-License-Identifier: MIT OR Apache-2.0
/* The tag store: what is saved under an entry comes back, moves, and goes (TAG). */
#include <linux/atomic.h>
#include <linux/irqflags.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "mteswap_kunit.h"

KUNIT_ARRAY_PARAM_DESC(pattern, mk_patterns, name);

static void fill_param(struct kunit *test, u8 *tags, u64 seed)
{
	const struct mk_pattern *pattern = test->param_value;

	mk_fill(tags, pattern->kind, pattern->arg, seed);
}

static struct mteswap_stats stats_of(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_stats stats;

	KUNIT_ASSERT_EQ(test, mteswap_stats(mk->store, &stats), 0);
	return stats;
}

static void tag_2_save_keeps_every_tag(struct kunit *test)
{
	struct mk *mk = test->priv;

	fill_param(test, mk->tags, 1);
	mk_save(test, mk_entry(1, 77), mk->tags);
	mk_expect_record(test, mk_entry(1, 77), mk->tags);
}

static void tag_2_save_replaces_any_older_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	mteswap_entry_t entry = mk_entry(2, 5);
	size_t i;

	fill_param(test, mk->tags, 2);
	for (i = 0; i < ARRAY_SIZE(mk_patterns); i++) {
		mk_fill(mk->old, mk_patterns[i].kind, mk_patterns[i].arg, 3);
		mk_save(test, entry, mk->old);
		mk_save(test, entry, mk->tags);
		mk_expect_record(test, entry, mk->tags);
	}
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 1);
}

static void tag_2_replacing_does_not_gather_memory(struct kunit *test)
{
	struct mk *mk = test->priv;
	u64 payload;
	int i;

	mk_fill_random(mk->tags, 1);
	mk_save(test, 9, mk->tags);
	payload = stats_of(test).payload_bytes;
	for (i = 0; i < 1000; i++) {
		mk_fill_random(mk->tags, i);
		mk_save(test, 9, mk->tags);
	}
	KUNIT_EXPECT_EQ(test, stats_of(test).payload_bytes, payload);
}

static void tag_2_save_does_not_touch_its_neighbours(struct kunit *test)
{
	struct mk *mk = test->priv;
	u64 i;

	for (i = 0; i < 200; i++) {
		mk_fill(mk->tags, MK_CHUNKS, 0, i);
		mk_save(test, mk_entry(0, i), mk->tags);
	}
	mk_fill_random(mk->tags, 1000);
	mk_save(test, mk_entry(0, 100), mk->tags);
	for (i = 0; i < 200; i++) {
		if (i != 100)
			mk_fill(mk->tags, MK_CHUNKS, 0, i);
		else
			mk_fill_random(mk->tags, 1000);
		mk_expect_record(test, mk_entry(0, i), mk->tags);
	}
}

static void tag_2_save_atomic_saves_the_same(struct kunit *test)
{
	struct mk *mk = test->priv;

	fill_param(test, mk->tags, 4);
	KUNIT_ASSERT_EQ(test, mteswap_save_atomic(mk->store, 31, mk->tags), 0);
	mk_expect_record(test, 31, mk->tags);
}

static void tag_2_stores_know_nothing_of_each_other(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_store *other = mk_store(test);

	mk_fill_random(mk->tags, 5);
	KUNIT_ASSERT_EQ(test, mteswap_save(other, 7, mk->tags), 0);
	mk_expect_absent(test, 7);
	mteswap_invalidate(mk->store, 7);
	KUNIT_EXPECT_EQ(test, mteswap_restore(other, 7, mk->out), 1);
	KUNIT_EXPECT_MEMEQ(test, mk->out, mk->tags, MK_TAGS);
}

static void tag_4_restore_keeps_the_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	int i;

	fill_param(test, mk->tags, 6);
	mk_save(test, 12, mk->tags);
	for (i = 0; i < 3; i++)
		mk_expect_record(test, 12, mk->tags);
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 1);
}

static void tag_5_restore_absent_writes_nothing(struct kunit *test)
{
	struct mk *mk = test->priv;

	mk_expect_absent(test, 0);
	mk_expect_absent(test, mk_entry(MK_TYPE_MAX, MK_OFFSET_MAX));
	/* Beside a record, where the index has a leaf, and far from one. */
	mk_fill_random(mk->tags, 7);
	mk_save(test, mk_entry(3, 64), mk->tags);
	mk_expect_absent(test, mk_entry(3, 63));
	mk_expect_absent(test, mk_entry(3, 65));
	mk_expect_absent(test, mk_entry(3, 64 + BIT_ULL(40)));
	mk_expect_absent(test, mk_entry(2, 64));
}

static void tag_7_invalidate_drops_one_record(struct kunit *test)
{
	struct mk *mk = test->priv;
	u64 i;

	for (i = 0; i < 130; i++) {
		mk_fill(mk->tags, MK_RUNS, 1 + i % 20, i);
		mk_save(test, mk_entry(0, i), mk->tags);
	}
	mteswap_invalidate(mk->store, mk_entry(0, 64));
	mk_expect_absent(test, mk_entry(0, 64));
	for (i = 0; i < 130; i++) {
		if (i == 64)
			continue;
		mk_fill(mk->tags, MK_RUNS, 1 + i % 20, i);
		mk_expect_record(test, mk_entry(0, i), mk->tags);
	}
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 129);
}

static void tag_7_invalidate_absent_changes_nothing(struct kunit *test)
{
	struct mk *mk = test->priv;

	mk_fill_random(mk->tags, 8);
	mk_save(test, 5, mk->tags);
	mteswap_invalidate(mk->store, 4);
	mteswap_invalidate(mk->store, 6);
	mteswap_invalidate(mk->store, mk_entry(1, 5));
	mteswap_invalidate(mk->store, mk_entry(0, MK_OFFSET_MAX));
	mk_expect_record(test, 5, mk->tags);
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 1);
}

static void tag_9_works_with_interrupts_off(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mk_host before, after;
	int saved, restored, absent;
	unsigned long flags;

	mk_fill(mk->tags, MK_CHUNKS, 0, 11);
	mk_host_read(&before);
	/* No expectation in here: a failed one prints. */
	local_irq_save(flags);
	saved = mteswap_save_atomic(mk->store, 70, mk->tags);
	restored = mteswap_restore(mk->store, 70, mk->out);
	mteswap_invalidate(mk->store, 70);
	absent = mteswap_restore(mk->store, 70, mk->old);
	mteswap_invalidate_range(mk->store, 64, 64);
	local_irq_restore(flags);
	mk_host_read(&after);

	KUNIT_EXPECT_EQ(test, saved, 0);
	KUNIT_EXPECT_EQ(test, restored, 1);
	KUNIT_EXPECT_EQ(test, absent, 0);
	KUNIT_EXPECT_MEMEQ(test, mk->out, mk->tags, MK_TAGS);
	KUNIT_EXPECT_EQ(test, after.misused, before.misused);
}

/* Shared by the threads of the two races below. */
struct race {
	struct mteswap_store *store;
	u8 *records;	/* two pages' tags, so unlike that a mix shows */
	atomic_t stop;
};

static int race_replace(void *data)
{
	struct race *race = data;
	int i, ret = 0;

	for (i = 0; i < MK_ROUNDS(4000) && !ret; i++) {
		ret = mteswap_save(race->store, 33, race->records + i % 2 * MK_TAGS);
		if (i % 3 == 0)
			mteswap_invalidate(race->store, 33);
		cond_resched();
	}
	atomic_set(&race->stop, 1);
	return ret;
}

static int race_restore(void *data)
{
	struct race *race = data;
	u8 *out = kmalloc(MK_TAGS, GFP_KERNEL);
	int ret, bad = !out;

	while (!bad && !atomic_read(&race->stop)) {
		memset(out, MK_POISON, MK_TAGS);
		ret = mteswap_restore(race->store, 33, out);
		if (ret == 0)
			bad = !!memchr_inv(out, MK_POISON, MK_TAGS);
		else
			bad = ret != 1 ||
			      (memcmp(out, race->records, MK_TAGS) &&
			       memcmp(out, race->records + MK_TAGS, MK_TAGS));
		cond_resched();
	}
	kfree(out);
	return bad;
}

static void tag_13_a_racing_restore_is_whole_or_none(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct race race = { .store = mk->store, .stop = ATOMIC_INIT(0) };
	struct mk_thread threads[3];
	size_t i;

	race.records = kunit_kcalloc(test, 2, MK_TAGS, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, race.records);
	fill_param(test, race.records, 15);
	mk_fill_random(race.records + MK_TAGS, 16);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		mk_start(test, &threads[i], i ? race_restore : race_replace, &race);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		mk_join(&threads[i]);
		KUNIT_EXPECT_EQ(test, threads[i].ret, 0);
	}
}

/* One thread saves the next entry and says so; the others find it. */
struct handoff {
	struct mteswap_store *store;
	atomic_t saved;
};

#define HANDOFFS MK_ROUNDS(2000)

static int handoff_save(void *data)
{
	struct handoff *handoff = data;
	u8 *tags = kmalloc(MK_TAGS, GFP_KERNEL);
	int i, ret = tags ? 0 : -ENOMEM;

	for (i = 0; i < HANDOFFS && !ret; i++) {
		mk_fill(tags, MK_RUNS, 1 + i % 9, i);
		ret = mteswap_save(handoff->store, mk_entry(2, i), tags);
		if (!ret)
			atomic_set_release(&handoff->saved, i + 1);
	}
	if (ret)
		atomic_set_release(&handoff->saved, HANDOFFS);
	kfree(tags);
	return ret;
}

static int handoff_find(void *data)
{
	struct handoff *handoff = data;
	u8 *tags = kmalloc(2 * MK_TAGS, GFP_KERNEL);
	int seen, i = 0, missed = !tags;

	while (tags && i < HANDOFFS) {
		seen = atomic_read_acquire(&handoff->saved);
		for (; i < seen; i++) {
			mk_fill(tags, MK_RUNS, 1 + i % 9, i);
			missed += mteswap_restore(handoff->store, mk_entry(2, i),
						  tags + MK_TAGS) != 1 ||
				  memcmp(tags, tags + MK_TAGS, MK_TAGS);
		}
		cond_resched();
	}
	kfree(tags);
	return missed;
}

static void tag_14_every_thread_sees_a_finished_save(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct handoff handoff = { .store = mk->store, .saved = ATOMIC_INIT(0) };
	struct mk_thread threads[3];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (!mk_start(test, &threads[i], i ? handoff_find : handoff_save, &handoff) && !i)
			atomic_set_release(&handoff.saved, HANDOFFS);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		mk_join(&threads[i]);
		KUNIT_EXPECT_EQ(test, threads[i].ret, 0);
	}
}

static void tag_15_every_type_and_offset_is_an_entry_of_its_own(struct kunit *test)
{
	static const u64 offsets[] = { 0, 1, 62, 63, 64, BIT_ULL(12), BIT_ULL(31), BIT_ULL(32),
				       BIT_ULL(57), MK_OFFSET_MAX - 1, MK_OFFSET_MAX };
	struct mk *mk = test->priv;
	unsigned int type;
	size_t i;

	for (type = 0; type <= MK_TYPE_MAX; type++) {
		for (i = 0; i < ARRAY_SIZE(offsets); i++) {
			mk_fill(mk->tags, MK_RUNS, 8, type * 100 + i);
			mk_save(test, mk_entry(type, offsets[i]), mk->tags);
		}
	}
	for (type = 0; type <= MK_TYPE_MAX; type++) {
		for (i = 0; i < ARRAY_SIZE(offsets); i++) {
			mk_fill(mk->tags, MK_RUNS, 8, type * 100 + i);
			mk_expect_record(test, mk_entry(type, offsets[i]), mk->tags);
		}
	}
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, (MK_TYPE_MAX + 1) * ARRAY_SIZE(offsets));
}

static void tag_15_entry_0_is_an_ordinary_entry(struct kunit *test)
{
	struct mk *mk = test->priv;

	mk_fill_random(mk->tags, 17);
	mk_expect_absent(test, 0);
	mk_save(test, 0, mk->tags);
	mk_expect_record(test, 0, mk->tags);
	mteswap_invalidate(mk->store, 0);
	mk_expect_absent(test, 0);
}

static void tag_16_move_takes_the_record_along(struct kunit *test)
{
	struct mk *mk = test->priv;
	mteswap_entry_t from = mk_entry(1, 10), to = mk_entry(9, MK_OFFSET_MAX);

	fill_param(test, mk->tags, 18);
	mk_save(test, from, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_move(mk->store, from, to), 0);
	mk_expect_absent(test, from);
	mk_expect_record(test, to, mk->tags);
	KUNIT_EXPECT_EQ(test, stats_of(test).entries, 1);
}

static void tag_16_move_replaces_what_is_there(struct kunit *test)
{
	struct mk *mk = test->priv;

	fill_param(test, mk->tags, 19);
	mk_fill_random(mk->old, 20);
	mk_save(test, 10, mk->tags);
	mk_save(test, 11, mk->old);
	KUNIT_EXPECT_EQ(test, mteswap_move(mk->store, 10, 11), 0);
	mk_expect_absent(test, 10);
	mk_expect_record(test, 11, mk->tags);
}

static void tag_16_move_onto_itself_keeps_the_record(struct kunit *test)
{
	struct mk *mk = test->priv;

	fill_param(test, mk->tags, 21);
	mk_save(test, 10, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_move(mk->store, 10, 10), 0);
	mk_expect_record(test, 10, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_move(mk->store, 11, 11), -ENOENT);
	mk_expect_absent(test, 11);
}

static void tag_16_move_of_nothing_leaves_the_target(struct kunit *test)
{
	struct mk *mk = test->priv;

	mk_fill_random(mk->tags, 22);
	mk_save(test, 11, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_move(mk->store, 10, 11), -ENOENT);
	mk_expect_record(test, 11, mk->tags);
	KUNIT_EXPECT_EQ(test, mteswap_move(mk->store, mk_entry(3, 10), 12), -ENOENT);
	mk_expect_absent(test, 12);
}

static struct kunit_case tags_cases[] = {
	KUNIT_CASE_PARAM(tag_2_save_keeps_every_tag, pattern_gen_params),
	KUNIT_CASE_PARAM(tag_2_save_replaces_any_older_record, pattern_gen_params),
	KUNIT_CASE(tag_2_replacing_does_not_gather_memory),
	KUNIT_CASE(tag_2_save_does_not_touch_its_neighbours),
	KUNIT_CASE_PARAM(tag_2_save_atomic_saves_the_same, pattern_gen_params),
	KUNIT_CASE(tag_2_stores_know_nothing_of_each_other),
	KUNIT_CASE_PARAM(tag_4_restore_keeps_the_record, pattern_gen_params),
	KUNIT_CASE(tag_5_restore_absent_writes_nothing),
	KUNIT_CASE(tag_7_invalidate_drops_one_record),
	KUNIT_CASE(tag_7_invalidate_absent_changes_nothing),
	KUNIT_CASE(tag_9_works_with_interrupts_off),
	KUNIT_CASE_PARAM(tag_13_a_racing_restore_is_whole_or_none, pattern_gen_params),
	KUNIT_CASE(tag_14_every_thread_sees_a_finished_save),
	KUNIT_CASE(tag_15_every_type_and_offset_is_an_entry_of_its_own),
	KUNIT_CASE(tag_15_entry_0_is_an_ordinary_entry),
	KUNIT_CASE_PARAM(tag_16_move_takes_the_record_along, pattern_gen_params),
	KUNIT_CASE_PARAM(tag_16_move_replaces_what_is_there, pattern_gen_params),
	KUNIT_CASE_PARAM(tag_16_move_onto_itself_keeps_the_record, pattern_gen_params),
	KUNIT_CASE(tag_16_move_of_nothing_leaves_the_target),
	{}
};

static struct kunit_suite tags_suite = {
	.name = "mteswap_tags",
	.init = mk_init,
	.test_cases = tags_cases,
};

kunit_test_suite(tags_suite);
