// SPDX-License-Identifier: MIT OR Apache-2.0
/* Suspend to disk: the machine is off, and what wakes up has every tag. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "guest.h"

#define NR 1000
#define DISK_TO_WAKE_FROM "/dev/vda"
#define DISK_SLOTS 65536

/* Tags of pages in memory go through mte_allocate_tag_storage(), others' are in the store. */
CHECK(hibernation, ZRAM, 4096)
{
	u8 *in_memory = map_pages(NR, PROT_MTE, 0);
	u8 *in_swap = map_pages(NR, PROT_MTE, 0);
	size_t wrong;

	if (!file_exists(DISK_TO_WAKE_FROM))
		skip("no disk to wake up from");
	fill_pages(in_swap, NR, 171);
	page_out(in_swap, NR);
	fill_pages(in_memory, NR, 172);
	make_swap(DISK_TO_WAKE_FROM, DISK_SLOTS);
	if (swapon(DISK_TO_WAKE_FROM, 0))
		fail("cannot swap to " DISK_TO_WAKE_FROM ": %m");
	say("%zu pages in memory, %zu in swap; off", resident_pages(in_memory, NR),
	    swapped_pages(in_swap, NR));
	file_write("/sys/power/disk", "shutdown");
	file_write("/sys/power/state", "disk");
	if (swapoff(DISK_TO_WAKE_FROM))
		fail("cannot switch " DISK_TO_WAKE_FROM " off: %m");
	wrong = wrong_tags(in_memory, NR, 172);
	say("awake: %zu tags wrong in memory, %zu in swap", wrong, wrong_tags(in_swap, NR, 171));
	expect_pages(in_memory, NR, 172);
	expect_pages(in_swap, NR, 171);
}
