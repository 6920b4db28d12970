// SPDX-License-Identifier: MIT OR Apache-2.0
/* The page-flag protocol: who writes a page's tags, and who sees them (FLAG). */
#include <linux/atomic.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "mteswap_kunit.h"

#define TAGGED BIT(MTESWAP_PG_TAGGED)
#define LOCK BIT(MTESWAP_PG_LOCK)
#define OTHERS (~(TAGGED | LOCK))

static void flag_2_an_untouched_page_is_not_tagged(struct kunit *test)
{
	unsigned long flags = 0;

	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged(&flags));
	flags = OTHERS | LOCK;
	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged(&flags));
	KUNIT_EXPECT_EQ(test, flags, OTHERS | LOCK);
	flags = TAGGED;
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(&flags));
}

static void flag_1_set_page_tagged_sets_that_bit_alone(struct kunit *test)
{
	unsigned long flags = 0;

	mteswap_set_page_tagged(&flags);
	KUNIT_EXPECT_EQ(test, flags, TAGGED);
	flags = OTHERS;
	mteswap_set_page_tagged(&flags);
	KUNIT_EXPECT_EQ(test, flags, OTHERS | TAGGED);
}

static void flag_3_the_first_caller_gets_the_duty(struct kunit *test)
{
	unsigned long flags = OTHERS;

	KUNIT_EXPECT_TRUE(test, mteswap_try_page_tagging(&flags));
	KUNIT_EXPECT_EQ(test, flags, OTHERS | LOCK);
	mteswap_set_page_tagged(&flags);
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging(&flags));
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(&flags));
	KUNIT_EXPECT_EQ(test, flags & OTHERS, OTHERS);
}

static void flag_3_a_page_flagged_without_lock_is_tagged(struct kunit *test)
{
	unsigned long flags = TAGGED;

	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging(&flags));
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(&flags));
}

#define CONTENDERS 4
#define CONTESTED 3000

/* One word of flags and one of plain data a page; @won counts the winners. */
struct contest {
	unsigned long flags[CONTESTED];
	unsigned long data[CONTESTED];
	atomic_t won[CONTESTED];
	atomic_t ready;
};

static int contend(void *arg)
{
	struct contest *contest = arg;
	int i, unseen = 0;

	atomic_inc(&contest->ready);
	while (atomic_read(&contest->ready) < CONTENDERS)
		cond_resched();
	for (i = 0; i < CONTESTED; i++) {
		if (mteswap_try_page_tagging(&contest->flags[i])) {
			atomic_inc(&contest->won[i]);
			contest->data[i] = i + 1;
			mteswap_set_page_tagged(&contest->flags[i]);
		}
		/* Winner or not: the flag is seen, so what it guards is. */
		unseen += contest->data[i] != (unsigned long)i + 1;
		if (i % 64 == 0)
			cond_resched();
	}
	return unseen;
}

static struct contest *run_contest(struct kunit *test, int *unseen)
{
	struct contest *contest = kunit_kzalloc(test, sizeof(*contest), GFP_KERNEL);
	struct mk_thread threads[CONTENDERS];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, contest);
	*unseen = 0;
	for (i = 0; i < CONTENDERS; i++)
		if (!mk_start(test, &threads[i], contend, contest))
			atomic_inc(&contest->ready);
	for (i = 0; i < CONTENDERS; i++) {
		mk_join(&threads[i]);
		*unseen += threads[i].ret;
	}
	return contest;
}

static void flag_3_of_many_callers_one_wins(struct kunit *test)
{
	struct contest *contest;
	int i, unseen;

	contest = run_contest(test, &unseen);
	for (i = 0; i < CONTESTED; i++) {
		KUNIT_ASSERT_EQ_MSG(test, atomic_read(&contest->won[i]), 1, "page %d", i);
		KUNIT_ASSERT_TRUE(test, mteswap_page_tagged(&contest->flags[i]));
	}
}

static void flag_1_flag_2_flag_3_who_sees_the_flag_sees_the_tags(struct kunit *test)
{
	int unseen;

	run_contest(test, &unseen);
	KUNIT_EXPECT_EQ(test, unseen, 0);
}

/* Waits for the flag in bounded steps, as a loser does on one CPU as on many. */
struct waiter {
	unsigned long flags;
	atomic_t timeouts;
	atomic_t over;
};

static int wait_for_flag(void *arg)
{
	struct waiter *waiter = arg;
	int ret;

	while ((ret = mteswap_try_page_tagging_bounded(&waiter->flags, 10)) == -ETIMEDOUT) {
		atomic_inc(&waiter->timeouts);
		cond_resched();
	}
	atomic_set(&waiter->over, 1);
	return ret;
}

