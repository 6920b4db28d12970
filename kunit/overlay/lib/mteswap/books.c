// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Books over what the library asks of the kernel, failure on request, and a look at what
 * comes back. See struct mk_host.
 */
#include <linux/bug.h>
#include <linux/irqflags.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "books.h"
#include "suites/mteswap_kunit.h"

static DEFINE_SPINLOCK(lock);
static struct mk_host books;
static long let_through = -1;
static const u64 *watched;
static size_t nr_watched;
/* Size and alignment of each block the library holds, by its address. */
static DEFINE_XARRAY_FLAGS(blocks, XA_FLAGS_LOCK_IRQ);

static void *note(size_t size, size_t align)
{
	return xa_mk_value(size << 6 | ilog2(align));
}

bool books_may_alloc(bool may_sleep)
{
	unsigned long flags;
	bool refused;

	spin_lock_irqsave(&lock, flags);
	books.allocs++;
	if (may_sleep && irqs_disabled_flags(flags))
		books.misused++;
	refused = !let_through;
	if (let_through > 0)
		let_through--;
	spin_unlock_irqrestore(&lock, flags);
	return !refused;
}

bool books_alloc(void *ptr, size_t size, size_t align)
{
	unsigned long flags;
	void *older;

	xa_lock_irqsave(&blocks, flags);
	older = __xa_store(&blocks, (unsigned long)ptr, note(size, align), GFP_ATOMIC);
	xa_unlock_irqrestore(&blocks, flags);
	if (xa_is_err(older))
		return false;
	/* Nothing may rest on what fresh memory holds. */
	memset(ptr, MK_POISON, size);
	spin_lock_irqsave(&lock, flags);
	books.bytes += size;
	books.blocks++;
	if (older || !IS_ALIGNED((unsigned long)ptr, align))
		books.misused++;
	spin_unlock_irqrestore(&lock, flags);
	return true;
}

static unsigned long leaks_in(const void *ptr, size_t size)
{
	unsigned long leaks = 0;
	size_t at, i;
	u64 word;

	for (at = 0; nr_watched && at + sizeof(word) <= size; at += sizeof(word)) {
		memcpy(&word, ptr + at, sizeof(word));
		for (i = 0; i < nr_watched; i++)
			leaks += word == watched[i];
	}
	return leaks;
}

void books_free(void *ptr, size_t size, size_t align)
{
	unsigned long flags;
	void *noted;

	xa_lock_irqsave(&blocks, flags);
	noted = __xa_erase(&blocks, (unsigned long)ptr);
	xa_unlock_irqrestore(&blocks, flags);
	spin_lock_irqsave(&lock, flags);
	if (noted != note(size, align))
		books.misused++;
	if (noted) {
		books.leaked += leaks_in(ptr, size);
		books.bytes -= size;
		books.blocks--;
	}
	spin_unlock_irqrestore(&lock, flags);
}

void books_wait(void)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	if (irqs_disabled_flags(flags))
		books.misused++;
	spin_unlock_irqrestore(&lock, flags);
}

bool books_warn(unsigned int warning)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	books.warnings++;
	books.last_warning = warning;
	spin_unlock_irqrestore(&lock, flags);
	return true;
}

void books_close(void)
{
	WARN(books.blocks, "mteswap: %ld blocks were not given back\n", books.blocks);
	xa_destroy(&blocks);
}

void mk_host_read(struct mk_host *host)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	*host = books;
	spin_unlock_irqrestore(&lock, flags);
}
EXPORT_SYMBOL_NS_GPL(mk_host_read, MTESWAP);

void mk_host_fail_after(long nr)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	let_through = nr;
	spin_unlock_irqrestore(&lock, flags);
}
EXPORT_SYMBOL_NS_GPL(mk_host_fail_after, MTESWAP);

void mk_host_watch(const u64 *words, size_t nr)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	watched = words;
	nr_watched = nr;
	spin_unlock_irqrestore(&lock, flags);
}
EXPORT_SYMBOL_NS_GPL(mk_host_watch, MTESWAP);
