/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the checks share. Each runs in a process of its own, with a swap area of
 * its own, in a guest whose kernel has MTE; see guest.c.
 */
#ifndef MTESWAP_GUEST_H
#define MTESWAP_GUEST_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif

#define GRANULE 16
#define MIB (1024ul * 1024)

/* The kernel's names for them. */
#define __printf(fmt, args) __attribute__((__format__(printf, fmt, args)))
#define __noreturn __attribute__((__noreturn__))
typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;

/* Where a check's pages go. */
enum swap_device {
	ZRAM,		/* read at once: swap-in goes past the swap cache */
	DISK,		/* a disk in memory: swap-in goes through the swap cache */
};

struct check {
	const char *name;
	void (*run)(void);
	enum swap_device device;
	unsigned int slots;
	struct check *next;
};

void check_add(struct check *check);

/* The body of a check follows; it passes where it returns. */
#define CHECK(name, device, slots)						\
	static void name(void);							\
	static struct check name##_check = { #name, name, device, slots, NULL };\
	static void __attribute__((constructor)) name##_add(void)		\
	{									\
		check_add(&name##_check);					\
	}									\
	static void name(void)

/* End the process: the check has failed, or cannot be made here. */
void __printf(1, 2) __noreturn fail(const char *fmt, ...);
void __printf(1, 2) __noreturn skip(const char *fmt, ...);
/* A line for whoever reads the log. */
void __printf(1, 2) say(const char *fmt, ...);

/* system.c: files of the kernel, swap areas, what the store holds. */
bool file_exists(const char *path);
void file_write(const char *path, const char *text);
/* The number behind @key, which begins a line of @path; -1 where there is none. */
long file_number(const char *path, const char *key);
/* Of /proc/vmstat. */
long events(const char *key);
/* What mkswap writes: the kernel's version 1, no bad pages. */
void make_swap(const char *device, unsigned int slots);
void swap_start(enum swap_device device, unsigned int slots);
/* False where no area was in use. */
bool swap_stop(void);
/* Records in the store; -1 in a kernel without it. */
long records(void);
/* A group for the calling process and its children, which group_reclaim() is about. */
void group_make(void);
void group_enter(void);
/* Takes so much memory from the group, of what is swapped: it may find less. */
void group_reclaim(size_t bytes);
/* Waits for @child: its exit status, or 128 and its signal. */
int wait_for(pid_t child);
/* As fork(), but the check fails where there is no child. */
pid_t spawn(void);

/* pages.c: pages with tags and data that follow from a seed. */
extern size_t page_size;

u8 *map_pages(size_t nr, int prot, int flags);
u8 *map_aligned(size_t nr, int prot, size_t align);
/* Gives every granule its own tag and data. */
void fill_pages(u8 *base, size_t nr, u64 seed);
/* Gives every granule its own tag and leaves the data alone. */
void tag_pages(u8 *base, size_t nr, u64 seed);
/* Fails the check where a tag or a word of data is not what fill_pages() wrote. */
void expect_pages(const u8 *base, size_t nr, u64 seed);
/* Tags alone. */
void expect_tags(const u8 *base, size_t nr, u64 seed);
/* Every granule has this one. */
void expect_tag(const u8 *base, size_t nr, unsigned int tag);
/* Tags that differ from what fill_pages() wrote. */
size_t wrong_tags(const u8 *base, size_t nr, u64 seed);
/* Accesses that the compiler leaves where they are. */
static inline u8 read_byte(const u8 *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void write_byte(u8 *at, u8 value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

unsigned int tag_at(const u8 *granule);
void set_tag(u8 *granule, unsigned int tag);
/* @granule's address with @granule's own tag in it. */
u8 *tagged_pointer(u8 *granule);

/* How many pages are in swap, as pagemap says. */
size_t swapped_pages(const u8 *base, size_t nr);
/* Pages still in memory: mapped, in a page cache, or in the swap cache. */
size_t resident_pages(const u8 *base, size_t nr);
/*
 * Pages out all of them, or fails. None is in memory afterwards, the swap cache included: the
 * tags of whatever is touched next come from the store.
 */
void page_out(u8 *base, size_t nr);
/* The same for shared memory, which pagemap shows no entries of. */
void page_out_shared(u8 *base, size_t nr);

#endif
