// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The host hooks for programs. Weak, so that a program can have some of its own and leave
 * the rest to these.
 */
#define _DEFAULT_SOURCE

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

#include <mteswap.h>

#define WEAK __attribute__((weak))

WEAK void *mteswap_host_alloc(size_t size, size_t align, unsigned int flags)
{
	void *ptr;

	(void)flags;
	if (align < sizeof(void *))
		align = sizeof(void *);
	return posix_memalign(&ptr, align, size) ? NULL : ptr;
}

WEAK void mteswap_host_free(void *ptr, size_t size, size_t align)
{
	(void)size;
	(void)align;
	free(ptr);
}

/*
 * A thread that loses its CPU while it has one of the library's locks delays those who spin
 * for it, and no more. Programs whose signal handlers call the library block those signals
 * here.
 */
WEAK unsigned long mteswap_host_enter(void)
{
	return 0;
}

WEAK void mteswap_host_exit(unsigned long cookie)
{
	(void)cookie;
}

#ifdef __linux__
WEAK void mteswap_host_wait(const uint32_t *word, uint32_t expected)
{
	const struct timespec tick = { .tv_nsec = 10 * 1000 * 1000 };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &tick, NULL, 0);
}

WEAK void mteswap_host_wake(const uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
/* Early ends are allowed, so no wake is needed, nor missed. */
WEAK void mteswap_host_wait(const uint32_t *word, uint32_t expected)
{
	(void)word;
	(void)expected;
	sched_yield();
}

WEAK void mteswap_host_wake(const uint32_t *word)
{
	(void)word;
}
#endif

WEAK void mteswap_host_warn(unsigned int warning)
{
	static const char *const texts[] = {
		[MTESWAP_WARN_BAD_SWAP_FREE] = "swap_free of a slot without such a reference",
		[MTESWAP_WARN_BAD_CACHE_CLEAR] = "swapcache_clear of a slot without the mark",
		[MTESWAP_WARN_STORE_IN_USE] = "store destroyed while swaps use it: leaked",
		[MTESWAP_WARN_SWAP_IN_USE] = "swap destroyed while slots are in use",
		[MTESWAP_WARN_CORRUPT_RECORD] = "a record was overwritten from outside",
	};
	const char *text = "a caller's fault";

	if (warning < sizeof(texts) / sizeof(texts[0]) && texts[warning])
		text = texts[warning];
	fprintf(stderr, "mteswap: %s\n", text);
}

WEAK void mteswap_host_panic(void)
{
	abort();
}
