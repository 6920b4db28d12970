/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_SLAB_H
#define MTESWAP_SHIM_LINUX_SLAB_H

#include <stdlib.h>

#include <linux/gfp.h>
#include <linux/types.h>

static inline void *kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	/* calloc for its overflow check; it zeroes more than is asked for. */
	(void)gfp;
	return calloc(n, size);
}

static inline void *kmalloc(size_t size, gfp_t gfp)
{
	return kmalloc_array(1, size, gfp);
}

static inline void *kzalloc(size_t size, gfp_t gfp)
{
	return kmalloc_array(1, size, gfp);
}

static inline void *kcalloc(size_t n, size_t size, gfp_t gfp)
{
	return kmalloc_array(n, size, gfp);
}

static inline void kfree(const void *ptr)
{
	free((void *)ptr);
}

#endif
