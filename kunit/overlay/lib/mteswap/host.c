// SPDX-License-Identifier: MIT OR Apache-2.0
/* The library's host hooks: the kernel's allocator, interrupts, wait queues. */
#include <linux/align.h>
#include <linux/bug.h>
#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <mteswap.h>

#include "books.h"

/* What kmalloc() is asked for in vain too often: swap maps, made at swapon. */
#define LARGE (PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER)

void *mteswap_host_alloc(size_t size, size_t align, unsigned int flags)
{
	bool may_sleep = flags & MTESWAP_HOST_MAY_SLEEP;
	gfp_t gfp = (may_sleep ? GFP_KERNEL : GFP_ATOMIC) | __GFP_NOWARN;
	/* kmalloc() aligns to the largest power of two that divides the size. */
	size_t all = ALIGN(size, align);
	void *ptr;

	if (all < size || !books_may_alloc(may_sleep))
		return NULL;
	if (may_sleep && all > LARGE && align <= PAGE_SIZE)
		ptr = kvmalloc(all, gfp);
	else
		ptr = kmalloc(all, gfp);
	if (ptr && !books_alloc(ptr, size, align)) {
		kvfree(ptr);
		return NULL;
	}
	return ptr;
}

/* Of vmalloc's memory are swap maps alone, and they go in process context. */
void mteswap_host_free(void *ptr, size_t size, size_t align)
{
	books_free(ptr, size, align);
	kvfree(ptr);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
/*
 * The library's lock words are its own. To lockdep all of them are this one lock, held from
 * the outermost enter to its exit.
 */
static struct lockdep_map lock_map = {
	.name = "mteswap",
	.key = (struct lock_class_key *)&lock_map,
	.wait_type_inner = LD_WAIT_SPIN,
};

static DEFINE_PER_CPU(unsigned int, depth);

static void tell_enter(void)
{
	if (this_cpu_inc_return(depth) == 1)
		lock_map_acquire(&lock_map);
}

static void tell_exit(void)
{
	if (!this_cpu_dec_return(depth))
		lock_map_release(&lock_map);
}
#else
static void tell_enter(void) { }
static void tell_exit(void) { }
#endif

#ifdef CONFIG_MTESWAP_TASKS_ONLY
/* As a spinlock that no handler takes. */
unsigned long mteswap_host_enter(void)
{
	preempt_disable();
	tell_enter();
	return 0;
}

void mteswap_host_exit(unsigned long cookie)
{
	tell_exit();
	preempt_enable();
}
#else
/* Interrupts off: handlers may drop records, and nobody preempts. */
unsigned long mteswap_host_enter(void)
{
	unsigned long flags;

	local_irq_save(flags);
	tell_enter();
	return flags;
}

void mteswap_host_exit(unsigned long cookie)
{
	tell_exit();
	local_irq_restore(cookie);
}
#endif

void mteswap_host_wait(const u32 *word, u32 expected)
{
	books_wait();
	wait_var_event_timeout((void *)word, READ_ONCE(*word) != expected, 1);
}

void mteswap_host_wake(const u32 *word)
{
	/* The word's change is seen before the queue is looked at. */
	smp_mb();
	wake_up_var((void *)word);
}

void mteswap_host_warn(unsigned int warning)
{
	static const char * const texts[] = {
		[MTESWAP_WARN_BAD_SWAP_FREE] = "swap_free of a slot without such a reference",
		[MTESWAP_WARN_BAD_CACHE_CLEAR] = "swapcache_clear of a slot without the mark",
		[MTESWAP_WARN_STORE_IN_USE] = "store destroyed while swaps use it: leaked",
		[MTESWAP_WARN_SWAP_IN_USE] = "swap destroyed while slots are in use",
		[MTESWAP_WARN_CORRUPT_RECORD] = "a record was overwritten from outside",
	};
	const char *text = "a caller's fault";

	if (warning < ARRAY_SIZE(texts) && texts[warning])
		text = texts[warning];
	if (!books_warn(warning))
		WARN(1, "mteswap: %s\n", text);
}

/* No call leads here, but Rust wants it to be there. */
void mteswap_host_panic(void)
{
	panic("mteswap: the library is broken");
}
