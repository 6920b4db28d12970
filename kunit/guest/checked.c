// SPDX-License-Identifier: MIT OR Apache-2.0
/* As allocators meet it: accesses are checked, one with the wrong tag is a signal. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "guest.h"

#define NR 500
#define ROUNDS 4

static void check_accesses(void)
{
	if (prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC, 0, 0, 0))
		fail("accesses cannot be checked: %m");
}

/* Pointers that were good before a swap are good after it. */
CHECK(checked_accesses_after_swap, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	size_t nr = NR * page_size / GRANULE;
	u8 **pointers = calloc(nr, sizeof(*pointers));
	unsigned int round;
	size_t i;

	if (!pointers)
		fail("no memory");
	fill_pages(base, NR, 61);
	for (i = 0; i < nr; i++)
		pointers[i] = tagged_pointer(base + i * GRANULE);
	check_accesses();
	for (round = 1; round <= ROUNDS; round++) {
		page_out(base, NR);
		for (i = 0; i < nr; i++)
			write_byte(pointers[i] + GRANULE / 2, round);
	}
	for (i = 0; i < nr; i++)
		if (pointers[i][GRANULE / 2] != ROUNDS)
			fail("granule %zu was written %u times, not %d", i,
			     pointers[i][GRANULE / 2], ROUNDS);
}

/* And bad ones bad: without this the one above would show nothing. */
CHECK(wrong_tags_fault_after_swap, ZRAM, 4096)
{
	u8 *base = map_pages(1, PROT_MTE, 0);
	pid_t child;
	int status;

	fill_pages(base, 1, 62);
	/* The wrong one is what a page without its tags would have. */
	set_tag(base, 1);
	page_out(base, 1);
	child = spawn();
	if (!child) {
		check_accesses();
		write_byte(base, 1);
		exit(EXIT_SUCCESS);
	}
	status = wait_for(child);
	if (status != 128 + SIGSEGV)
		fail("an access with a wrong tag ended with %d, not with SIGSEGV", status);
}