/* The holder's duty is taken and a waiter has begun to wait for it. */
static bool start_waiter(struct kunit *test, struct waiter *waiter, struct mk_thread *thread)
{
	waiter->flags = 0;
	atomic_set(&waiter->timeouts, 0);
	atomic_set(&waiter->over, 0);
	KUNIT_EXPECT_TRUE(test, mteswap_try_page_tagging(&waiter->flags));
	if (!mk_start(test, thread, wait_for_flag, waiter))
		return false;
	while (atomic_read(&waiter->timeouts) < 3 && !atomic_read(&waiter->over))
		cond_resched();
	return true;
}

static void flag_3_a_loser_waits_for_the_flag(struct kunit *test)
{
	struct waiter *waiter = kunit_kzalloc(test, sizeof(*waiter), GFP_KERNEL);
	struct mk_thread thread;

	KUNIT_ASSERT_NOT_NULL(test, waiter);
	if (!start_waiter(test, waiter, &thread))
		return;
	mteswap_set_page_tagged(&waiter->flags);
	mk_join(&thread);
	KUNIT_EXPECT_EQ(test, thread.ret, 0);
}

static void flag_5_abandon_hands_the_duty_to_a_waiter(struct kunit *test)
{
	struct waiter *waiter = kunit_kzalloc(test, sizeof(*waiter), GFP_KERNEL);
	struct mk_thread thread;

	KUNIT_ASSERT_NOT_NULL(test, waiter);
	if (!start_waiter(test, waiter, &thread))
		return;
	mteswap_abandon_tagging(&waiter->flags);
	mk_join(&thread);
	KUNIT_EXPECT_EQ(test, thread.ret, 1);
	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged(&waiter->flags));
}

static void flag_5_abandon_leaves_the_page_untouched(struct kunit *test)
{
	unsigned long flags = OTHERS;

	KUNIT_EXPECT_TRUE(test, mteswap_try_page_tagging(&flags));
	mteswap_abandon_tagging(&flags);
	KUNIT_EXPECT_EQ(test, flags, OTHERS);
	KUNIT_EXPECT_TRUE(test, mteswap_try_page_tagging(&flags));
}

static void flag_5_a_bounded_wait_times_out(struct kunit *test)
{
	static const unsigned long spins[] = { 0, 1, 1000 };
	unsigned long flags = OTHERS;
	size_t i;

	KUNIT_EXPECT_EQ(test, mteswap_try_page_tagging_bounded(&flags, 0), 1);
	for (i = 0; i < ARRAY_SIZE(spins); i++)
		KUNIT_EXPECT_EQ(test, mteswap_try_page_tagging_bounded(&flags, spins[i]),
				-ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, flags, OTHERS | LOCK);
	mteswap_set_page_tagged(&flags);
	for (i = 0; i < ARRAY_SIZE(spins); i++)
		KUNIT_EXPECT_EQ(test, mteswap_try_page_tagging_bounded(&flags, spins[i]), 0);
}

static void flag_4_the_flag_stays_once_set(struct kunit *test)
{
	unsigned long flags = 0;

	KUNIT_EXPECT_TRUE(test, mteswap_try_page_tagging(&flags));
	mteswap_set_page_tagged(&flags);
	/* Neither a late abandon nor another attempt takes it away. */
	mteswap_abandon_tagging(&flags);
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(&flags));
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging(&flags));
	mteswap_set_page_tagged(&flags);
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(&flags));
}

static void flag_3_any_two_bits_serve(struct kunit *test)
{
	unsigned int tagged, lock;
	unsigned long flags;

	for (tagged = 0; tagged < BITS_PER_LONG; tagged++) {
		for (lock = 0; lock < BITS_PER_LONG; lock++) {
			if (tagged == lock)
				continue;
			flags = ~(BIT(tagged) | BIT(lock));
			KUNIT_ASSERT_FALSE(test, mteswap_page_tagged_bit(&flags, tagged));
			KUNIT_ASSERT_TRUE(test, mteswap_try_page_tagging_bits(&flags, tagged,
									      lock));
			KUNIT_ASSERT_EQ(test, flags, ~BIT(tagged));
			mteswap_set_page_tagged_bit(&flags, tagged);
			KUNIT_ASSERT_EQ(test, flags, ~0ul);
			KUNIT_ASSERT_TRUE(test, mteswap_page_tagged_bit(&flags, tagged));
			KUNIT_ASSERT_FALSE(test, mteswap_try_page_tagging_bits(&flags, tagged,
									       lock));
		}
	}
}

