/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef BENCH_LINUX_SLAB_H
#define BENCH_LINUX_SLAB_H

#include <linux/gfp.h>

struct kmem_cache;
struct list_lru;

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, gfp_t flags);

#endif
