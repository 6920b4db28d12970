// SPDX-License-Identifier: MIT OR Apache-2.0
/* What the suites share: see mteswap_kunit.h. */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/string.h>

#include "mteswap_kunit.h"

static void destroy_store(void *store)
{
	mteswap_store_destroy(store);
}

static void destroy_swap(void *swap)
{
	mteswap_swap_destroy(swap);
}

static void free_one_page(void *page)
{
	free_page((unsigned long)page);
}

static void reset_host(void *unused __maybe_unused)
{
	mk_host_fail_after(-1);
	mk_host_watch(NULL, 0);
}

struct mteswap_store *mk_store(struct kunit *test)
{
	struct mteswap_store *store = NULL;

	KUNIT_ASSERT_EQ(test, mteswap_store_create(&store), 0);
	KUNIT_ASSERT_NOT_NULL(test, store);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, destroy_store, store), 0);
	return store;
}

struct mteswap_swap *mk_swap(struct kunit *test, struct mteswap_store *store,
			     unsigned int type, size_t slots)
{
	struct mteswap_swap *swap = NULL;

	KUNIT_ASSERT_EQ(test, mteswap_swap_create(store, type, slots, &swap), 0);
	KUNIT_ASSERT_NOT_NULL(test, swap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, destroy_swap, swap), 0);
	return swap;
}

struct mteswap_page *mk_pages(struct kunit *test, size_t nr)
{
	struct mteswap_page *pages = kunit_kcalloc(test, nr, sizeof(*pages), GFP_KERNEL);
	unsigned long *flags = kunit_kcalloc(test, nr, sizeof(*flags), GFP_KERNEL);
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_NOT_NULL(test, flags);
	for (i = 0; i < nr; i++) {
		pages[i].flags = &flags[i];
		pages[i].tagged_bit = MTESWAP_PG_TAGGED;
		pages[i].lock_bit = MTESWAP_PG_LOCK;
		pages[i].addr = (void *)get_zeroed_page(GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, pages[i].addr);
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_one_page,
								pages[i].addr), 0);
	}
	return pages;
}

/*
 * Tags stand where only the library can reach them on hardware that has them;
 * a view of the page with flags of its own lets it write or read whatever the
 * page's say.
 */
void mk_write_tags(struct kunit *test, const struct mteswap_page *page, const u8 *tags)
{
	struct mk *mk = test->priv;
	struct mteswap_page view = *page;
	unsigned long flags = 0;

	view.flags = &flags;
	KUNIT_ASSERT_EQ(test, mteswap_save(mk->scratch, 0, tags), 0);
	KUNIT_ASSERT_EQ(test, mteswap_swap_restore(mk->scratch, 0, 1, &view), 1);
}

void mk_read_tags(struct kunit *test, const struct mteswap_page *page, u8 *tags)
{
	struct mk *mk = test->priv;
	struct mteswap_page view = *page;
	unsigned long flags = 0;

	view.flags = &flags;
	mteswap_set_page_tagged_bit(&flags, page->tagged_bit);
	KUNIT_ASSERT_EQ(test, mteswap_prepare_to_swap(mk->scratch, 0, 1, &view), 0);
	KUNIT_ASSERT_EQ(test, mteswap_restore(mk->scratch, 0, tags), 1);
}

void mk_save(struct kunit *test, mteswap_entry_t entry, const u8 *tags)
{
	struct mk *mk = test->priv;

	KUNIT_ASSERT_EQ(test, mteswap_save(mk->store, entry, tags), 0);
}

void mk_expect_record(struct kunit *test, mteswap_entry_t entry, const u8 *tags)
{
	struct mk *mk = test->priv;

	memset(mk->out, MK_POISON, MK_TAGS);
	KUNIT_EXPECT_EQ_MSG(test, mteswap_restore(mk->store, entry, mk->out), 1,
			    "entry %#llx", (unsigned long long)entry);
	KUNIT_EXPECT_MEMEQ_MSG(test, mk->out, tags, MK_TAGS, "entry %#llx",
			       (unsigned long long)entry);
}

void mk_expect_absent(struct kunit *test, mteswap_entry_t entry)
{
	struct mk *mk = test->priv;

	memset(mk->out, MK_POISON, MK_TAGS);
	KUNIT_EXPECT_EQ_MSG(test, mteswap_restore(mk->store, entry, mk->out), 0,
			    "entry %#llx", (unsigned long long)entry);
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(mk->out, MK_POISON, MK_TAGS),
			      "an absent entry wrote tags");
}

unsigned long mk_warnings(void)
{
	struct mk_host host;

	mk_host_read(&host);
	return host.warnings;
}

void mk_expect_warning(struct kunit *test, unsigned long *before, unsigned int kind)
{
	struct mk_host host;

	mk_host_read(&host);
	KUNIT_EXPECT_EQ(test, host.warnings, ++*before);
	KUNIT_EXPECT_EQ(test, host.last_warning, kind);
}