static void flag_3_bits_outside_the_word_change_nothing(struct kunit *test)
{
	unsigned long flags = 0;

	mteswap_set_page_tagged_bit(&flags, BITS_PER_LONG);
	mteswap_set_page_tagged_bit(&flags, ~0u);
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging_bits(&flags, BITS_PER_LONG, 1));
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging_bits(&flags, 1, BITS_PER_LONG));
	/* One bit cannot say both locked and tagged. */
	KUNIT_EXPECT_FALSE(test, mteswap_try_page_tagging_bits(&flags, 5, 5));
	KUNIT_EXPECT_EQ(test, flags, 0);
	flags = ~0ul;
	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged_bit(&flags, BITS_PER_LONG));
	KUNIT_EXPECT_FALSE(test, mteswap_page_tagged_bit(&flags, ~0u));
}

/* The tags of @page, whatever its flags, are @tags. */
static void expect_tags(struct kunit *test, const struct mteswap_page *page, const u8 *tags)
{
	struct mk *mk = test->priv;

	mk_read_tags(test, page, mk->out);
	KUNIT_EXPECT_MEMEQ(test, mk->out, tags, MK_TAGS);
}

static void flag_6_sync_clears_the_tags_of_untouched_pages(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 8);
	int i;

	for (i = 0; i < 8; i++) {
		mk_fill_random(mk->tags, i);
		mk_write_tags(test, &pages[i], mk->tags);
	}
	mteswap_sync_tags(pages, 8);
	memset(mk->tags, 0, MK_TAGS);
	for (i = 0; i < 8; i++) {
		KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(pages[i].flags));
		expect_tags(test, &pages[i], mk->tags);
	}
}

static void flag_6_sync_leaves_tagged_pages_alone(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 8);
	int i;

	/* Every other page of the mapping was tagged before. */
	for (i = 0; i < 8; i++) {
		mk_fill_random(mk->tags, i);
		mk_write_tags(test, &pages[i], mk->tags);
		if (i % 2)
			mteswap_set_page_tagged(pages[i].flags);
	}
	mteswap_sync_tags(pages, 8);
	for (i = 0; i < 8; i++) {
		mk_fill_random(mk->tags, i);
		if (i % 2 == 0)
			memset(mk->tags, 0, MK_TAGS);
		KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(pages[i].flags));
		expect_tags(test, &pages[i], mk->tags);
	}
}

static void flag_6_sync_uses_the_bits_of_each_page(struct kunit *test)
{
	struct mteswap_page *pages = mk_pages(test, 2);

	pages[0].tagged_bit = 17;
	pages[0].lock_bit = 40;
	pages[1].tagged_bit = 63;
	pages[1].lock_bit = 3;
	mteswap_sync_tags(pages, 2);
	KUNIT_EXPECT_EQ(test, *pages[0].flags & ~BIT(40), BIT(17));
	KUNIT_EXPECT_EQ(test, *pages[1].flags & ~BIT(3), BIT(63));
}

static void flag_8_copy_takes_tags_and_flag_along(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 2);

	mk_fill_random(mk->tags, 1);
	mk_write_tags(test, &pages[0], mk->tags);
	mteswap_set_page_tagged(pages[0].flags);
	mteswap_copy_tags(&pages[1], &pages[0]);
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(pages[1].flags));
	expect_tags(test, &pages[1], mk->tags);
	expect_tags(test, &pages[0], mk->tags);
}

static void flag_8_copy_of_an_untagged_page_changes_nothing(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 2);

	mk_fill_random(mk->tags, 2);
	mk_write_tags(test, &pages[0], mk->tags);
	mk_fill_random(mk->tags, 3);
	mk_write_tags(test, &pages[1], mk->tags);
	mteswap_copy_tags(&pages[1], &pages[0]);
	KUNIT_EXPECT_EQ(test, *pages[1].flags, 0);
	expect_tags(test, &pages[1], mk->tags);
}

static void flag_8_copy_overwrites_a_reused_page(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 2);

	mk_fill_random(mk->tags, 4);
	mk_write_tags(test, &pages[1], mk->tags);
	mteswap_set_page_tagged(pages[1].flags);
	mk_fill_random(mk->tags, 5);
	mk_write_tags(test, &pages[0], mk->tags);
	mteswap_set_page_tagged(pages[0].flags);
	mteswap_copy_tags(&pages[1], &pages[0]);
	KUNIT_EXPECT_TRUE(test, mteswap_page_tagged(pages[1].flags));
	expect_tags(test, &pages[1], mk->tags);
}

