// SPDX-License-Identifier: MIT OR Apache-2.0
/* swapoff brings every page back by itself, without a fault. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define NR 600

static void stop(void)
{
	if (!swap_stop())
		fail("there was no area to switch off");
	if (records() > 0)
		fail("%ld records after swapoff", records());
}

static void with_pages_out(u64 seed)
{
	u8 *private = map_pages(NR, PROT_MTE, 0);
	u8 *shared = map_pages(NR, PROT_MTE, MAP_SHARED);

	fill_pages(private, NR, seed);
	fill_pages(shared, NR, seed + 1);
	page_out(private, NR);
	page_out_shared(shared, NR);
	stop();
	if (swapped_pages(private, NR))
		fail("%zu pages stayed in swap", swapped_pages(private, NR));
	expect_pages(private, NR, seed);
	expect_pages(shared, NR, seed + 1);
}

CHECK(swapoff_with_pages_out, ZRAM, 4096)
{
	with_pages_out(111);
}

CHECK(swapoff_with_pages_out_through_the_swap_cache, DISK, 4096)
{
	with_pages_out(113);
}

/* Processes touch the pages at the same time. */
CHECK(swapoff_while_pages_are_touched, ZRAM, 8192)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	pid_t children[4];
	int i, status = 0;

	fill_pages(base, NR, 115);
	page_out(base, NR);
	for (i = 0; i < 4; i++) {
		children[i] = spawn();
		if (!children[i]) {
			expect_pages(base, NR, 115);
			fill_pages(base, NR, 116 + i);
			expect_pages(base, NR, 116 + i);
			exit(EXIT_SUCCESS);
		}
	}
	stop();
	for (i = 0; i < 4; i++)
		status |= wait_for(children[i]);
	if (status)
		fail("a child saw other tags");
	expect_pages(base, NR, 115);
}

/* The record goes with its slot, though nobody ever read it (HOOK-10). */
CHECK(exit_with_pages_out, ZRAM, 4096)
{
	u8 *base;
	bool counted = records() >= 0;
	pid_t child = spawn();

	if (!child) {
		base = map_pages(NR, PROT_MTE, 0);
		fill_pages(base, NR, 121);
		page_out(base, NR);
		exit(EXIT_SUCCESS);
	}
	if (wait_for(child))
		fail("the child did not page out");
	base = map_pages(NR, PROT_MTE, 0);
	fill_pages(base, NR, 122);
	page_out(base, NR);
	if (counted && records() < NR)
		fail("%ld records for %d pages", records(), NR);
	if (madvise(base, NR * page_size, MADV_DONTNEED))
		fail("MADV_DONTNEED: %m");
	expect_tag(base, NR, 0);
	stop();
}
