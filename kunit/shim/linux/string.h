/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_STRING_H
#define MTESWAP_SHIM_LINUX_STRING_H

#include <string.h>
#include <linux/types.h>

/* The first of @size bytes that is not @value, or NULL. */
static inline void *memchr_inv(const void *start, int value, size_t size)
{
	const unsigned char *byte = start;

	for (; size; size--, byte++)
		if (*byte != (unsigned char)value)
			return (void *)byte;
	return NULL;
}

/* memset() of memory that is about to go; the compiler may not leave it out. */
static inline void memzero_explicit(void *start, size_t size)
{
	memset(start, 0, size);
	asm volatile("" : : "r" (start) : "memory");
}

#endif
