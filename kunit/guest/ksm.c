// SPDX-License-Identifier: MIT OR Apache-2.0
/* Merging of equal pages: not where tags are, before a swap and after it. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define NR 64
#define KSM "/sys/kernel/mm/ksm/"

static long ksm(const char *what)
{
	char path[64];
	FILE *file;
	long nr;

	snprintf(path, sizeof(path), KSM "%s", what);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%ld", &nr) != 1)
		skip("no KSM in this kernel");
	fclose(file);
	return nr;
}

/* Lets everything that can merge do so: some whole scans. */
static void scan(void)
{
	long end = ksm("full_scans") + 4;

	file_write(KSM "sleep_millisecs", "0");
	file_write(KSM "pages_to_scan", "2000");
	file_write(KSM "run", "1");
	while (ksm("full_scans") < end)
		usleep(10000);
	file_write(KSM "run", "0");
}

static void merge(u8 *base)
{
	if (madvise(base, NR * page_size, MADV_MERGEABLE))
		fail("MADV_MERGEABLE: %m");
}

/* All pages equal; tags, where there are any, differ. */
static void write_equal(u8 *base)
{
	size_t i;

	for (i = 0; i < NR; i++)
		memset(base + i * page_size, 0x77, page_size);
}

CHECK(tagged_pages_do_not_merge, ZRAM, 4096)
{
	u8 *plain = map_pages(NR, 0, 0);
	u8 *tagged = map_pages(NR, PROT_MTE, 0);
	long merged;

	ksm("run");
	write_equal(plain);
	merge(plain);
	scan();
	merged = ksm("pages_sharing");
	if (merged < NR / 2)
		fail("%ld of %d untagged pages merged", merged, NR);

	write_equal(tagged);
	tag_pages(tagged, NR, 51);
	merge(tagged);
	scan();
	expect_tags(tagged, NR, 51);
	if (ksm("pages_sharing") != merged)
		fail("%ld pages more merged", ksm("pages_sharing") - merged);
	page_out(tagged, NR);
	expect_tags(tagged, NR, 51);
	scan();
	expect_tags(tagged, NR, 51);
	if (ksm("pages_sharing") != merged)
		fail("%ld pages more merged after the swap", ksm("pages_sharing") - merged);
}

/* A merged page becomes tagged in one place: the others keep it as it was. */
CHECK(merged_pages_become_tagged, ZRAM, 4096)
{
	u8 *base = map_pages(2 * NR, 0, 0);
	u8 *tagged = base + NR * page_size;
	size_t i;

	ksm("run");
	write_equal(base);
	write_equal(tagged);
	merge(base);
	merge(tagged);
	scan();
	if (mprotect(tagged, NR * page_size, PROT_READ | PROT_WRITE | PROT_MTE))
		fail("mprotect: %m");
	tag_pages(tagged, NR, 52);
	page_out(tagged, NR);
	expect_tags(tagged, NR, 52);
	if (mprotect(base, NR * page_size, PROT_READ | PROT_WRITE | PROT_MTE))
		fail("mprotect: %m");
	expect_tag(base, NR, 0);
	for (i = 0; i < 2 * NR * page_size; i++)
		if (base[i] != 0x77)
			fail("byte %zu changed", i);
}
