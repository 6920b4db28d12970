// SPDX-License-Identifier: MIT OR Apache-2.0
#include "slab.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

#define LISTS (SLAB_MAX / 8 + 1)

/* What SLUB wants of objects in a slab where there are two processors. */
#define OBJECTS_MIN 12

/* A processor that threads are not kept to. */
#define NONE UINT_MAX

/* A list's slabs: the one that its objects come from, and those that have objects to spare. */
struct slabs {
	struct page *active;
	struct page *first, *last;
};

/* What one thread has free, and what it has handed out less what it took back. */
struct cache {
	struct object *free[LISTS];
	_Atomic long live;
	unsigned int processor;
	struct cache *next;
	struct slabs slabs[LISTS];
	struct page *unused[ORDERS];
	/* Objects of this cache's slabs that others have given back. */
	_Atomic(struct object *) from_others;
};

static bool by_slab = true;

void slab_keep_order_of_frees(void)
{
	by_slab = false;
}

static _Atomic(struct cache *) caches;
static __thread struct cache *mine;
/* The same, or none where objects go back to their slabs. */
static __thread struct cache *in_turn;

static struct cache *cache_use(struct cache *cache)
{
	in_turn = by_slab ? NULL : cache;
	return mine = cache;
}

static struct cache *cache_create(unsigned int processor)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		abort();
	cache->processor = processor;
	cache->next = atomic_load(&caches);
	while (!atomic_compare_exchange_weak(&caches, &cache->next, cache))
		;
	return cache_use(cache);
}

static inline struct cache *cache_get(void)
{
	return __builtin_expect(!!mine, 1) ? mine : cache_create(NONE);
}

void slab_use_processor(unsigned int processor)
{
	for (struct cache *cache = atomic_load(&caches); cache; cache = cache->next)
		if (cache->processor == processor) {
			cache_use(cache);
			return;
		}
	cache_create(processor);
}

/* One writer; read by others only when it is quiet. */
static inline void account(struct cache *cache, long bytes)
{
	atomic_store_explicit(&cache->live,
		atomic_load_explicit(&cache->live, memory_order_relaxed) + bytes,
		memory_order_relaxed);
}

static size_t bytes_of(unsigned int list, size_t size)
{
	return list == SLAB_NODES ? (size + 7) & ~(size_t)7 : list * 8;
}

/* As SLUB begins: the smallest slab of so many objects, of eight pages at most. */
static unsigned int order_of(size_t bytes)
{
	unsigned int order = 0;

	while (order + 1 < ORDERS && (PAGE_BYTES << order) < OBJECTS_MIN * bytes)
		order++;
	return order;
}

/*
 * Cuts a slab into a free list in address order. An object is as aligned as its size is,
 * which is a multiple of the alignment asked for.
 */
static struct object *cut(struct cache *cache, unsigned int list, size_t size,
			  void (*construct)(void *))
{
	size_t step = bytes_of(list, size);
	unsigned int order = order_of(step);
	size_t objects = (PAGE_BYTES << order) / step;
	struct page *slab = cache->unused[order];
	struct object *free = NULL;

	if (slab)
		cache->unused[order] = slab->next;
	else
		slab = pages_alloc(order);
	for (unsigned int page = 0; page < 1u << order; page++)
		slab[page].slab = slab;
	*slab = (struct page) {
		.slab = slab, .owner = cache, .list = list, .order = order,
		.objects = objects, .used = objects,
	};
	if (construct)
		memset(slab_begin(slab), 0, PAGE_BYTES << order);
	for (size_t at = objects; at-- > 0;) {
		struct object *object = (void *)(slab_begin(slab) + at * step);

		if (construct)
			construct(object);
		object->next = free;
		free = object;
	}
	cache->slabs[list].active = slab;
	return free;
}

static void link_last(struct slabs *slabs, struct page *slab)
{
	slab->next = NULL;
	slab->previous = slabs->last;
	if (slabs->last)
		slabs->last->next = slab;
	else
		slabs->first = slab;
	slabs->last = slab;
}

static void unlink(struct slabs *slabs, struct page *slab)
{
	if (slab->previous)
		slab->previous->next = slab->next;
	else
		slabs->first = slab->next;
	if (slab->next)
		slab->next->previous = slab->previous;
	else
		slabs->last = slab->previous;
}

