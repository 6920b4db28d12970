// SPDX-License-Identifier: MIT OR Apache-2.0
/* Pages with tags and data that follow from a seed, and where they are. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PAGEMAP_SWAPPED 0x4000000000000000ull
#define ATTEMPTS 200

size_t page_size;

static u64 mix(u64 x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 32;
}

/*
 * Pages of every kind in turn, told apart by the seed: no pattern, one tag,
 * long runs, blocks behind headers of tag 0, hardly any tags.
 */
static unsigned int wanted_tag(u64 seed, size_t page, size_t granule)
{
	u64 own = mix(seed * 4096 + page);

	switch (page % 5) {
	case 0:
		return mix(own + granule) % 16;
	case 1:
		return 1 + own % 15;
	case 2:
		return 1 + (own + granule / 50) % 15;
	case 3:
		return granule % 5 ? 1 + mix(own + granule / 5) % 15 : 0;
	default:
		return granule % 97 == own % 97 ? 1 + own % 15 : 0;
	}
}

static u64 wanted_data(u64 seed, size_t page, size_t granule)
{
	return mix(seed ^ (page << 20) ^ granule);
}

u8 *map_pages(size_t nr, int prot, int flags)
{
	if (!(flags & MAP_SHARED))
		flags |= MAP_PRIVATE;
	void *base = mmap(NULL, nr * page_size, PROT_READ | PROT_WRITE | prot,
			  flags | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		fail("cannot map %zu pages: %m", nr);
	return base;
}

u8 *map_aligned(size_t nr, int prot, size_t align)
{
	uintptr_t base = (uintptr_t)map_pages(nr + align / page_size, prot, 0);

	return (u8 *)((base + align - 1) & ~(align - 1));
}

unsigned int tag_at(const u8 *granule)
{
	u64 pointer = (uintptr_t)granule;

	asm volatile("ldg %0, [%1]" : "+r" (pointer) : "r" (granule) : "memory");
	return pointer >> 56 & 0xf;
}

void set_tag(u8 *granule, unsigned int tag)
{
	u64 pointer = (uintptr_t)granule | (u64)tag << 56;

	asm volatile("stg %0, [%0]" : : "r" (pointer) : "memory");
}

u8 *tagged_pointer(u8 *granule)
{
	return (u8 *)((uintptr_t)granule | (uintptr_t)tag_at(granule) << 56);
}

void tag_pages(u8 *base, size_t nr, u64 seed)
{
	size_t page, i;

	for (page = 0; page < nr; page++)
		for (i = 0; i < page_size / GRANULE; i++)
			set_tag(base + page * page_size + i * GRANULE, wanted_tag(seed, page, i));
}

void fill_pages(u8 *base, size_t nr, u64 seed)
{
	u64 *words = (u64 *)base;
	size_t page, i;

	for (page = 0; page < nr; page++)
		for (i = 0; i < page_size / GRANULE; i++, words += 2)
			words[0] = wanted_data(seed, page, i);
	tag_pages(base, nr, seed);
}

size_t wrong_tags(const u8 *base, size_t nr, u64 seed)
{
	size_t page, i, wrong = 0;

	for (page = 0; page < nr; page++)
		for (i = 0; i < page_size / GRANULE; i++)
			wrong += tag_at(base + page * page_size + i * GRANULE) !=
				 wanted_tag(seed, page, i);
	return wrong;
}

void expect_tags(const u8 *base, size_t nr, u64 seed)
{
	size_t wrong = wrong_tags(base, nr, seed);

	if (wrong)
		fail("%zu of %zu tags are wrong", wrong, nr * page_size / GRANULE);
}

void expect_tag(const u8 *base, size_t nr, unsigned int tag)
{
	size_t i, wrong = 0;

	for (i = 0; i < nr * page_size; i += GRANULE)
		wrong += tag_at(base + i) != tag;
	if (wrong)
		fail("%zu of %zu tags are not %u", wrong, nr * page_size / GRANULE, tag);
}

void expect_pages(const u8 *base, size_t nr, u64 seed)
{
	const u64 *words = (const u64 *)base;
	size_t page, i, wrong = 0;

	for (page = 0; page < nr; page++)
		for (i = 0; i < page_size / GRANULE; i++, words += 2)
			wrong += words[0] != wanted_data(seed, page, i);
	if (wrong)
		fail("%zu of %zu words of data are wrong", wrong, nr * page_size / GRANULE);
	expect_tags(base, nr, seed);
}

size_t swapped_pages(const u8 *base, size_t nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t i, swapped = 0;
	u64 entry;

	if (fd < 0)
		fail("cannot open pagemap: %m");
	for (i = 0; i < nr; i++) {
		off_t at = ((uintptr_t)base / page_size + i) * sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			fail("cannot read pagemap: %m");
		swapped += !!(entry & PAGEMAP_SWAPPED);
	}
	close(fd);
	return swapped;
}

/* mincore() looks behind swap entries, too. */
static unsigned char *residence(const u8 *base, size_t nr)
{
	unsigned char *resident = malloc(nr);

	if (!resident || mincore((void *)base, nr * page_size, resident))
		fail("mincore: %m");
	return resident;
}

size_t resident_pages(const u8 *base, size_t nr)
{
	unsigned char *resident = residence(base, nr);
	size_t i, in_memory = 0;

	for (i = 0; i < nr; i++)
		in_memory += resident[i] & 1;
	free(resident);
	return in_memory;
}

/*
 * Pages that another CPU has in a batch for its lists stay: so more than once. @again puts
 * those that stayed where MADV_PAGEOUT finds them. What was written to a disk waits in the
 * swap cache, where MADV_PAGEOUT does not find it, until memory is reclaimed.
 */
static void page_out_until(u8 *base, size_t nr, size_t (*swapped)(const u8 *, size_t),
			   void (*again)(const u8 *, size_t))
{
	size_t out = 0, in_memory = nr;
	int i;

	for (i = 0; i < ATTEMPTS && (out < nr || in_memory); i++) {
		if (i && again)
			again(base, nr);
		/* Empties the batches of every CPU before anything else. */
		if (i)
			file_write("/proc/sys/vm/drop_caches", "1");
		if (madvise(base, nr * page_size, MADV_PAGEOUT))
			fail("MADV_PAGEOUT: %m");
		out = swapped(base, nr);
		in_memory = resident_pages(base, nr);
		if (out == nr && in_memory) {
			group_reclaim(in_memory * page_size);
			in_memory = resident_pages(base, nr);
		}
		if (out < nr || in_memory)
			usleep(1000);
	}
	if (out < nr)
		fail("%zu of %zu pages are in swap", out, nr);
	if (in_memory)
		fail("%zu of %zu pages are in the swap cache", in_memory, nr);
}

void page_out(u8 *base, size_t nr)
{
	page_out_until(base, nr, swapped_pages, NULL);
}

/* From the mapping's entry in smaps, which counts what the file has in swap. */
static size_t swapped_shared(const u8 *base, size_t nr)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long start = 0, end, kib;
	bool ours = false;
	char line[512];

	(void)nr;
	if (!smaps)
		fail("cannot open smaps: %m");
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			ours = start == (uintptr_t)base;
		} else if (ours && sscanf(line, "Swap: %lu kB", &kib) == 1) {
			fclose(smaps);
			return kib * 1024 / page_size;
		}
	}
	fail("smaps has no mapping at %p", base);
}

/* MADV_PAGEOUT walks the page table; a page that it unmapped and kept is not in there. */
static void map_resident(const u8 *base, size_t nr)
{
	unsigned char *resident = residence(base, nr);
	size_t i;

	for (i = 0; i < nr; i++)
		if (resident[i] & 1)
			read_byte(base + i * page_size);
	free(resident);
}

void page_out_shared(u8 *base, size_t nr)
{
	page_out_until(base, nr, swapped_shared, map_resident);
}
