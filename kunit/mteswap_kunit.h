/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the suites share: a store to test, pages, patterns of tags, threads,
 * the shipped tag maps, and a view of what the library asks of its host.
 *
 * Suites build unchanged in a kernel and, over kunit/shim, as a program. They
 * call mteswap_* only: the kernel's own names exist in every kernel.
 */
#ifndef MTESWAP_KUNIT_H
#define MTESWAP_KUNIT_H

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <mteswap.h>

/* Granules of a page, and bytes of their tags. */
#define MK_GRANULES (1 << (MTESWAP_PAGE_SHIFT - 4))
#define MK_TAGS MTESWAP_TAGS_BYTES
/* Of @nr rounds over 4 KiB pages, as many as go through the same number of bytes. */
#define MK_ROUNDS(nr) ((nr) >> (MTESWAP_PAGE_SHIFT - 12))
/* The highest offset of an area, and the highest type. */
#define MK_OFFSET_MAX (BIT_ULL(58) - 1)
#define MK_TYPE_MAX 31
/* What no tag buffer holds unless the library put it there. */
#define MK_POISON 0xa5

static inline mteswap_entry_t mk_entry(unsigned int type, u64 offset)
{
	return (u64)type << 58 | offset;
}

static inline u64 mk_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline unsigned int mk_get(const u8 *tags, size_t granule)
{
	return tags[granule / 2] >> granule % 2 * 4 & 0xf;
}

static inline void mk_set(u8 *tags, size_t granule, unsigned int tag)
{
	u8 *pair = &tags[granule / 2];

	*pair = granule % 2 ? (*pair & 0x0f) | tag << 4 : (*pair & 0xf0) | tag;
}

/**
 * struct mk - what mk_init() prepares for each case, in test->priv
 * @store: the store under test, empty
 * @scratch: a store that carries tags to and from pages
 * @tags: one page's tags, for what is saved
 * @old: one page's tags, for what was there before
 * @out: one page's tags, poisoned, for what is restored
 *
 * The buffers are exactly one page's tags long, so that a sanitizer sees a
 * byte too many.
 */
struct mk {
	struct mteswap_store *store;
	struct mteswap_store *scratch;
	u8 *tags;
	u8 *old;
	u8 *out;
};

int mk_init(struct kunit *test);

/* Stores, swaps and pages that end with the case; on failure the case ends. */
struct mteswap_store *mk_store(struct kunit *test);
struct mteswap_swap *mk_swap(struct kunit *test, struct mteswap_store *store,
			     unsigned int type, size_t slots);
struct mteswap_page *mk_pages(struct kunit *test, size_t nr);

/* A page's tags, whatever its flags say, and without touching those. */
void mk_write_tags(struct kunit *test, const struct mteswap_page *page, const u8 *tags);
void mk_read_tags(struct kunit *test, const struct mteswap_page *page, u8 *tags);

/* Saves, or ends the case. */
void mk_save(struct kunit *test, mteswap_entry_t entry, const u8 *tags);

/*
 * Expectations on one entry of the store under test: it holds @tags; it holds
 * nothing and restoring it writes nothing.
 */
void mk_expect_record(struct kunit *test, mteswap_entry_t entry, const u8 *tags);
void mk_expect_absent(struct kunit *test, mteswap_entry_t entry);

/* A slot of @swap with @count references, cache mark or not: at least one of the two. */
mteswap_entry_t mk_take_slot(struct kunit *test, struct mteswap_swap *swap, unsigned int count,
			     bool cached);
mteswap_entry_t mk_take_shmem(struct kunit *test, struct mteswap_swap *swap, bool cached);

/* A swap with one reference and no mark in each slot, as after swap-out. */
struct mteswap_swap *mk_full_swap(struct kunit *test, unsigned int type, size_t slots);

/* Expects the mark to be set or not: found out by setting it. */
void mk_expect_cached(struct kunit *test, struct mteswap_swap *swap, mteswap_entry_t entry,
		      bool cached);

/* Kinds of page contents, from what allocators leave to what none does. */
enum mk_kind {
	MK_ONE,		/* one tag: @arg */
	MK_RUNS,	/* @arg runs, evenly long */
	MK_ALTERNATE,	/* two tags in turn, runs of @arg granules */
	MK_GRID,	/* blocks of @arg granules, each after a tag-0 header */
	MK_CHUNKS,	/* blocks of random length, each after a tag-0 header */
	MK_SPARSE,	/* @arg granules tagged, the rest 0 */
	MK_RANDOM,	/* each granule one of @arg tags */
};