static void flag_8_sharers_do_not_see_later_changes(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 2);

	mk_fill_random(mk->old, 6);
	mk_write_tags(test, &pages[0], mk->old);
	mteswap_set_page_tagged(pages[0].flags);
	mteswap_copy_tags(&pages[1], &pages[0]);
	mk_fill_random(mk->tags, 7);
	mk_write_tags(test, &pages[0], mk->tags);
	expect_tags(test, &pages[1], mk->old);
	mk_fill_random(mk->tags, 8);
	mk_write_tags(test, &pages[1], mk->tags);
	mk_fill_random(mk->tags, 7);
	expect_tags(test, &pages[0], mk->tags);
}

static void flag_9_a_tagged_page_is_like_no_other(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_page *pages = mk_pages(test, 3);

	KUNIT_EXPECT_FALSE(test, mteswap_pages_differ(&pages[0], &pages[1]));
	/* Equal tags do not make them one: either may change later. */
	mk_fill_random(mk->tags, 9);
	mk_write_tags(test, &pages[0], mk->tags);
	mk_write_tags(test, &pages[1], mk->tags);
	mteswap_set_page_tagged(pages[0].flags);
	KUNIT_EXPECT_TRUE(test, mteswap_pages_differ(&pages[0], &pages[1]));
	KUNIT_EXPECT_TRUE(test, mteswap_pages_differ(&pages[1], &pages[0]));
	mteswap_set_page_tagged(pages[1].flags);
	KUNIT_EXPECT_TRUE(test, mteswap_pages_differ(&pages[0], &pages[1]));
	KUNIT_EXPECT_FALSE(test, mteswap_pages_differ(&pages[0], &pages[0]));
	KUNIT_EXPECT_FALSE(test, mteswap_pages_differ(&pages[2], &pages[2]));
}

static void flag_10_a_tagged_page_is_not_the_zero_page(struct kunit *test)
{
	struct mteswap_page *pages = mk_pages(test, 2);

	/* All tags 0, as the zero page's, and yet tagged. */
	mteswap_sync_tags(&pages[0], 1);
	KUNIT_EXPECT_TRUE(test, mteswap_pages_differ(&pages[0], &pages[1]));
}

static struct kunit_case flags_cases[] = {
	KUNIT_CASE(flag_2_an_untouched_page_is_not_tagged),
	KUNIT_CASE(flag_1_set_page_tagged_sets_that_bit_alone),
	KUNIT_CASE(flag_3_the_first_caller_gets_the_duty),
	KUNIT_CASE(flag_3_a_page_flagged_without_lock_is_tagged),
	KUNIT_CASE(flag_3_of_many_callers_one_wins),
	KUNIT_CASE(flag_1_flag_2_flag_3_who_sees_the_flag_sees_the_tags),
	KUNIT_CASE(flag_3_a_loser_waits_for_the_flag),
	KUNIT_CASE(flag_3_any_two_bits_serve),
	KUNIT_CASE(flag_3_bits_outside_the_word_change_nothing),
	KUNIT_CASE(flag_4_the_flag_stays_once_set),
	KUNIT_CASE(flag_5_a_bounded_wait_times_out),
	KUNIT_CASE(flag_5_abandon_hands_the_duty_to_a_waiter),
	KUNIT_CASE(flag_5_abandon_leaves_the_page_untouched),
	KUNIT_CASE(flag_6_sync_clears_the_tags_of_untouched_pages),
	KUNIT_CASE(flag_6_sync_leaves_tagged_pages_alone),
	KUNIT_CASE(flag_6_sync_uses_the_bits_of_each_page),
	KUNIT_CASE(flag_8_copy_takes_tags_and_flag_along),
	KUNIT_CASE(flag_8_copy_of_an_untagged_page_changes_nothing),
	KUNIT_CASE(flag_8_copy_overwrites_a_reused_page),
	KUNIT_CASE(flag_8_sharers_do_not_see_later_changes),
	KUNIT_CASE(flag_9_a_tagged_page_is_like_no_other),
	KUNIT_CASE(flag_10_a_tagged_page_is_not_the_zero_page),
	{}
};

static struct kunit_suite flags_suite = {
	.name = "mteswap_flags",
	.init = mk_init,
	.test_cases = flags_cases,
};

kunit_test_suite(flags_suite);