int mk_init(struct kunit *test)
{
	struct mk *mk = kunit_kzalloc(test, sizeof(*mk), GFP_KERNEL);

	if (!mk)
		return -ENOMEM;
	test->priv = mk;
	mk->tags = kunit_kzalloc(test, MK_TAGS, GFP_KERNEL);
	mk->old = kunit_kzalloc(test, MK_TAGS, GFP_KERNEL);
	mk->out = kunit_kzalloc(test, MK_TAGS, GFP_KERNEL);
	if (!mk->tags || !mk->old || !mk->out)
		return -ENOMEM;
	memset(mk->out, MK_POISON, MK_TAGS);
	mk->store = mk_store(test);
	mk->scratch = mk_store(test);
	/* Ends first, so that a case may fail wherever it likes. */
	return kunit_add_action(test, reset_host, NULL);
}

mteswap_entry_t mk_take_slot(struct kunit *test, struct mteswap_swap *swap, unsigned int count,
			     bool cached)
{
	mteswap_entry_t entry = ~0ull;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, mteswap_swap_alloc(swap, 1, &entry), 0);
	for (i = 0; i < count; i++)
		KUNIT_ASSERT_EQ(test, mteswap_swap_duplicate(swap, entry), 0);
	if (!cached)
		mteswap_swapcache_clear(swap, entry, 1);
	return entry;
}

mteswap_entry_t mk_take_shmem(struct kunit *test, struct mteswap_swap *swap, bool cached)
{
	mteswap_entry_t entry = mk_take_slot(test, swap, 0, true);

	KUNIT_ASSERT_EQ(test, mteswap_swap_shmem_alloc(swap, entry, 1), 0);
	if (!cached)
		mteswap_swapcache_clear(swap, entry, 1);
	return entry;
}

void mk_expect_cached(struct kunit *test, struct mteswap_swap *swap, mteswap_entry_t entry,
		      bool cached)
{
	KUNIT_EXPECT_EQ(test, mteswap_swapcache_prepare(swap, entry, 1), cached ? -EEXIST : 0);
	if (!cached)
		mteswap_swapcache_clear(swap, entry, 1);
}

struct mteswap_swap *mk_full_swap(struct kunit *test, unsigned int type, size_t slots)
{
	struct mk *mk = test->priv;
	struct mteswap_swap *swap = mk_swap(test, mk->store, type, slots);
	u64 i;

	for (i = 0; i < slots; i++)
		KUNIT_ASSERT_EQ(test, mk_take_slot(test, swap, 1, false), mk_entry(type, i));
	return swap;
}

static void fill_chunks(u8 *tags, u64 seed, unsigned int cell)
{
	unsigned int tag = 0, left = 0;
	size_t i;

	for (i = 0; i < MK_GRANULES; i++) {
		if (!left) {
			left = cell ? cell : 2 + mk_random(&seed) % 30;
			tag = 1 + mk_random(&seed) % 15;
			mk_set(tags, i, 0);
		} else {
			mk_set(tags, i, tag);
		}
		left--;
	}
}

void mk_fill(u8 *tags, enum mk_kind kind, unsigned int arg, u64 seed)
{
	size_t i, run;

	/* Neighbouring seeds make unlike pages; the generator must not start at 0. */
	seed = (seed + 1) * 0x9e3779b97f4a7c15ull;
	memset(tags, 0, MK_TAGS);

	switch (kind) {
	case MK_ONE:
		memset(tags, arg * 0x11, MK_TAGS);
		break;
	case MK_RUNS:
		for (i = 0; i < MK_GRANULES; i++) {
			run = i * arg / MK_GRANULES;
			/* 7 has no divisor in common with 15: neighbours differ. */
			mk_set(tags, i, 1 + (seed % 15 + 7 * run) % 15);
		}
		break;
	case MK_ALTERNATE:
		for (i = 0; i < MK_GRANULES; i++)
			mk_set(tags, i, i / arg % 2 ? 3 : 12);
		break;
	case MK_GRID:
		fill_chunks(tags, seed, arg);
		break;
	case MK_CHUNKS:
		fill_chunks(tags, seed, 0);
		break;
	case MK_SPARSE:
		for (i = 0; i < arg; i++)
			mk_set(tags, mk_random(&seed) % MK_GRANULES, 1 + i % 15);
		break;
	case MK_RANDOM:
		for (i = 0; i < MK_GRANULES; i++)
			mk_set(tags, i, mk_random(&seed) % arg * 7 % 16);
		break;
	}
}

static int thread_main(void *arg)
{
	struct mk_thread *thread = arg;

	thread->ret = thread->fn(thread->data);
	kthread_complete_and_exit(&thread->done, 0);
	return 0;
}

bool mk_start(struct kunit *test, struct mk_thread *thread, int (*fn)(void *data), void *data)
{
	struct task_struct *task;

	thread->fn = fn;
	thread->data = data;
	thread->ret = 0;
	init_completion(&thread->done);
	task = kthread_run(thread_main, thread, "mteswap-kunit");
	if (IS_ERR(task)) {
		KUNIT_FAIL(test, "cannot start a thread: %ld", PTR_ERR(task));
		complete(&thread->done);
		return false;
	}
	return true;
}

void mk_join(struct mk_thread *thread)
{
	wait_for_completion(&thread->done);
}
