// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The library's host hooks for the suites: malloc that keeps books, fails on
 * request and looks at what comes back. See struct mk_host.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <linux/irqflags.h>

#include "../mteswap_kunit.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static struct mk_host books;
static long let_through = -1;
static const u64 *watched;
static size_t nr_watched;

/* What was asked for stands in front of each block. */
struct block {
	size_t size;
	size_t align;
};

static size_t header(size_t align)
{
	return align > sizeof(struct block) ? align : sizeof(struct block);
}

static struct block *block_of(void *ptr)
{
	return (struct block *)((char *)ptr - sizeof(struct block));
}

void mk_host_read(struct mk_host *host)
{
	pthread_mutex_lock(&lock);
	*host = books;
	pthread_mutex_unlock(&lock);
}

void mk_host_fail_after(long nr)
{
	pthread_mutex_lock(&lock);
	let_through = nr;
	pthread_mutex_unlock(&lock);
}

void mk_host_watch(const u64 *words, size_t nr)
{
	pthread_mutex_lock(&lock);
	watched = words;
	nr_watched = nr;
	pthread_mutex_unlock(&lock);
}

void *mteswap_host_alloc(size_t size, size_t align, unsigned int flags)
{
	size_t all = (header(align) + size + align - 1) & ~(align - 1);
	char *start;
	bool refused;

	pthread_mutex_lock(&lock);
	books.allocs++;
	if (shim_atomic_depth && flags & MTESWAP_HOST_MAY_SLEEP)
		books.misused++;
	refused = !let_through;
	if (let_through > 0)
		let_through--;
	pthread_mutex_unlock(&lock);
	if (refused)
		return NULL;

	start = align > sizeof(struct block) ? aligned_alloc(align, all) : malloc(all);
	if (!start)
		return NULL;
	start += header(align);
	/* Nothing may rest on what fresh memory holds. */
	memset(start, MK_POISON, size);
	block_of(start)->size = size;
	block_of(start)->align = align;
	pthread_mutex_lock(&lock);
	books.bytes += size;
	books.blocks++;
	pthread_mutex_unlock(&lock);
	return start;
}

static unsigned long leaks_in(const void *ptr, size_t size)
{
	unsigned long leaks = 0;
	size_t at, i;
	u64 word;

	for (at = 0; nr_watched && at + sizeof(word) <= size; at += sizeof(word)) {
		memcpy(&word, (const char *)ptr + at, sizeof(word));
		for (i = 0; i < nr_watched; i++)
			leaks += word == watched[i];
	}
	return leaks;
}

void mteswap_host_free(void *ptr, size_t size, size_t align)
{
	struct block *block = block_of(ptr);

	pthread_mutex_lock(&lock);
	if (block->size != size || block->align != align)
		books.misused++;
	books.leaked += leaks_in(ptr, size);
	books.bytes -= block->size;
	books.blocks--;
	pthread_mutex_unlock(&lock);
	free((char *)ptr - header(align));
}

/* No interrupt runs on a thread of a process: noting the context is enough. */
unsigned long mteswap_host_enter(void)
{
	return shim_atomic_depth++;
}

void mteswap_host_exit(unsigned long cookie)
{
	shim_atomic_depth = cookie;
}

/* A tick, as the library's contract has it. */
void mteswap_host_wait(const uint32_t *word, uint32_t expected)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += 10 * 1000 * 1000;
	if (end.tv_nsec >= 1000 * 1000 * 1000) {
		end.tv_sec++;
		end.tv_nsec -= 1000 * 1000 * 1000;
	}
	pthread_mutex_lock(&lock);
	if (shim_atomic_depth)
		books.misused++;
	if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == expected)
		pthread_cond_timedwait(&woken, &lock, &end);
	pthread_mutex_unlock(&lock);
}

void mteswap_host_wake(const uint32_t *word)
{
	(void)word;
	pthread_mutex_lock(&lock);
	pthread_cond_broadcast(&woken);
	pthread_mutex_unlock(&lock);
}

void mteswap_host_warn(unsigned int warning)
{
	pthread_mutex_lock(&lock);
	books.warnings++;
	books.last_warning = warning;
	pthread_mutex_unlock(&lock);
}

void mteswap_host_panic(void)
{
	abort();
}
