// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The tag store beside the kernel's own xarray and kmalloc(), called as arm64's
 * mteswap.c calls them: the same keys, the same pages, in turn, in one boot.
 *
 * Each sample is a line that `cargo xtask bench --arch` reads: round, depth,
 * pages, operation, store, ticks of the clock, calls, and picoseconds a step of
 * arithmetic, right before or right after, whichever was slower.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#ifdef CONFIG_ARM64
#include <asm/sysreg.h>
#endif

#include "suites/mteswap_kunit.h"

/* Few enough to stay in a cache, enough that no predictor learns their order. */
#define NR_PAGES 4096

static unsigned int entries = 65536;
module_param(entries, uint, 0444);
MODULE_PARM_DESC(entries, "Entries stored at a time, a multiple of 512");

static unsigned int rounds = 7;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "Samples of each row");

/* Of the larger folios. */
#define LARGE 512

static u8 (*pages)[MK_TAGS];
static u8 (*restored)[MK_TAGS];
static u32 *order;
static struct mteswap_store *store;
static DEFINE_XARRAY(tags_of);

/*
 * QEMU's -icount makes a tick of arm64's counter one instruction; UML runs at the
 * machine's own speed.
 */
#ifdef CONFIG_ARM64
static u64 now(void)
{
	u64 ticks;

	asm volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r" (ticks) : : "memory");
	return ticks;
}

/* A tick a nanosecond, which -icount makes an instruction. */
static bool clock_counts(void)
{
	return read_sysreg(cntfrq_el0) == NSEC_PER_SEC;
}

/* Instructions are as many at any pace. */
static u64 pace(void)
{
	return 0;
}
#else
static u64 now(void)
{
	return ktime_get_ns();
}

static bool clock_counts(void)
{
	return true;
}

#define STEPS 300000

/*
 * Six additions a step that do not wait for one another: they take twice as long where
 * another hyperthread has a part of the core, which is not told otherwise.
 */
static u64 pace(void)
{
	unsigned long a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, step;
	u64 ticks = now();

	for (step = 0; step < STEPS; step++) {
		a += step;
		b += step;
		c += step;
		d += step;
		e += step;
		f += step;
		/* Or a compiler makes one step of all. */
		asm volatile("" : "+r" (a), "+r" (b), "+r" (c), "+r" (d), "+r" (e), "+r" (f));
	}
	return (now() - ticks) * 1000 / STEPS;
}
#endif

/* One side. The passes below are inlined with it, so that its calls are direct. */
struct side {
	const char *name;
	int (*save)(u64 entry, const void *tags);
	int (*restore)(u64 entry, void *tags);
	void (*invalidate)(u64 entry);
	/* Folios, from their first entry on; both return how many pages they were. */
	unsigned int (*save_folio)(u64 first, unsigned int nr, const u8 tags[][MK_TAGS]);
	unsigned int (*restore_folio)(u64 first, unsigned int nr, u8 tags[][MK_TAGS]);
	void (*invalidate_folio)(u64 first, unsigned int nr);
	void (*area)(unsigned int type);
};

static int ours_save(u64 entry, const void *tags)
{
	return mteswap_save(store, entry, tags);
}

static int ours_restore(u64 entry, void *tags)
{
	return mteswap_restore(store, entry, tags);
}

static void ours_invalidate(u64 entry)
{
	mteswap_invalidate(store, entry);
}

static unsigned int ours_save_folio(u64 first, unsigned int nr, const u8 (*tags)[MK_TAGS])
{
	return mteswap_save_range(store, first, nr, tags) ? 0 : nr;
}

static unsigned int ours_restore_folio(u64 first, unsigned int nr, u8 (*tags)[MK_TAGS])
{
	return mteswap_restore_range(store, first, nr, tags, NULL);
}

static void ours_invalidate_folio(u64 first, unsigned int nr)
{
	mteswap_invalidate_range(store, first, nr);
}

