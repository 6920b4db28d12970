// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * K: Linux's own xarray with kmalloc(128), called as arch/arm64/mm/mteswap.c
 * calls them. The xarray's source is compiled from a kernel tree; here is only
 * what the kernel would give it, and its caller.
 */
#include <stdint.h>
#include <string.h>

/* The build passes the tree's root as a search path. */
#include <lib/xarray.c>

#include "slab.h"

#define TAG_BYTES 128

struct kmem_cache *radix_tree_node_cachep;
__thread struct rcu_head *rcu_pending;

static void node_construct(void *at)
{
	struct xa_node *node = at;

	INIT_LIST_HEAD(&node->private_list);
}

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, gfp_t flags)
{
	return slab_node_alloc(sizeof(struct xa_node), node_construct);
}

/* A node is given back as it was constructed. */
void radix_tree_node_rcu_free(struct rcu_head *head)
{
	struct xa_node *node = container_of(head, struct xa_node, rcu_head);

	memset(node->slots, 0, sizeof(node->slots));
	memset(node->marks, 0, sizeof(node->marks));
	node_construct(node);
	slab_node_free(node, sizeof(*node));
}

static DEFINE_XARRAY(pages);

int kernel_save(uint64_t entry, const void *tags)
{
	void *storage = slab_alloc(TAG_BYTES, 8), *old;

	memcpy(storage, tags, TAG_BYTES);
	old = xa_store(&pages, entry, storage, GFP_KERNEL);
	if (xa_is_err(old)) {
		slab_free(storage, TAG_BYTES);
		return xa_err(old);
	}
	if (old)
		slab_free(old, TAG_BYTES);
	return 0;
}

bool kernel_restore(uint64_t entry, void *tags)
{
	const void *storage = xa_load(&pages, entry);

	if (!storage)
		return false;
	memcpy(tags, storage, TAG_BYTES);
	return true;
}

void kernel_invalidate(uint64_t entry)
{
	void *storage = xa_erase(&pages, entry);

	if (storage)
		slab_free(storage, TAG_BYTES);
	rcu_run();
}

void kernel_invalidate_area(uint64_t first, uint64_t last)
{
	void *storage;
	XA_STATE(xas, &pages, first);

	xa_lock(&pages);
	xas_for_each(&xas, storage, last) {
		__xa_erase(&pages, xas.xa_index);
		slab_free(storage, TAG_BYTES);
	}
	xa_unlock(&pages);
	rcu_run();
}
