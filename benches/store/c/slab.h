/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The allocator under both sides: free lists of exact sizes, one set a thread or,
 * where threads come and go, a processor.
 *
 * It takes the place of SLUB with its per-CPU free lists, and is faster: an
 * allocation is one pop, and no size is rounded up beyond 8 bytes. As there, objects
 * are cut out of slabs and go back to the one they are from, and a slab that is whole
 * again may be used for another size. What another thread frees goes to the set it is from,
 * which takes it back when it has nothing else: a thread that is gone does not.
 */
#ifndef BENCH_SLAB_H
#define BENCH_SLAB_H

#include <stddef.h>

/* Sizes above this are asked of the C library. */
#define SLAB_MAX 8192u

/* Objects of this list stay constructed while their slab is one of it: nobody may look at one that was freed. */
#define SLAB_NODES 0u

/*
 * To be called first, if at all: what is given back is handed out again in turn, whatever slab it
 * is of, so that giving back is one push.
 */
void slab_keep_order_of_frees(void);

/* `size` is a multiple of `align`, a power of two. */
void *slab_alloc(size_t size, size_t align);
void slab_free(void *object, size_t size);

void *slab_node_alloc(size_t size, void (*construct)(void *));
void slab_node_free(void *object, size_t size);

/*
 * Gives this thread the set of a processor that it is kept to: what the thread before it there
 * has freed. No other thread may use it at the time.
 */
void slab_use_processor(unsigned int processor);

/* Bytes handed out and not given back, by all threads. */
long slab_live(void);

#endif