struct mk_pattern {
	const char *name;
	enum mk_kind kind;
	unsigned int arg;
};

static const struct mk_pattern mk_patterns[] __maybe_unused = {
	{ "all tag 0", MK_ONE, 0 },
	{ "all tag 1", MK_ONE, 1 },
	{ "all tag 15", MK_ONE, 15 },
	{ "2 runs", MK_RUNS, 2 },
	{ "5 runs", MK_RUNS, 5 },
	{ "6 runs", MK_RUNS, 6 },
	{ "12 runs", MK_RUNS, 12 },
	{ "100 runs", MK_RUNS, 100 },
	{ "two tags, granule by granule", MK_ALTERNATE, 1 },
	{ "two tags, runs of 7", MK_ALTERNATE, 7 },
	{ "grid of 2", MK_GRID, 2 },
	{ "grid of 5", MK_GRID, 5 },
	{ "grid of 64", MK_GRID, 64 },
	{ "heap chunks", MK_CHUNKS, 0 },
	{ "one tagged granule", MK_SPARSE, 1 },
	{ "20 tagged granules", MK_SPARSE, 20 },
	{ "random, 2 tags", MK_RANDOM, 2 },
	{ "random, 16 tags", MK_RANDOM, 16 },
};

void mk_fill(u8 *tags, enum mk_kind kind, unsigned int arg, u64 seed);

/* Tags that no code makes smaller, told apart by @seed. */
static inline void mk_fill_random(u8 *tags, u64 seed)
{
	mk_fill(tags, MK_RANDOM, 16, seed);
}

/**
 * struct mk_thread - one of several that work on what a case gave them
 * @fn: its work; what it returns is left in @ret
 * @data: what @fn is called with
 * @ret: a result for the case to look at, once mk_join() is back
 * @done: internal
 *
 * A thread makes no expectations: those belong to the case's own. A case makes
 * no assertion between mk_start() and mk_join().
 */
struct mk_thread {
	int (*fn)(void *data);
	void *data;
	int ret;
	struct completion done;
};

/* False, and the case is marked as failed, where no thread can be had. */
bool mk_start(struct kunit *test, struct mk_thread *thread, int (*fn)(void *data), void *data);
void mk_join(struct mk_thread *thread);

/**
 * struct mk_host - what the library asked of its host since boot
 * @bytes: bytes it holds
 * @blocks: blocks it holds
 * @allocs: blocks it asked for, had or not
 * @warnings: faults of callers it reported
 * @last_warning: the number of the last one
 * @misused: blocks freed with another size than they were allocated with, and
 *	requests that could have slept where the caller must not
 * @leaked: words of mk_host_watch() seen in blocks given back
 */
struct mk_host {
	long bytes;
	long blocks;
	unsigned long allocs;
	unsigned long warnings;
	unsigned int last_warning;
	unsigned long misused;
	unsigned long leaked;
};

/*
 * Implemented beside the host's hooks: by kunit/shim in user space, by the
 * module that supplies them in a kernel.
 */
void mk_host_read(struct mk_host *host);
/* Lets @nr more allocations through and fails those after; all of them if negative. */
void mk_host_fail_after(long nr);
/* Looks for these 64-bit words in every block given back; none if @nr is 0. */
void mk_host_watch(const u64 *words, size_t nr);

/* How many faults of callers the host has heard of. */
unsigned long mk_warnings(void);
/* Expects one more than @before, of this kind, and counts it in there. */
void mk_expect_warning(struct kunit *test, unsigned long *before, unsigned int kind);

/**
 * struct mk_map - the tags of a real program's pages
 * @name: allocator and program
 * @records: one record of 128 bytes for each 4 KiB of memory
 * @nr: number of records
 */
struct mk_map {
	const char *name;
	const u8 *records;
	size_t nr;
};

/*
 * The maps built in, the last one followed by one without a name. Made by the
 * build, from tests/tags.
 */
const struct mk_map *mteswap_kunit_maps(void);

static inline const struct mk_map *mk_next_map(const struct mk_map *map)
{
	cond_resched();
	return map + 1;
}

/* Pages of this build's size in @map: consecutive records joined. */
static inline size_t mk_map_pages(const struct mk_map *map)
{
	return map->nr * 128 / MK_TAGS;
}

static inline const u8 *mk_map_page(const struct mk_map *map, size_t page)
{
	return map->records + page * MK_TAGS;
}

#endif
