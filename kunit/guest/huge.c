// SPDX-License-Identifier: MIT OR Apache-2.0
/* Large folios: one save for all of their pages, and restores page by page. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

#define SETTINGS "/sys/kernel/mm/transparent_hugepage"

static long count(size_t kib, const char *what)
{
	char path[128];
	FILE *file;
	long nr;

	snprintf(path, sizeof(path), SETTINGS "/hugepages-%zukB/stats/%s", kib, what);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%ld", &nr) != 1)
		skip("no large folios of %zu KiB here", kib);
	fclose(file);
	return nr;
}

/* Memory in folios of @kib KiB, or the check ends. */
static u8 *map_folios(size_t nr, size_t kib, u64 seed)
{
	long before = count(kib, "anon_fault_alloc");
	size_t pages = nr * kib * 1024 / page_size;
	char path[128];
	u8 *base;

	/* With pages of 16 KiB a huge one takes 32 MiB in one piece: what is in between goes. */
	file_write("/proc/sys/vm/drop_caches", "3");
	file_write("/proc/sys/vm/compact_memory", "1");
	snprintf(path, sizeof(path), SETTINGS "/hugepages-%zukB/enabled", kib);
	file_write(path, "madvise");
	base = map_aligned(pages, PROT_MTE, kib * 1024);
	if (madvise(base, nr * kib * 1024, MADV_HUGEPAGE))
		fail("no large folios: %m");
	fill_pages(base, pages, seed);
	file_write(path, "never");
	if (count(kib, "anon_fault_alloc") < before + (long)nr)
		fail("%ld folios of %zu KiB instead of %zu",
		     count(kib, "anon_fault_alloc") - before, kib, nr);
	return base;
}

/* arm64 has THP_SWAP with pages of 4 KiB alone; with others it splits each folio first. */
static bool folios_go_whole(void)
{
	return page_size == 4096;
}

/* Swapped whole, where the kernel can: at least one folio went without being split. */
static void swap_whole(size_t nr, size_t kib, u64 seed)
{
	size_t pages = nr * kib * 1024 / page_size;
	u8 *base = map_folios(nr, kib, seed);
	long whole = count(kib, "swpout");

	page_out(base, pages);
	whole = count(kib, "swpout") - whole;
	say("%ld of %zu folios of %zu KiB went whole", whole, nr, kib);
	if (!whole && folios_go_whole())
		fail("every folio was split before it went");
	if (whole && !folios_go_whole())
		fail("folios went whole without THP_SWAP");
	expect_pages(base, pages, seed);
	page_out(base, pages);
	fill_pages(base, pages, seed + 1);
	page_out(base, pages);
	expect_pages(base, pages, seed + 1);
}

static size_t pmd_kib(void)
{
	return page_size / 8 * page_size / 1024;
}

CHECK(huge_pages, ZRAM, 16384)
{
	swap_whole(4 * 2048 / pmd_kib() ? : 1, pmd_kib(), 31);
}

CHECK(huge_pages_through_the_swap_cache, DISK, 16384)
{
	swap_whole(4 * 2048 / pmd_kib() ? : 1, pmd_kib(), 33);
}

CHECK(large_folios_of_64_kib, ZRAM, 4096)
{
	swap_whole(32, 64, 35);
}

CHECK(large_folios_of_64_kib_through_the_swap_cache, DISK, 4096)
{
	swap_whole(32, 64, 37);
}

/* Half of a folio goes, so it is split: each page keeps its tags. */
CHECK(huge_pages_split, ZRAM, 16384)
{
	size_t pages = pmd_kib() * 1024 / page_size;
	u8 *base = map_folios(1, pmd_kib(), 39);

	page_out(base + pages / 4 * page_size, pages / 2);
	expect_pages(base, pages, 39);
	page_out(base, pages);
	expect_pages(base, pages, 39);
}

/* Refault of single pages of a swapped folio, last first, between other swap-outs. */
CHECK(large_folios_refault_backwards, ZRAM, 4096)
{
	size_t pages = 32 * 65536 / page_size;
	u8 *base = map_folios(32, 64, 41);
	size_t i;

	page_out(base, pages);
	for (i = pages; i--; )
		if (tag_at(base + i * page_size) > 15 || i % 7 == 0)
			page_out(base + i * page_size, 1);
	expect_pages(base, pages, 41);
}
