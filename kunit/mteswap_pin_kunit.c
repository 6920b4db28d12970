// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The swapcache pin: one swap-in of an entry at a time, the others wait
 * (PIN-5 to PIN-8, PIN-11).
 */
#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "mteswap_kunit.h"

#define TYPE 1

static void pin_11_the_pin_is_no_reference(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 4);
	mteswap_entry_t entry = mk_entry(TYPE, 2);

	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 1);
	mteswap_swapcache_clear(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 1);
}

static void pin_6_clear_without_pin_is_reported(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 4);
	unsigned long before = mk_warnings();

	mteswap_swapcache_clear(swap, mk_entry(TYPE, 1), 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_CACHE_CLEAR);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, mk_entry(TYPE, 1)), 1);
	mteswap_swapcache_clear(swap, mk_entry(TYPE, 4), 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_CACHE_CLEAR);
}

static void pin_6_a_second_clear_is_reported(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 4);
	mteswap_entry_t entry = mk_entry(TYPE, 3);
	unsigned long before = mk_warnings();

	KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
	mteswap_swapcache_clear(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mk_warnings(), before);
	mteswap_swapcache_clear(swap, entry, 1);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_CACHE_CLEAR);
	KUNIT_EXPECT_EQ(test, mteswap_swap_count(swap, entry), 1);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
}

static void pin_6_clear_of_a_range_is_all_or_nothing(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 16);
	unsigned long before = mk_warnings();
	u64 i;

	KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, 0), 7), 0);
	mteswap_swapcache_clear(swap, mk_entry(TYPE, 0), 8);
	mk_expect_warning(test, &before, MTESWAP_WARN_BAD_CACHE_CLEAR);
	for (i = 0; i < 7; i++)
		KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, i), 1),
				-EEXIST);
	mteswap_swapcache_clear(swap, mk_entry(TYPE, 0), 7);
	KUNIT_EXPECT_EQ(test, mk_warnings(), before);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, mk_entry(TYPE, 0), 16), 0);
}

static void pin_7_wait_without_pin_is_over(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 4);

	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, mk_entry(TYPE, 0)), 0);
	/* A free slot has no pin either. */
	mteswap_swap_free(swap, mk_entry(TYPE, 1), 1);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, mk_entry(TYPE, 1)), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, mk_entry(TYPE, 4)), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, mk_entry(TYPE + 1, 0)), -EINVAL);
}

static void pin_7_wait_ends_with_the_tick(struct kunit *test)
{
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 4);
	mteswap_entry_t entry = mk_entry(TYPE, 0);

	KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, entry), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, entry + 1), 0);
	mteswap_swapcache_clear(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_wait(swap, entry), 0);
}

struct waiter {
	struct mteswap_swap *swap;
	atomic_t waits;
};

static int wait_for_clear(void *data)
{
	struct waiter *waiter = data;
	int ret;

	do {
		atomic_inc(&waiter->waits);
		ret = mteswap_swapcache_wait(waiter->swap, mk_entry(TYPE, 0));
	} while (ret == -ETIMEDOUT);
	return ret;
}

static void pin_7_clear_lets_the_waiters_go(struct kunit *test)
{
	struct waiter waiter = { .swap = mk_full_swap(test, TYPE, 4), .waits = ATOMIC_INIT(0) };
	struct mk_thread threads[4];
	size_t i;

	KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(waiter.swap, mk_entry(TYPE, 0), 1), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (!mk_start(test, &threads[i], wait_for_clear, &waiter))
			atomic_inc(&waiter.waits);
	while (atomic_read(&waiter.waits) < (int)ARRAY_SIZE(threads))
		cond_resched();
	mteswap_swapcache_clear(waiter.swap, mk_entry(TYPE, 0), 1);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		mk_join(&threads[i]);
		KUNIT_EXPECT_EQ(test, threads[i].ret, 0);
	}
}

#define HOLDS 1500

/* Threads that pin one entry in turn; @inside counts those who hold it. */
struct turns {
	struct mteswap_swap *swap;
	atomic_t inside;
	atomic_t failed;
	unsigned long held;	/* plain: the pin guards it */
};

static int take_turns(void *data)
{
	struct turns *turns = data;
	int i = 0, ret, bad = 0;

	while (i < HOLDS && !atomic_read(&turns->failed)) {
		ret = mteswap_swapcache_prepare(turns->swap, mk_entry(TYPE, 0), 1);
		if (ret == -EEXIST) {
			ret = mteswap_swapcache_wait(turns->swap, mk_entry(TYPE, 0));
			if (!ret || ret == -ETIMEDOUT)
				continue;
		}
		bad = ret || atomic_inc_return(&turns->inside) != 1;
		if (bad)
			atomic_set(&turns->failed, 1);
		turns->held++;
		if (i % 16 == 0)
			cond_resched();
		atomic_set(&turns->inside, 0);
		mteswap_swapcache_clear(turns->swap, mk_entry(TYPE, 0), 1);
		i++;
	}
	return bad;
}