/* To the slab that it is from; one that is whole again may be cut into objects of another size. */
static void give_to_slab(struct cache *cache, struct page *slab, struct object *object)
{
	struct slabs *slabs = &cache->slabs[slab->list];

	if (slab == slabs->active) {
		object->next = cache->free[slab->list];
		cache->free[slab->list] = object;
		return;
	}
	object->next = slab->free;
	slab->free = object;
	slab->used--;
	if (!object->next)
		link_last(slabs, slab);
	if (!slab->used) {
		unlink(slabs, slab);
		slab->next = cache->unused[slab->order];
		cache->unused[slab->order] = slab;
	}
}

static void take_back(struct cache *cache)
{
	struct object *object = atomic_exchange(&cache->from_others, NULL);

	while (object) {
		struct object *next = object->next;

		give_to_slab(cache, slab_of(object), object);
		object = next;
	}
}

static void give_to_other(struct cache *owner, struct object *object)
{
	object->next = atomic_load(&owner->from_others);
	while (!atomic_compare_exchange_weak(&owner->from_others, &object->next, object))
		;
}

/* Objects of another slab, once the active one has none left. */
static struct object *refill(struct cache *cache, unsigned int list, size_t size,
			     void (*construct)(void *))
{
	struct slabs *slabs = &cache->slabs[list];
	struct page *slab;
	struct object *free;

	if (!slabs->first)
		take_back(cache);
	/* They may have been of the active one. */
	if (cache->free[list])
		return cache->free[list];
	slab = slabs->first;
	if (!slab)
		return cut(cache, list, size, construct);
	unlink(slabs, slab);
	free = slab->free;
	slab->free = NULL;
	slab->used = slab->objects;
	slabs->active = slab;
	return free;
}

/* What a thread seldom does is apart, so that the rest needs no stack. */
#define SELDOM __attribute__((noinline, cold))

static inline void *take(struct cache *cache, unsigned int list, struct object *object, size_t size)
{
	cache->free[list] = object->next;
	/* As SLUB does: where the next one leads to is read when it is taken. */
	__builtin_prefetch(object->next, 1);
	account(cache, (long)size);
	return object;
}

SELDOM static void *pop_refilled(unsigned int list, size_t size, void (*construct)(void *))
{
	struct cache *cache = cache_get();

	return take(cache, list, refill(cache, list, size, construct), size);
}

static inline void *pop(unsigned int list, size_t size, void (*construct)(void *))
{
	struct object *object = mine ? mine->free[list] : NULL;

	if (__builtin_expect(!object, 0))
		return pop_refilled(list, size, construct);
	return take(mine, list, object, size);
}

static void give_by_slab(struct object *object, size_t size)
{
	struct page *slab = slab_of(object);
	struct cache *cache = cache_get();

	account(cache, -(long)size);
	if (slab->owner == cache)
		give_to_slab(cache, slab, object);
	else
		give_to_other(slab->owner, object);
}

static inline void push(unsigned int list, void *at, size_t size)
{
	struct object *object = at;

	if (!in_turn) {
		give_by_slab(object, size);
		return;
	}
	object->next = in_turn->free[list];
	in_turn->free[list] = object;
	account(in_turn, -(long)size);
}

SELDOM static void *alloc_large(size_t size, size_t align)
{
	account(cache_get(), (long)size);
	return aligned_alloc(align, (size + align - 1) & ~(align - 1));
}

SELDOM static void free_large(void *object, size_t size)
{
	account(cache_get(), -(long)size);
	free(object);
}

void *slab_alloc(size_t size, size_t align)
{
	if (__builtin_expect(size > SLAB_MAX, 0))
		return alloc_large(size, align);
	return pop((size + 7) / 8, size, NULL);
}

void slab_free(void *object, size_t size)
{
	if (__builtin_expect(size > SLAB_MAX, 0))
		free_large(object, size);
	else
		push((size + 7) / 8, object, size);
}

void *slab_node_alloc(size_t size, void (*construct)(void *))
{
	struct object *object = pop(SLAB_NODES, size, construct);

	object->next = NULL;
	return object;
}

void slab_node_free(void *object, size_t size)
{
	push(SLAB_NODES, object, size);
}

long slab_live(void)
{
	long live = 0;

	for (struct cache *cache = atomic_load(&caches); cache; cache = cache->next)
		live += atomic_load(&cache->live);
	return live;
}
