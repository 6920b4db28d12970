// SPDX-License-Identifier: MIT OR Apache-2.0
/* Shared memory: its pages have no mapping while they are swapped. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define NR 800

static void swap_and_share(u64 seed)
{
	u8 *base = map_pages(NR, PROT_MTE, MAP_SHARED);
	pid_t child;

	fill_pages(base, NR, seed);
	page_out_shared(base, NR);
	child = spawn();
	if (!child) {
		expect_pages(base, NR, seed);
		fill_pages(base, NR, seed + 1);
		page_out_shared(base, NR);
		exit(EXIT_SUCCESS);
	}
	if (wait_for(child))
		fail("the child saw other tags");
	expect_pages(base, NR, seed + 1);
	page_out_shared(base, NR);
	expect_pages(base, NR, seed + 1);
}

CHECK(shared_pages, ZRAM, 4096)
{
	swap_and_share(21);
}

CHECK(shared_pages_through_the_swap_cache, DISK, 4096)
{
	swap_and_share(23);
}

/* A mapping without PROT_MTE brings the page in; its tags are another's (HOOK-2). */
CHECK(shared_pages_brought_in_untagged, ZRAM, 4096)
{
	int fd = memfd_create("mteswap", MFD_CLOEXEC);
	u8 *plain, *tagged;
	size_t i;

	if (fd < 0 || ftruncate(fd, NR * page_size))
		fail("no memory to share: %m");
	plain = mmap(NULL, NR * page_size, PROT_READ, MAP_SHARED, fd, 0);
	tagged = mmap(NULL, NR * page_size, PROT_READ | PROT_WRITE | PROT_MTE, MAP_SHARED, fd, 0);
	if (plain == MAP_FAILED || tagged == MAP_FAILED)
		fail("cannot map shared memory: %m");
	fill_pages(tagged, NR, 25);
	page_out_shared(tagged, NR);
	for (i = 0; i < NR; i++)
		read_byte(plain + i * page_size);
	expect_pages(tagged, NR, 25);
}