static void pin_5_pin_7_one_holder_at_a_time(struct kunit *test)
{
	struct turns turns = { .swap = mk_full_swap(test, TYPE, 4), .inside = ATOMIC_INIT(0),
			       .failed = ATOMIC_INIT(0) };
	struct mk_thread threads[4];
	unsigned long before = mk_warnings();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(threads); i++)
		mk_start(test, &threads[i], take_turns, &turns);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		mk_join(&threads[i]);
		KUNIT_EXPECT_EQ(test, threads[i].ret, 0);
	}
	KUNIT_EXPECT_EQ(test, turns.held, ARRAY_SIZE(threads) * HOLDS);
	KUNIT_EXPECT_EQ(test, mk_warnings(), before);
}

static void pin_8_a_pinned_slot_is_not_used_again(struct kunit *test)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_full_swap(test, TYPE, 1);
	mteswap_entry_t entry = mk_entry(TYPE, 0), again = 77;

	mk_fill_random(mk->tags, 1);
	mk_save(test, entry, mk->tags);
	/* One swap-in reads; no second one may begin ... */
	KUNIT_ASSERT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), 0);
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), -EEXIST);
	/* ... and once it freed the entry, no page goes there till it clears. */
	mteswap_swap_free(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 1, &again), -ENOSPC);
	mk_expect_record(test, entry, mk->tags);
	mteswap_swapcache_clear(swap, entry, 1);
	KUNIT_EXPECT_EQ(test, mteswap_swap_alloc(swap, 1, &again), 0);
	KUNIT_EXPECT_EQ(test, again, entry);
	mk_expect_absent(test, entry);
}

/*
 * A small machine: pages in memory or at a swap entry, a device with a word a
 * slot, workers that add 1 to every page, one evictor. Slots are as few as
 * pages, so an entry is used again at once. The word and the tags of a page
 * take the way do_swap_page() goes for SWP_SYNCHRONOUS_IO.
 */
#define PAGES 6
#define ROUNDS 1500
#define WORKERS 3

struct pte {
	bool present;
	mteswap_entry_t entry;
	unsigned long word;
	struct mteswap_page page;
};

struct machine {
	struct mteswap_store *store;
	struct mteswap_swap *swap;
	struct mutex lock;	/* the page-table lock */
	struct pte ptes[PAGES];
	unsigned long device[PAGES];
	atomic_t working;
	atomic_t faults;
};

static int swap_out(struct machine *machine, struct pte *pte)
{
	mteswap_entry_t entry;
	int ret;

	mutex_lock(&machine->lock);
	ret = pte->present ? mteswap_swap_alloc(machine->swap, 1, &entry) : -EAGAIN;
	if (ret) {
		mutex_unlock(&machine->lock);
		/* A pin may hold the last slot for a moment. */
		return ret == -EAGAIN || ret == -ENOSPC ? 0 : ret;
	}
	ret = mteswap_prepare_to_swap(machine->store, entry, 1, &pte->page);
	machine->device[entry & MK_OFFSET_MAX] = pte->word;
	if (!ret)
		ret = mteswap_swap_duplicate(machine->swap, entry);
	pte->word = ~0ul;
	pte->entry = entry;
	pte->present = false;
	mutex_unlock(&machine->lock);
	mteswap_swapcache_clear(machine->swap, entry, 1);
	return ret;
}

/* Whether @pte holds an entry whose slot is gone: with the lock, it cannot change. */
static bool slot_is_lost(struct machine *machine, struct pte *pte)
{
	bool lost = false;
	int ret;

	mutex_lock(&machine->lock);
	if (!pte->present) {
		ret = mteswap_swapcache_prepare(machine->swap, pte->entry, 1);
		lost = ret && ret != -EEXIST;
		if (!ret)
			mteswap_swapcache_clear(machine->swap, pte->entry, 1);
	}
	mutex_unlock(&machine->lock);
	return lost;
}

static int fault(struct machine *machine, struct pte *pte)
{
	mteswap_entry_t entry;
	unsigned long word;
	int ret = 0;

	mutex_lock(&machine->lock);
	entry = pte->entry;
	if (pte->present) {
		mutex_unlock(&machine->lock);
		return 0;
	}
	mutex_unlock(&machine->lock);

	if (mteswap_swapcache_prepare(machine->swap, entry, 1)) {
		mteswap_swapcache_wait(machine->swap, entry);
		return slot_is_lost(machine, pte);
	}
	word = READ_ONCE(machine->device[entry & MK_OFFSET_MAX]);
	cond_resched();

	mutex_lock(&machine->lock);
	if (!pte->present && pte->entry == entry) {
		*pte->page.flags = 0;
		ret = mteswap_swap_restore(machine->store, entry, 1, &pte->page) != 1;
		mteswap_swap_free(machine->swap, entry, 1);
		pte->word = word;
		pte->present = true;
		atomic_inc(&machine->faults);
	}
	mutex_unlock(&machine->lock);
	mteswap_swapcache_clear(machine->swap, entry, 1);
	return ret;
}