static void ours_area(unsigned int type)
{
	mteswap_invalidate_area(store, type);
}

/* Never inlined: as mteswap.c's, they are functions of another file to their caller. */
static noinline int kernel_save(u64 entry, const void *tags)
{
	void *copy = kmalloc(MK_TAGS, GFP_KERNEL);
	void *old;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, tags, MK_TAGS);
	old = xa_store(&tags_of, entry, copy, GFP_KERNEL);
	if (xa_is_err(old)) {
		kfree(copy);
		return xa_err(old);
	}
	kfree(old);
	return 0;
}

static noinline int kernel_restore(u64 entry, void *tags)
{
	const void *copy = xa_load(&tags_of, entry);

	if (!copy)
		return 0;
	memcpy(tags, copy, MK_TAGS);
	return 1;
}

static noinline void kernel_invalidate(u64 entry)
{
	kfree(xa_erase(&tags_of, entry));
}

/* Page by page, as arm64's hooks go through a folio. */
static noinline unsigned int kernel_save_folio(u64 first, unsigned int nr,
					       const u8 (*tags)[MK_TAGS])
{
	unsigned int i, saved = 0;

	for (i = 0; i < nr; i++)
		saved += !kernel_save(first + i, tags[i]);
	return saved;
}

static noinline unsigned int kernel_restore_folio(u64 first, unsigned int nr, u8 (*tags)[MK_TAGS])
{
	unsigned int i, found = 0;

	for (i = 0; i < nr; i++)
		found += kernel_restore(first + i, tags[i]);
	return found;
}

static noinline void kernel_invalidate_folio(u64 first, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		kernel_invalidate(first + i);
}

static noinline void kernel_area(unsigned int type)
{
	unsigned long first = mk_entry(type, 0), at;
	void *copy;

	xa_lock(&tags_of);
	xa_for_each_range(&tags_of, at, copy, first, first + MK_OFFSET_MAX) {
		__xa_erase(&tags_of, at);
		kfree(copy);
	}
	xa_unlock(&tags_of);
}

static const struct side ours = {
	.name = "ours",
	.save = ours_save,
	.restore = ours_restore,
	.invalidate = ours_invalidate,
	.save_folio = ours_save_folio,
	.restore_folio = ours_restore_folio,
	.invalidate_folio = ours_invalidate_folio,
	.area = ours_area,
};

static const struct side kernel = {
	.name = "kernel",
	.save = kernel_save,
	.restore = kernel_restore,
	.invalidate = kernel_invalidate,
	.save_folio = kernel_save_folio,
	.restore_folio = kernel_restore_folio,
	.invalidate_folio = kernel_invalidate_folio,
	.area = kernel_area,
};

enum pass {
	SAVE_SEQUENTIAL,
	RESTORE_SEQUENTIAL,
	RESTORE_ABSENT,
	INVALIDATE_ABSENT,
	INVALIDATE_SEQUENTIAL,
	SAVE_RANDOM,
	RESTORE_RANDOM,
	INVALIDATE_RANDOM,
	SAVE_FOR_CHURN,
	CHURN,
	AREA_AFTER_CHURN,
	SAVE_FOLIOS,
	RESTORE_FOLIOS,
	INVALIDATE_FOLIOS,
	SAVE_LARGE_FOLIOS,
	RESTORE_LARGE_FOLIOS,
	INVALIDATE_LARGE_FOLIOS,
	SAVE_FOR_AREA,
	AREA,
	NR_PASSES,
};

