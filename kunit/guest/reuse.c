// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Slots that are dropped and handed out again at once: the fault all this began with
 * (HOOK-7). An area of at most 512 pages keeps Linux 6.12's slot cache, which would hold
 * freed slots back, off on two CPUs; every private mapping of a process is paged out, over
 * and over, while it works.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define SLOTS 500
#define NR 300
#define ROUNDS 60
#define MAX_MAPPINGS 64

/* Reads and writes all of its pages, and looks at every tag before it writes. */
static void __noreturn work(const u8 *enough)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	unsigned int round;
	size_t i;

	fill_pages(base, NR, 141);
	for (round = 0; round < ROUNDS || !read_byte(enough); round++) {
		/* A write fault, as a page's first access and as its second. */
		for (i = 0; i < NR; i++)
			if (i % 2 == round % 2)
				base[i * page_size + GRANULE / 2] = round;
		expect_pages(base, NR, 141);
	}
	exit(EXIT_SUCCESS);
}

/* The private, writable mappings of @pid. */
static size_t private_mappings(pid_t pid, struct iovec *mappings)
{
	unsigned long start, end;
	char path[32], line[256];
	size_t nr = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && nr < MAX_MAPPINGS && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx rw-p", &start, &end) != 2 || !strstr(line, " rw-p "))
			continue;
		mappings[nr].iov_base = (void *)start;
		mappings[nr++].iov_len = end - start;
	}
	if (maps)
		fclose(maps);
	return nr;
}

static void page_out_of(pid_t pid, int pidfd)
{
	struct iovec mappings[MAX_MAPPINGS];
	size_t nr = private_mappings(pid, mappings);

	if (nr && syscall(SYS_process_madvise, pidfd, mappings, nr, MADV_PAGEOUT, 0) < 0 &&
	    errno != ESRCH && errno != EINTR)
		fail("process_madvise: %m");
}

/* What waits in the swap cache would be found there, and nothing restored: @cached takes it. */
static void page_out_while_it_works(bool cached)
{
	long written = events("pswpout"), read = events("pswpin");
	/* The worker goes on until every slot was used twice, however fast it is. */
	u8 *enough = map_pages(1, 0, MAP_SHARED);
	siginfo_t ended = { 0 };
	pid_t worker = spawn();
	int pidfd;

	if (!worker)
		work(enough);
	pidfd = syscall(SYS_pidfd_open, worker, 0);
	if (pidfd < 0)
		fail("pidfd_open: %m");
	while (!waitid(P_PID, worker, &ended, WEXITED | WNOHANG | WNOWAIT) && !ended.si_pid) {
		page_out_of(worker, pidfd);
		if (cached)
			group_reclaim(NR * page_size);
		if (events("pswpout") - written >= 2 * SLOTS &&
		    events("pswpin") - read >= 2 * SLOTS)
			write_byte(enough, 1);
	}
	if (wait_for(worker))
		fail("the process lost tags");
	written = events("pswpout") - written;
	read = events("pswpin") - read;
	say("%ld pages out, %ld in", written, read);
	if (written < 2 * SLOTS || read < 2 * SLOTS)
		fail("no slot was used twice");
}

CHECK(slots_reused_at_once, ZRAM, SLOTS)
{
	page_out_while_it_works(false);
}

CHECK(slots_reused_at_once_through_the_swap_cache, DISK, SLOTS)
{
	page_out_while_it_works(true);
}

/* One at a time, with nothing left to chance: each write fault gives its slot back. */
CHECK(tags_come_before_their_slot_goes, DISK, SLOTS)
{
	u8 *base = map_pages(NR, PROT_MTE, 0);
	size_t i, wrong = 0;

	fill_pages(base, NR, 151);
	page_out(base, NR);
	for (i = 0; i < NR; i++)
		base[i * page_size + GRANULE / 2] = 1;
	wrong = wrong_tags(base, NR, 151);
	if (wrong)
		fail("%zu tags are wrong", wrong);
}
