// SPDX-License-Identifier: MIT OR Apache-2.0
/* A core dump has the tags of every page, those in swap included. */
#include <fcntl.h>
#include <linux/elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

#ifndef PT_AARCH64_MEMTAG_MTE
#define PT_AARCH64_MEMTAG_MTE (PT_LOPROC + 2)
#endif

#define NR 128
#define PATTERN "/proc/sys/kernel/core_pattern"
#define CORE "/tmp/mteswap.core"

static const u8 *map_core(void)
{
	int fd = open(CORE, O_RDONLY | O_CLOEXEC);
	struct stat stat;
	void *core;

	if (fd < 0 || fstat(fd, &stat))
		fail("no core dump: %m");
	core = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (core == MAP_FAILED)
		fail("cannot map the core dump: %m");
	close(fd);
	return core;
}

/* The dumped tags of the mapping at @base. */
static const u8 *tags_of(const u8 *core, const u8 *base)
{
	const struct elf64_hdr *head = (const struct elf64_hdr *)core;
	const struct elf64_phdr *part = (const struct elf64_phdr *)(core + head->e_phoff);
	unsigned int i;

	for (i = 0; i < head->e_phnum; i++) {
		uintptr_t start = part[i].p_vaddr;

		if (part[i].p_type == PT_AARCH64_MEMTAG_MTE && (uintptr_t)base >= start &&
		    (uintptr_t)base < start + part[i].p_memsz)
			return core + part[i].p_offset + ((uintptr_t)base - start) / GRANULE / 2;
	}
	fail("the core dump has no tags of %p", base);
}

CHECK(core_dump, ZRAM, 4096)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	u8 *base = map_pages(NR, PROT_MTE, 0);
	const u8 *tags;
	size_t i, wrong = 0;
	int status;
	pid_t child;

	if (!file_exists(PATTERN))
		skip("no core dumps in this kernel");
	file_write(PATTERN, CORE);
	unlink(CORE);
	child = spawn();
	if (!child) {
		setrlimit(RLIMIT_CORE, &unlimited);
		fill_pages(base, NR, 161);
		page_out(base, NR / 2);
		abort();
	}
	status = wait_for(child);
	if (status != 128 + SIGABRT)
		fail("the process ended with %d, not with SIGABRT", status);
	fill_pages(base, NR, 161);
	tags = tags_of(map_core(), base);
	for (i = 0; i < NR * page_size / GRANULE; i++)
		wrong += (tags[i / 2] >> i % 2 * 4 & 0xf) != tag_at(base + i * GRANULE);
	unlink(CORE);
	if (wrong)
		fail("%zu of %zu tags in the core dump are wrong", wrong,
		     NR * page_size / GRANULE);
}
