// SPDX-License-Identifier: MIT OR Apache-2.0
#include "pages.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Of addresses: what is not touched takes no memory. */
#define ALL ((size_t)32 << 30)
#define PAGES_BYTES (ALL / PAGE_BYTES * sizeof(struct page))

char *pages_begin;
struct page *pages;

static _Atomic size_t used;

static void *reserve(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		perror("store-bench: cannot reserve addresses");
		exit(EXIT_FAILURE);
	}
	return at;
}

void pages_make_large(void)
{
	/* Advice: where Linux has none to give pages stay small. */
	(void)madvise(pages_begin, ALL, MADV_HUGEPAGE);
	(void)madvise(pages, PAGES_BYTES, MADV_HUGEPAGE);
}

__attribute__((constructor)) static void pages_reserve(void)
{
	const size_t largest = (size_t)PAGE_BYTES << (ORDERS - 1);
	uintptr_t begin = (uintptr_t)reserve(ALL + largest);

	pages_begin = (char *)((begin + largest - 1) & ~(uintptr_t)(largest - 1));
	pages = reserve(PAGES_BYTES);
}

struct page *pages_alloc(unsigned int order)
{
	const size_t bytes = (size_t)PAGE_BYTES << order;
	size_t end, at = atomic_load(&used);

	do {
		end = ((at + bytes - 1) & ~(bytes - 1)) + bytes;
		if (end > ALL) {
			fprintf(stderr, "store-bench: more than %zu GiB in use\n", ALL >> 30);
			exit(EXIT_FAILURE);
		}
	} while (!atomic_compare_exchange_weak(&used, &at, end));
	return &pages[(end - bytes) / PAGE_BYTES];
}
