/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory in powers of two of pages, and what is known of each page. */
#ifndef BENCH_PAGES_H
#define BENCH_PAGES_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define ORDERS 4u

struct object {
	struct object *next;
};

struct cache;

/* Of a slab's first page; of the others `slab` alone says anything. As struct page it lies apart. */
struct page {
	/* A line each, as in the kernel: those of two threads have none in common. */
	_Alignas(64) struct page *slab;
	struct cache *owner;
	/* Objects that were given back and are on no list of the owner's. */
	struct object *free;
	/* Of slabs with such objects, or of unused pages. */
	struct page *next, *previous;
	unsigned int list;
	unsigned int order;
	/* All its objects, and those not on `free`. */
	unsigned int objects, used;
};

extern char *pages_begin;
extern struct page *pages;

/* Has all memory in large pages, if Linux has some; before any is used. */
void pages_make_large(void);

/* Pages that were never used, zero, and aligned to what they are together. */
struct page *pages_alloc(unsigned int order);

static inline struct page *slab_of(const void *object)
{
	return pages[((uintptr_t)object - (uintptr_t)pages_begin) / PAGE_BYTES].slab;
}

static inline char *slab_begin(const struct page *slab)
{
	return pages_begin + (size_t)(slab - pages) * PAGE_BYTES;
}

#endif