static const char * const pass_names[] = {
	[SAVE_SEQUENTIAL] = "save, sequential",
	[RESTORE_SEQUENTIAL] = "restore, sequential",
	[RESTORE_ABSENT] = "restore, absent",
	[INVALIDATE_ABSENT] = "invalidate, absent",
	[INVALIDATE_SEQUENTIAL] = "invalidate, sequential",
	[SAVE_RANDOM] = "save, random",
	[RESTORE_RANDOM] = "restore, random",
	[INVALIDATE_RANDOM] = "invalidate, random",
	[CHURN] = "churn, random",
	[SAVE_FOLIOS] = "save, folios of 16",
	[RESTORE_FOLIOS] = "restore, folios of 16",
	[INVALIDATE_FOLIOS] = "invalidate, folios of 16",
	[SAVE_LARGE_FOLIOS] = "save, folios of 512",
	[RESTORE_LARGE_FOLIOS] = "restore, folios of 512",
	[INVALIDATE_LARGE_FOLIOS] = "invalidate, folios of 512",
	[AREA] = "area, an entry",
};

static const u8 *page_of(u64 offset)
{
	return pages[offset % NR_PAGES];
}

/* What is restored counts as used: no copy is left out. */
static __always_inline int restore(const struct side *side, u64 entry, u8 *tags)
{
	int found = side->restore(entry, tags);

	barrier_data(tags);
	return found;
}

static __always_inline u64 save_folios(const struct side *side, u64 first, unsigned int nr)
{
	unsigned int i;
	u64 wrong = 0;

	for (i = 0; i < entries; i += nr)
		wrong += side->save_folio(first + i, nr, &pages[i % NR_PAGES]) != nr;
	return wrong;
}

static __always_inline u64 restore_folios(const struct side *side, u64 first, unsigned int nr)
{
	unsigned int i;
	u64 wrong = 0;

	for (i = 0; i < entries; i += nr)
		wrong += side->restore_folio(first + i, nr, restored) != nr;
	return wrong;
}

static __always_inline void invalidate_folios(const struct side *side, u64 first, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < entries; i += nr)
		side->invalidate_folio(first + i, nr);
}

/* Calls of one pass that did not return what they must. */
static __always_inline u64 go(const struct side *side, enum pass pass, unsigned int type)
{
	u64 first = mk_entry(type, 0), beyond = first + entries, wrong = 0;
	u8 tags[MK_TAGS];
	unsigned int i;

	switch (pass) {
	case SAVE_SEQUENTIAL:
	case SAVE_FOR_CHURN:
	case SAVE_FOR_AREA:
		for (i = 0; i < entries; i++)
			wrong += side->save(first + i, page_of(i)) != 0;
		break;
	case RESTORE_SEQUENTIAL:
		for (i = 0; i < entries; i++)
			wrong += restore(side, first + i, tags) != 1;
		break;
	case RESTORE_ABSENT:
		for (i = 0; i < entries; i++)
			wrong += restore(side, beyond + i, tags) != 0;
		break;
	case INVALIDATE_ABSENT:
		for (i = 0; i < entries; i++)
			side->invalidate(beyond + i);
		break;
	case INVALIDATE_SEQUENTIAL:
		for (i = 0; i < entries; i++)
			side->invalidate(first + i);
		break;
	case SAVE_RANDOM:
		for (i = 0; i < entries; i++)
			wrong += side->save(first + order[i], page_of(order[i])) != 0;
		break;
	case RESTORE_RANDOM:
		for (i = 0; i < entries; i++)
			wrong += restore(side, first + order[i], tags) != 1;
		break;
	case INVALIDATE_RANDOM:
		for (i = 0; i < entries; i++)
			side->invalidate(first + order[i]);
		break;
	case CHURN:
		/* A slot that is freed is used again: another page's tags come to it. */
		for (i = 0; i < entries; i++) {
			side->invalidate(first + order[i]);
			wrong += side->save(first + order[i], page_of(order[i] + 1)) != 0;
		}
		break;
	case SAVE_FOLIOS:
		wrong = save_folios(side, first, 16);
		break;
	case RESTORE_FOLIOS:
		wrong = restore_folios(side, first, 16);
		break;
	case INVALIDATE_FOLIOS:
		invalidate_folios(side, first, 16);
		break;
	case SAVE_LARGE_FOLIOS:
		wrong = save_folios(side, first, LARGE);
		break;
	case RESTORE_LARGE_FOLIOS:
		wrong = restore_folios(side, first, LARGE);
		break;
	case INVALIDATE_LARGE_FOLIOS:
		invalidate_folios(side, first, LARGE);
		break;
	default:
		side->area(type);
	}
	return wrong;
}