static int work(void *data)
{
	struct machine *machine = data;
	int round, i, bad = 0;
	bool done;

	for (round = 0; round < ROUNDS && !bad; round++) {
		for (i = 0; i < PAGES && !bad; i++) {
			do {
				bad = fault(machine, &machine->ptes[i]);
				mutex_lock(&machine->lock);
				done = machine->ptes[i].present;
				if (done)
					machine->ptes[i].word++;
				mutex_unlock(&machine->lock);
			} while (!done && !bad);
			if (i % 2)
				cond_resched();
		}
		/* One CPU without preemption may give the evictor no turn at all. */
		if (!bad)
			bad = swap_out(machine, &machine->ptes[round % PAGES]);
	}
	atomic_inc(&machine->working);
	return bad;
}

static int evict(void *data)
{
	struct machine *machine = data;
	u64 seed = 42;
	int bad = 0;

	while (atomic_read(&machine->working) < WORKERS && !bad) {
		bad = swap_out(machine, &machine->ptes[mk_random(&seed) % PAGES]);
		cond_resched();
	}
	return bad;
}

static void pin_5_pin_8_hook_2_no_update_and_no_tag_is_lost(struct kunit *test)
{
	struct machine *machine = kunit_kzalloc(test, sizeof(*machine), GFP_KERNEL);
	struct mteswap_page *pages = mk_pages(test, PAGES);
	struct mk_thread threads[WORKERS + 1];
	struct mk *mk = test->priv;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, machine);
	machine->store = mk->store;
	machine->swap = mk_swap(test, mk->store, TYPE, PAGES);
	mutex_init(&machine->lock);
	for (i = 0; i < PAGES; i++) {
		mk_fill(mk->tags, MK_RUNS, 2 + 3 * i, i);
		mk_write_tags(test, &pages[i], mk->tags);
		mteswap_set_page_tagged(pages[i].flags);
		machine->ptes[i].page = pages[i];
		machine->ptes[i].present = true;
	}

	for (i = 0; i <= WORKERS; i++)
		if (!mk_start(test, &threads[i], i ? work : evict, machine) && i)
			atomic_inc(&machine->working);
	for (i = 0; i <= WORKERS; i++) {
		mk_join(&threads[i]);
		KUNIT_EXPECT_EQ(test, threads[i].ret, 0);
	}

	for (i = 0; i < PAGES; i++) {
		KUNIT_ASSERT_EQ(test, fault(machine, &machine->ptes[i]), 0);
		KUNIT_EXPECT_TRUE(test, machine->ptes[i].present);
		KUNIT_EXPECT_EQ(test, machine->ptes[i].word, WORKERS * ROUNDS);
		mk_fill(mk->tags, MK_RUNS, 2 + 3 * i, i);
		mk_read_tags(test, &pages[i], mk->out);
		KUNIT_EXPECT_MEMEQ(test, mk->out, mk->tags, MK_TAGS);
	}
	for (i = 0; i < PAGES; i++)
		mk_expect_absent(test, mk_entry(TYPE, i));
	/* The race was run, not walked past. */
	KUNIT_EXPECT_GT(test, atomic_read(&machine->faults), PAGES);
}

static struct kunit_case pin_cases[] = {
	KUNIT_CASE(pin_11_the_pin_is_no_reference),
	KUNIT_CASE(pin_6_clear_without_pin_is_reported),
	KUNIT_CASE(pin_6_a_second_clear_is_reported),
	KUNIT_CASE(pin_6_clear_of_a_range_is_all_or_nothing),
	KUNIT_CASE(pin_7_wait_without_pin_is_over),
	KUNIT_CASE(pin_7_wait_ends_with_the_tick),
	KUNIT_CASE(pin_7_clear_lets_the_waiters_go),
	KUNIT_CASE(pin_5_pin_7_one_holder_at_a_time),
	KUNIT_CASE(pin_8_a_pinned_slot_is_not_used_again),
	KUNIT_CASE(pin_5_pin_8_hook_2_no_update_and_no_tag_is_lost),
	{}
};

static struct kunit_suite pin_suite = {
	.name = "mteswap_pin",
	.init = mk_init,
	.test_cases = pin_cases,
};

kunit_test_suite(pin_suite);
