// SPDX-License-Identifier: MIT OR Apache-2.0
/* PROT_MTE that comes while pages are in swap. */
#include <sys/mman.h>

#include "guest.h"

#define NR 500

static void protect(u8 *base, size_t nr, int prot)
{
	if (mprotect(base, nr * page_size, prot))
		fail("mprotect: %m");
}

/* Such pages have clear tags, then those that are given to them. */
CHECK(mprotect_after_swap, ZRAM, 4096)
{
	u8 *base = map_pages(NR, 0, 0);
	size_t i;

	for (i = 0; i < NR; i++)
		base[i * page_size] = i;
	page_out(base, NR);
	protect(base, NR, PROT_READ | PROT_WRITE | PROT_MTE);
	expect_tag(base, NR, 0);
	for (i = 0; i < NR; i++)
		if (base[i * page_size] != (u8)i)
			fail("page %zu lost its data", i);
	fill_pages(base, NR, 71);
	page_out(base, NR);
	expect_pages(base, NR, 71);
}

/* The slots of tagged pages go to untagged ones and back: no tag comes along. */
CHECK(no_tags_of_a_slots_last_owner, ZRAM, 600)
{
	u8 *tagged = map_pages(NR, PROT_MTE, 0);
	u8 *plain = map_pages(NR, 0, 0);
	unsigned int round;
	size_t i;

	for (round = 0; round < 4; round++) {
		fill_pages(tagged, NR, 72 + round);
		page_out(tagged, NR);
		expect_pages(tagged, NR, 72 + round);
		/* Written, they give their slots back. */
		fill_pages(tagged, NR, 80 + round);
		for (i = 0; i < NR; i++)
			plain[i * page_size] = i;
		page_out(plain, NR);
		if (madvise(tagged, NR * page_size, MADV_DONTNEED))
			fail("MADV_DONTNEED: %m");
		protect(plain, NR, PROT_READ | PROT_WRITE | PROT_MTE);
		expect_tag(plain, NR, 0);
		if (munmap(plain, NR * page_size))
			fail("munmap: %m");
		plain = map_pages(NR, 0, 0);
	}
}

/* No access at all meanwhile, and none of the tags is lost. */
CHECK(prot_none_while_swapped, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);

	fill_pages(base, NR, 90);
	page_out(base, NR);
	protect(base, NR, PROT_NONE);
	protect(base, NR, PROT_READ | PROT_WRITE);
	expect_pages(base, NR, 90);
}