/* Every entry of the area holds its page, or none holds anything. */
static __always_inline u64 look(const struct side *side, unsigned int type, bool full)
{
	u8 tags[MK_TAGS];
	u64 wrong = 0;
	unsigned int i;

	for (i = 0; i < entries; i++) {
		if (side->restore(mk_entry(type, i), tags) != full)
			wrong++;
		else if (full && memcmp(tags, page_of(i), MK_TAGS))
			wrong++;
	}
	return wrong;
}

static __always_inline u64 look_after(const struct side *side, enum pass pass, unsigned int type)
{
	switch (pass) {
	case SAVE_SEQUENTIAL:
	case SAVE_RANDOM:
	case SAVE_FOLIOS:
	case SAVE_LARGE_FOLIOS:
		return look(side, type, true);
	case INVALIDATE_RANDOM:
	case INVALIDATE_FOLIOS:
	case INVALIDATE_LARGE_FOLIOS:
	case AREA:
		return look(side, type, false);
	case RESTORE_FOLIOS:
		return memcmp(restored, pages[(entries - 16) % NR_PAGES], 16 * MK_TAGS) != 0;
	case RESTORE_LARGE_FOLIOS:
		return memcmp(restored, pages[(entries - LARGE) % NR_PAGES], LARGE * MK_TAGS) != 0;
	default:
		return 0;
	}
}

/* Round 0 warms up: it is looked at in place of being told. */
static __always_inline u64 play(const struct side *side, unsigned int round, unsigned int type,
				const char *class)
{
	u64 wrong = 0, before, ticks;
	enum pass pass;

	for (pass = 0; pass < NR_PASSES; pass++) {
		before = pace();
		ticks = now();
		wrong += go(side, pass, type);
		ticks = now() - ticks;
		/* What waits for readers is freed before the next begins. */
		rcu_barrier();
		cond_resched();
		if (round && pass_names[pass])
			pr_info("mteswap-bench:\t%u\t%s\t%s\t%s\t%s\t%llu\t%u\t%llu\n", round,
				type ? "deep" : "shallow", class, pass_names[pass], side->name,
				ticks, entries, max(before, pace()));
		if (!round)
			wrong += look_after(side, pass, type);
	}
	return wrong;
}

/* Not inlined into one another: each side's passes are a function of their own. */
static noinline u64 play_ours(unsigned int round, unsigned int type, const char *class)
{
	return play(&ours, round, type, class);
}

static noinline u64 play_kernel(unsigned int round, unsigned int type, const char *class)
{
	return play(&kernel, round, type, class);
}

/* A page of @nr runs, neighbours of different tags; one run is never of tag 0. */
static void fill_runs(u8 *tags, unsigned int nr, u64 *state)
{
	DECLARE_BITMAP(starts, MK_GRANULES) = { 0 };
	unsigned int tag = 1 + mk_random(state) % 15, granule;

	while (--nr) {
		do
			granule = 1 + mk_random(state) % (MK_GRANULES - 1);
		while (test_bit(granule, starts));
		__set_bit(granule, starts);
	}
	for (granule = 0; granule < MK_GRANULES; granule++) {
		if (test_bit(granule, starts))
			tag = (tag + 1 + mk_random(state) % 15) % 16;
		mk_set(tags, granule, tag);
	}
}

static void fill_one_tag(void)
{
	u64 state = 1;
	size_t i;

	for (i = 0; i < NR_PAGES; i++)
		fill_runs(pages[i], 1, &state);
}

