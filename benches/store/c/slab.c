// SPDX-License-Identifier: MIT OR Apache-2.0
#include "slab.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (256u << 10)
#define LISTS (SLAB_MAX / 8 + 1)

struct object {
	struct object *next;
};

/* A processor that threads are not kept to. */
#define NONE UINT_MAX

/* What one thread has free, and what it has handed out less what it took back. */
struct cache {
	struct object *free[LISTS];
	_Atomic long live;
	unsigned int processor;
	struct cache *next;
};

static _Atomic(struct cache *) caches;
static __thread struct cache *mine;

static struct cache *cache_create(unsigned int processor)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		abort();
	cache->processor = processor;
	cache->next = atomic_load(&caches);
	while (!atomic_compare_exchange_weak(&caches, &cache->next, cache))
		;
	return mine = cache;
}

static inline struct cache *cache_get(void)
{
	return __builtin_expect(!!mine, 1) ? mine : cache_create(NONE);
}

void slab_use_processor(unsigned int processor)
{
	for (mine = atomic_load(&caches); mine; mine = mine->next)
		if (mine->processor == processor)
			return;
	cache_create(processor);
}

/* One writer; read by others only when it is quiet. */
static inline void account(struct cache *cache, long bytes)
{
	atomic_store_explicit(&cache->live,
		atomic_load_explicit(&cache->live, memory_order_relaxed) + bytes,
		memory_order_relaxed);
}

/*
 * Cuts fresh memory into a free list in address order. An object is as aligned
 * as its size is, which is a multiple of the alignment asked for.
 */
static struct object *refill(size_t size, void (*construct)(void *))
{
	size_t step = (size + 7) & ~(size_t)7;
	char *chunk = aligned_alloc(CHUNK, CHUNK);
	struct object *list = NULL;

	if (!chunk)
		abort();
	memset(chunk, 0, CHUNK);
	for (size_t at = CHUNK / step; at-- > 0;) {
		struct object *object = (void *)(chunk + at * step);

		if (construct)
			construct(object);
		object->next = list;
		list = object;
	}
	return list;
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
	return take(cache_get(), list, refill(size, construct), size);
}

static inline void *pop(unsigned int list, size_t size, void (*construct)(void *))
{
	struct object *object = mine ? mine->free[list] : NULL;

	if (__builtin_expect(!object, 0))
		return pop_refilled(list, size, construct);
	return take(mine, list, object, size);
}

static inline void give(struct cache *cache, unsigned int list, void *at, size_t size)
{
	struct object *object = at;

	object->next = cache->free[list];
	cache->free[list] = object;
	account(cache, -(long)size);
}

SELDOM static void push_first(unsigned int list, void *at, size_t size)
{
	give(cache_create(NONE), list, at, size);
}

static inline void push(unsigned int list, void *at, size_t size)
{
	if (__builtin_expect(!mine, 0))
		push_first(list, at, size);
	else
		give(mine, list, at, size);
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
