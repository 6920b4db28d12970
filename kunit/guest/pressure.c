// SPDX-License-Identifier: MIT OR Apache-2.0
/* Memory and swap run out. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define NR 2000
#define EATERS 2

/* Takes tagged memory, page after page, few of them full of tags, until the kernel ends it. */
static void __noreturn eat(u64 seed)
{
	u8 *page;

	file_write("/proc/self/oom_score_adj", "1000");
	for (;; seed++) {
		page = mmap(NULL, page_size, PROT_READ | PROT_WRITE | PROT_MTE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED)
			exit(EXIT_FAILURE);
		fill_pages(page, seed % 16 == 0, seed);
		set_tag(page, 1 + seed % 15);
	}
}

/* Until allocations fail; those who live on have all their tags. */
CHECK(memory_runs_out, ZRAM, 8192)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	long written = events("pswpout");
	pid_t eaters[EATERS];
	int i, killed = 0;

	file_write("/proc/self/oom_score_adj", "-1000");
	fill_pages(base, NR, 131);
	for (i = 0; i < EATERS; i++) {
		eaters[i] = spawn();
		if (!eaters[i])
			eat(1000000 * i);
	}
	for (i = 0; i < EATERS; i++)
		killed += wait_for(eaters[i]) == 128 + SIGKILL;
	if (killed != EATERS)
		fail("%d of %d processes were ended for want of memory", killed, EATERS);
	if (events("pswpout") == written)
		fail("nothing was swapped");
	say("%ld pages swapped, %zu of %d of ours still out", events("pswpout") - written,
	    swapped_pages(base, NR), NR);
	expect_pages(base, NR, 131);
	page_out(base, NR);
	expect_pages(base, NR, 131);
}

#define FAILSLAB "/sys/kernel/debug/failslab/"

/* Half of what swap-out allocates cannot be had: pages stay, or go with all their tags. */
CHECK(allocations_fail_at_swap_out, ZRAM, 4096)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	long written;
	int fd;

	if (!file_exists(FAILSLAB))
		skip("no failslab in this kernel");
	fill_pages(base, NR, 132);
	file_write(FAILSLAB "task-filter", "Y");
	file_write(FAILSLAB "ignore-gfp-wait", "N");
	file_write(FAILSLAB "cache-filter", "N");
	file_write(FAILSLAB "verbose", "0");
	file_write(FAILSLAB "interval", "1");
	file_write(FAILSLAB "times", "-1");
	file_write(FAILSLAB "probability", "50");
	fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		fail("cannot make allocations fail: %m");
	written = events("pswpout");
	madvise(base, NR * page_size, MADV_PAGEOUT);
	/* To write this takes memory as well. */
	while (pwrite(fd, "0", 1, 0) != 1)
		;
	/* Those that were not written wait in the swap cache: pagemap tells no difference. */
	written = events("pswpout") - written;
	say("%ld of %d pages went though half of the allocations failed", written, NR);
	if (written <= 0 || written >= NR)
		fail("no allocation of swap-out failed, or all did");
	expect_pages(base, NR, 132);
	page_out(base, NR);
	expect_pages(base, NR, 132);
}