/* Seven pages in ten of one tag, two of few runs, one of many. */
static void fill_mixture(void)
{
	u64 state = 2;
	size_t i;

	for (i = 0; i < NR_PAGES; i++) {
		unsigned int dice = mk_random(&state) % 10, nr = 1;

		if (dice >= 9)
			nr = 13 + mk_random(&state) % 188;
		else if (dice >= 7)
			nr = 2 + mk_random(&state) % 11;
		fill_runs(pages[i], nr, &state);
	}
}

static void fill_random(void)
{
	u64 state = 3, word;
	size_t i, at;

	for (i = 0; i < NR_PAGES; i++) {
		for (at = 0; at < MK_TAGS; at += sizeof(word)) {
			word = mk_random(&state);
			memcpy(pages[i] + at, &word, sizeof(word));
		}
	}
}

/* Of all maps alike, in a random order. */
static void fill_real(void)
{
	const struct mk_map *map;
	size_t all = 0, i, page;
	u64 state = 4;

	for (map = mteswap_kunit_maps(); map->name; map = mk_next_map(map))
		all += mk_map_pages(map);
	for (i = 0; i < NR_PAGES; i++) {
		page = mk_random(&state) % all;
		for (map = mteswap_kunit_maps(); page >= mk_map_pages(map); map++)
			page -= mk_map_pages(map);
		memcpy(pages[i], mk_map_page(map, page), MK_TAGS);
	}
}

static void shuffle(void)
{
	u64 state = 5;
	u32 i;

	for (i = 0; i < entries; i++) {
		u32 other = mk_random(&state) % (i + 1);

		order[i] = order[other];
		order[other] = i;
	}
}

static void measure(struct kunit *test, const char *class, void (*fill)(void))
{
	unsigned int round, type;
	u64 wrong = 0;

	fill();
	for (type = 0; type < 2; type++) {
		for (round = 0; round <= rounds; round++) {
			/* Each goes first in every other round. */
			if (round % 2)
				wrong += play_kernel(round, type, class);
			wrong += play_ours(round, type, class);
			if (!(round % 2))
				wrong += play_kernel(round, type, class);
		}
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

static void one_tag(struct kunit *test)
{
	measure(test, "one-tag", fill_one_tag);
}

static void mixture(struct kunit *test)
{
	measure(test, "mixture", fill_mixture);
}

static void random_tags(struct kunit *test)
{
	measure(test, "random", fill_random);
}

static void real_maps(struct kunit *test)
{
	measure(test, "real", fill_real);
}

static int bench_init(struct kunit *test)
{
	int ret = mteswap_store_create(&store);

	if (ret)
		return ret;
	if (!entries || entries % LARGE || !rounds || !clock_counts())
		return -EINVAL;
	pages = kvmalloc_array(NR_PAGES, sizeof(*pages), GFP_KERNEL);
	restored = kvmalloc_array(LARGE, sizeof(*restored), GFP_KERNEL);
	order = kvmalloc_array(entries, sizeof(*order), GFP_KERNEL);
	if (!pages || !restored || !order)
		return -ENOMEM;
	shuffle();
	return 0;
}

/* Runs where init failed, too. */
static void bench_exit(struct kunit *test)
{
	mteswap_store_destroy(store);
	store = NULL;
	kvfree(pages);
	pages = NULL;
	kvfree(restored);
	restored = NULL;
	kvfree(order);
	order = NULL;
	xa_destroy(&tags_of);
}

static struct kunit_case bench_cases[] = {
	KUNIT_CASE_SLOW(one_tag),
	KUNIT_CASE_SLOW(mixture),
	KUNIT_CASE_SLOW(random_tags),
	KUNIT_CASE_SLOW(real_maps),
	{}
};

static struct kunit_suite bench_suite = {
	.name = "mteswap_bench",
	.init = bench_init,
	.exit = bench_exit,
	.test_cases = bench_cases,
};

kunit_test_suite(bench_suite);

MODULE_DESCRIPTION("Bench of the tag store beside the kernel's xarray");
MODULE_IMPORT_NS(MTESWAP);
MODULE_LICENSE("Dual MIT/GPL");
