// SPDX-License-Identifier: MIT OR Apache-2.0
/* Private memory: of one process, of a process and its child, of several at once. */
#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"

#define NR 1000

CHECK(private_pages, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);

	fill_pages(base, NR, 1);
	page_out(base, NR);
	expect_pages(base, NR, 1);
	/* Unchanged, they go without being written again. */
	page_out(base, NR);
	expect_pages(base, NR, 1);
}

CHECK(private_pages_through_the_swap_cache, DISK, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);

	fill_pages(base, NR, 2);
	page_out(base, NR);
	expect_pages(base, NR, 2);
	page_out(base, NR);
	expect_pages(base, NR, 2);
}

/* Other tags over the same data: a store of a tag is a store. */
CHECK(tags_changed_between_swaps, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	u64 seed;

	fill_pages(base, NR, 3);
	for (seed = 4; seed < 8; seed++) {
		page_out(base, NR);
		tag_pages(base, NR, seed);
		page_out(base, NR);
		expect_tags(base, NR, seed);
	}
}

/* Zero-filled pages never reach the device. */
CHECK(zero_filled_pages, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);

	tag_pages(base, NR, 8);
	page_out(base, NR);
	expect_tags(base, NR, 8);
	page_out(base, NR);
	tag_pages(base, NR, 9);
	page_out(base, NR);
	expect_tags(base, NR, 9);
}

/* What was written is written, in one granule or in one word. */
CHECK(writes_after_swap, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	size_t page;

	fill_pages(base, NR, 10);
	page_out(base, NR);
	for (page = 0; page < NR; page++)
		base[page * page_size + GRANULE / 2] = 0x5a;
	page_out(base, NR);
	expect_pages(base, NR, 10);
	for (page = 0; page < NR; page++) {
		if (base[page * page_size + GRANULE / 2] != 0x5a)
			fail("page %zu lost what was written to it", page);
		set_tag(base + page * page_size, 7);
	}
	page_out(base, NR);
	for (page = 0; page < NR; page++)
		if (tag_at(base + page * page_size) != 7)
			fail("page %zu lost its tag", page);
}

/* Parent and child hold the same slots; whoever writes gets a copy. */
CHECK(fork_while_swapped, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	pid_t child;

	fill_pages(base, NR, 11);
	page_out(base, NR);
	child = spawn();
	if (!child) {
		expect_pages(base, NR, 11);
		fill_pages(base, NR, 12);
		expect_pages(base, NR, 12);
		exit(EXIT_SUCCESS);
	}
	if (wait_for(child))
		fail("the child saw other tags");
	expect_pages(base, NR, 11);
}

CHECK(fork_while_swapped_through_the_swap_cache, DISK, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	pid_t child;

	fill_pages(base, NR, 13);
	page_out(base, NR);
	child = spawn();
	if (!child) {
		expect_pages(base, NR, 13);
		fill_pages(base, NR, 14);
		exit(EXIT_SUCCESS);
	}
	/* Both at once, and each its own at the end. */
	expect_pages(base, NR, 13);
	fill_pages(base, NR, 15);
	if (wait_for(child))
		fail("the child saw other tags");
	page_out(base, NR);
	expect_pages(base, NR, 15);
}

/* The copies that a write makes are swapped like other pages. */
CHECK(copy_on_write_then_swap, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	size_t page;
	pid_t child;

	fill_pages(base, NR, 16);
	child = spawn();
	if (!child) {
		/* Data alone: the tags are to be copied with it. */
		for (page = 0; page < NR; page++)
			base[page * page_size + GRANULE / 2] = 1;
		page_out(base, NR);
		expect_pages(base, NR, 16);
		tag_pages(base, NR, 17);
		page_out(base, NR);
		expect_tags(base, NR, 17);
		exit(EXIT_SUCCESS);
	}
	if (wait_for(child))
		fail("the child saw other tags");
	expect_pages(base, NR, 16);
	page_out(base, NR);
	expect_pages(base, NR, 16);
}

#define PROCESSES 8
#define ROUNDS 5

CHECK(several_processes_at_once, ZRAM, 8192)
{
	size_t nr = NR / 4;
	pid_t children[PROCESSES];
	unsigned int i, round;
	u8 *base;
	int status = 0;

	for (i = 0; i < PROCESSES; i++) {
		children[i] = spawn();
		if (children[i])
			continue;
		base = map_pages(nr, PROT_MTE, 0);
		for (round = 0; round < ROUNDS; round++) {
			fill_pages(base, nr, 100 * i + round);
			page_out(base, nr);
			expect_pages(base, nr, 100 * i + round);
		}
		/* The last ones go with the process. */
		page_out(base, nr);
		exit(EXIT_SUCCESS);
	}
	for (i = 0; i < PROCESSES; i++)
		status |= wait_for(children[i]);
	if (status)
		fail("not every process got its tags back");
}

CHECK(statistics_follow_the_slots, ZRAM, 4096)
{
	u8 *tagged, *plain;
	long before;

	if (records() < 0)
		skip("no statistics in this kernel");
	before = records();
	tagged = map_pages(NR, PROT_MTE, 0);
	plain = map_pages(NR, 0, 0);
	fill_pages(tagged, NR, 18);
	write_byte(plain, 1);
	page_out(plain, 1);
	page_out(tagged, NR);
	if (records() != before + NR)
		fail("%ld records for %d tagged pages", records() - before, NR);
	expect_pages(tagged, NR, 18);
	expect_tag(plain, 0, 0);
}
