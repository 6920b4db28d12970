/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mteswap: keeps the Arm MTE tags of pages that are swapped out.
 *
 * Made from ffi/src by `cargo xtask header`; change it there.
 *
 * Any pointer may be NULL: that gives -EINVAL, 0, false, or no effect. Errors are negative
 * errno values as Linux numbers them; on an error nothing was changed. Page tags are one
 * nibble a granule of 16 bytes, granule i in bits 4i to 4i + 3 of a little-endian array of
 * MTESWAP_TAGS_BYTES bytes, without alignment. Ids such as TAG-3 name the rules of
 * docs/semantics.md.
 */

#ifndef MTESWAP_H
#define MTESWAP_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

/* The page size the library was built for: 12 (4 KiB), 14 (16 KiB) or 16 (64 KiB). */
#ifndef MTESWAP_PAGE_SHIFT
#define MTESWAP_PAGE_SHIFT 12
#endif

/* Bytes of a page's tags. */
#define MTESWAP_TAGS_BYTES (1 << (MTESWAP_PAGE_SHIFT - 5))

/* What the wire format of any page fits in, in bytes. */
#define MTESWAP_ENCODED_MAX (MTESWAP_TAGS_BYTES + 4)

#if defined(__GNUC__)
#define MTESWAP_NORETURN __attribute__((__noreturn__))
#else
#define MTESWAP_NORETURN
#endif

/*
 * Version of this interface; grows when a caller compiled against an older header would
 * break. See mteswap_abi().
 */
#define MTESWAP_ABI 1

/*
 * In mteswap_abi(): the library calls neither mteswap_host_enter() nor mteswap_host_exit().
 */
#define MTESWAP_ABI_NO_ENTER 2147483648

/*
 * The bit that says "tagged", for callers with a flags word of their own.
 */
#define MTESWAP_PG_TAGGED 0

/*
 * The bit that says "someone writes its tags", for callers with a flags word of their own.
 */
#define MTESWAP_PG_LOCK 1

/*
 * Slots of a cluster, which no range of mteswap_swapcache_prepare() may cross (PIN-2).
 */
#define MTESWAP_CLUSTER 512

/*
 * Of the flags of mteswap_host_alloc(): the caller may sleep.
 */
#define MTESWAP_HOST_MAY_SLEEP 1

/*
 * mteswap_swap_free() of a slot that holds no such reference (PIN-4). Nothing was dropped.
 */
#define MTESWAP_WARN_BAD_SWAP_FREE 1

/*
 * mteswap_swapcache_clear() of a slot without the mark (PIN-6). Nothing was cleared.
 */
#define MTESWAP_WARN_BAD_CACHE_CLEAR 2

/*
 * mteswap_store_destroy() of a store that has swaps. It was leaked.
 */
#define MTESWAP_WARN_STORE_IN_USE 3

/*
 * mteswap_swap_destroy() while slots were referenced or pinned.
 */
#define MTESWAP_WARN_SWAP_IN_USE 4

/*
 * A record that no longer decodes: someone wrote to memory of the store.
 */
#define MTESWAP_WARN_CORRUPT_RECORD 5

/*
 * The tags of swapped-out pages, by swap entry. Any thread may call anything for any
 * entry at any time (TAG-13), except beside mteswap_store_destroy() and mteswap_shrink().
 */
struct mteswap_store;

/*
 * The slots of one swap area: how many refer to each, and whose swap-in is under way.
 */
struct mteswap_swap;

/*
 * A swap entry: type << 58 | offset, as arm64's swp_entry_t.val. Types are 0 to 31,
 * offsets 0 to 2^58 - 1; with bit 63 set it is none (TAG-15).
 */
typedef uint64_t mteswap_entry_t;

/**
 * struct mteswap_stats - what a store holds
 *
 * Sixteen words; later versions use more of them. Exact while no other call runs on the
 * store.
 *
 * @payload_bytes and @index_bytes together are every byte that the store has from its
 * host: slack, headers, free lists and struct mteswap_store itself included, the reserve
 * apart.
 */
struct mteswap_stats {
	/**
	 * @entries: records
	 */
	uint64_t entries;
	/**
	 * @inline_entries: records that need no payload
	 */
	uint64_t inline_entries;
	/**
	 * @payload_bytes: held for payloads; 0 once the last record is gone
	 */
	uint64_t payload_bytes;
	/**
	 * @index_bytes: held for the index, in use or pooled; see mteswap_shrink()
	 */
	uint64_t index_bytes;
	/**
	 * @reserved_bytes: held in reserve; see mteswap_reserve()
	 */
	uint64_t reserved_bytes;
	/**
	 * @unused: 0
	 */
	uint64_t unused[11];
};

/**
 * struct mteswap_page - one page of a folio
 *
 * @tagged_bit and @lock_bit differ and are below the bits of an unsigned long.
 */
struct mteswap_page {
	/**
	 * @flags: its flags word
	 */
	unsigned long *flags;
	/**
	 * @addr: the page. Where the library was built without MTE instructions (for user
	 * space, unless asked for), the page's tags instead: MTESWAP_TAGS_BYTES bytes, aligned
	 * to 8
	 */
	void *addr;
	/**
	 * @tagged_bit: number of the bit that says "tagged": MTESWAP_PG_TAGGED, PG_arch_2
	 */
	unsigned char tagged_bit;
	/**
	 * @lock_bit: number of the bit that says "someone writes its tags": MTESWAP_PG_LOCK,
	 * PG_arch_3
	 */
	unsigned char lock_bit;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * mteswap_abi() - what the library was built as
 *
 * Differs from MTESWAP_ABI << 8 | MTESWAP_PAGE_SHIFT where the header in use is not that
 * of the library, and where the library is one for callers who keep a CPU to themselves:
 * whoever links that adds MTESWAP_ABI_NO_ENTER.
 *
 * Context: Any.
 * Return: MTESWAP_ABI << 8 | page shift, with MTESWAP_ABI_NO_ENTER from a library that was built
 * for callers of whom none begins a call on a CPU where another is within one: tasks of a kernel
 * without preemption, or threads, and no handler (cargo xtask lib --no-enter).
 */
uint32_t mteswap_abi(void);

/**
 * mteswap_store_create() - make an empty store
 * @out: where its address goes; written on success only
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL for NULL, -ENOMEM.
 */
int mteswap_store_create(struct mteswap_store **out);

/**
 * mteswap_store_destroy() - drop every record and give all memory back
 * @store: the store, or NULL
 *
 * A store that still has swaps is reported to the host (MTESWAP_WARN_STORE_IN_USE)
 * and leaked.
 *
 * Context: Process context. May sleep. No other call on @store runs or follows.
 */
void mteswap_store_destroy(struct mteswap_store *store);

/**
 * mteswap_save() - keep a page's tags under a swap entry
 * @store: the store
 * @entry: the entry; a record it has already is replaced, its memory wiped and released
 * @tags: MTESWAP_TAGS_BYTES bytes
 *
 * Every mteswap_restore() on any CPU that begins after this returned sees the record
 * (TAG-2, TAG-14). An untagged page is not saved (TAG-1): that is the caller's part, or
 * mteswap_prepare_to_swap()'s.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL, -ENOMEM; on an error an older record is as it was (TAG-3).
 */
int mteswap_save(struct mteswap_store *store, mteswap_entry_t entry, const void *tags);

/**
 * mteswap_save_atomic() - mteswap_save() that never sleeps
 * @store: the store
 * @entry: the entry
 * @tags: MTESWAP_TAGS_BYTES bytes
 *
 * Context: Any; spinlocks may be held, interrupts may be off.
 * Return: As mteswap_save().
 */
int mteswap_save_atomic(struct mteswap_store *store, mteswap_entry_t entry, const void *tags);

/**
 * mteswap_restore() - copy the tags of an entry out
 * @store: the store
 * @entry: the entry; its record stays, to be restored again (TAG-4)
 * @tags: room for MTESWAP_TAGS_BYTES bytes; written only where 1 is returned (TAG-5)
 *
 * Beside a replacement or invalidation of the same entry it gives one whole record or
 * none (TAG-13).
 *
 * Context: Any; spinlocks may be held, interrupts may be off. Allocates nothing (TAG-9).
 * Return: 1 restored, 0 no record, -EINVAL.
 */
int mteswap_restore(struct mteswap_store *store, mteswap_entry_t entry, void *tags);

/**
 * mteswap_invalidate() - drop the record of an entry
 * @store: the store
 * @entry: the entry; nothing happens where it has none, or is none (TAG-7)
 *
 * The memory is wiped before it goes to a free list or to the host (TAG-12).
 *
 * Context: As mteswap_restore().
 */
void mteswap_invalidate(struct mteswap_store *store, mteswap_entry_t entry);

/**
 * mteswap_move() - give an entry's record to another entry, in one step
 * @store: the store
 * @from: has no record afterwards, unless it is @to
 * @to: its own record, if any, is replaced; may be of another type
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL, -ENOENT where @from has no record, -ENOMEM; on an error both are
 * as they were (TAG-16).
 */
int mteswap_move(struct mteswap_store *store, mteswap_entry_t from, mteswap_entry_t to);

/**
 * mteswap_next() - find the next record, to walk through all of them
 * @store: the store
 * @cursor: where to look from, itself included; set to the entry found, if any. Add 1
 *          to go on
 * @tags: room for MTESWAP_TAGS_BYTES bytes; written only where 1 is returned
 *
 * Goes through all types in the order of entries. What others save or drop meanwhile may
 * be seen or not.
 *
 * Context: As mteswap_restore().
 * Return: 1 found, 0 at the end, -EINVAL.
 */
int mteswap_next(struct mteswap_store *store, mteswap_entry_t *cursor, void *tags);

/**
 * mteswap_reserve() - set memory aside for saves that must not fail
 * @store: the store
 * @nr: afterwards @nr saves of any content, to entries of one run aligned to @nr, cannot
 *      fail. Not added to an earlier one; 0 gives the reserve back
 *
 * What saves take from the reserve is not refilled.
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL where no run can be that long, -ENOMEM; on an error the reserve is
 * as it was.
 */
int mteswap_reserve(struct mteswap_store *store, size_t nr);

/**
 * mteswap_stats() - tell what a store holds
 * @store: the store
 * @stats: all of it is written
 *
 * Context: As mteswap_restore(). Walks the whole index: for people, not for hot paths.
 * Return: 0, -EINVAL.
 */
int mteswap_stats(const struct mteswap_store *store, struct mteswap_stats *stats);

/**
 * mteswap_shrink() - give the index's pooled memory back
 * @store: the store
 *
 * Leaves and nodes that fell empty are pooled, because others may be looking at them
 * without a lock. Payloads go back by themselves.
 *
 * Context: Any. No other call on @store runs.
 * Return: Bytes given back; 0 for NULL.
 */
size_t mteswap_shrink(struct mteswap_store *store);

/**
 * mteswap_invalidate_range() - drop the records of consecutive entries
 * @store: the store
 * @first: the first entry
 * @nr: how many; nothing happens for 0 or where the range leaves its type (TAG-15)
 *
 * Context: As mteswap_restore(). Its time grows with the records there are, not with @nr.
 */
void mteswap_invalidate_range(struct mteswap_store *store, mteswap_entry_t first, size_t nr);

/**
 * mteswap_invalidate_area() - drop every record of a swap type
 * @store: the store
 * @type: 0 to 31; nothing happens above
 *
 * First and last offset included, and none of another type (TAG-8).
 *
 * Context: As mteswap_invalidate_range().
 */
void mteswap_invalidate_area(struct mteswap_store *store, unsigned int type);

/**
 * mteswap_save_range() - keep the tags of consecutive pages, all or none
 * @store: the store
 * @first: the entry of the first page
 * @nr: number of pages
 * @tags: @nr times MTESWAP_TAGS_BYTES bytes
 *
 * Others may see a part of it while it runs (TAG-10).
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL, -ENOMEM; on an error every entry is as it was.
 */
int mteswap_save_range(struct mteswap_store *store,
		       mteswap_entry_t first,
		       size_t nr,
		       const void *tags);

/**
 * mteswap_restore_range() - copy the tags of consecutive entries out
 * @store: the store
 * @first: the first entry
 * @nr: how many
 * @tags: room for @nr times MTESWAP_TAGS_BYTES bytes; where an entry has no record, its
 *        part is left as it is
 * @present: NULL, or a bitmap of @nr bits in unsigned longs, all of which are written:
 *           bit i is set where entry i had a record
 *
 * Context: As mteswap_restore().
 * Return: The number of records restored, or -EINVAL.
 */
long mteswap_restore_range(struct mteswap_store *store,
			   mteswap_entry_t first,
			   size_t nr,
			   void *tags,
			   unsigned long *present);

/**
 * mteswap_encode() - write a page's tags in the wire format
 * @tags: MTESWAP_TAGS_BYTES bytes
 * @buf: where to; nothing is written behind its first @len bytes
 * @len: bytes of @buf; MTESWAP_ENCODED_MAX always do
 *
 * Tells its own end, so that pages can follow one another in a migration stream or a
 * snapshot.
 *
 * Context: Any. Allocates nothing.
 * Return: Bytes written; 0 for NULL and where @len is too small.
 */
size_t mteswap_encode(const void *tags, void *buf, size_t len);

/**
 * mteswap_decode() - read a page's tags from the wire format
 * @buf: any bytes
 * @len: how many; none behind them is read
 * @tags: room for MTESWAP_TAGS_BYTES bytes; written only on success
 *
 * Context: Any. Allocates nothing.
 * Return: Bytes consumed, or -EINVAL for what mteswap_encode() does not write.
 */
int mteswap_decode(const void *buf, size_t len, void *tags);

/**
 * mteswap_page_tagged() - has the page tags to speak of?
 * @flags: its flags word, with MTESWAP_PG_TAGGED and MTESWAP_PG_LOCK
 *
 * Where true, tag reads that follow come after it (FLAG-2).
 *
 * Context: Any.
 * Return: Whether the page is tagged; false for NULL.
 */
bool mteswap_page_tagged(const unsigned long *flags);

/**
 * mteswap_set_page_tagged() - say that the page's tags are written
 * @flags: its flags word
 *
 * Whoever sees the flag sees the tags that were written before (FLAG-1). It stays until
 * the page is freed (FLAG-4).
 *
 * Context: Any.
 */
void mteswap_set_page_tagged(unsigned long *flags);

/**
 * mteswap_try_page_tagging() - ask for the duty to write a page's tags
 * @flags: its flags word
 *
 * One caller gets true; it writes the tags and calls mteswap_set_page_tagged(), or
 * mteswap_abandon_tagging(). Every other one spins until the flag is set, or the duty is
 * handed on, and gets false, or the duty (FLAG-3).
 *
 * Context: Any. Not while the same CPU has the duty for the same page.
 * Return: True for the caller that has the duty; false for NULL.
 */
bool mteswap_try_page_tagging(unsigned long *flags);

/**
 * mteswap_try_page_tagging_bounded() - mteswap_try_page_tagging() that gives up
 * @flags: the page's flags word
 * @spins: how often to look again
 *
 * Context: Any.
 * Return: 1 the caller has the duty, 0 the page is tagged, -ETIMEDOUT someone still has
 * the duty, -EINVAL for NULL (FLAG-5).
 */
int mteswap_try_page_tagging_bounded(unsigned long *flags, unsigned long spins);

/**
 * mteswap_abandon_tagging() - hand the duty to write a page's tags on
 * @flags: its flags word
 *
 * For a caller that has the duty and cannot finish: one of those who wait gets it, or the
 * next who asks (FLAG-5). A page that is tagged stays so.
 *
 * Context: Any.
 */
void mteswap_abandon_tagging(unsigned long *flags);

/**
 * mteswap_page_tagged_bit() - mteswap_page_tagged() with a bit of the caller's
 * @flags: the page's flags word
 * @tagged: number of the bit
 *
 * Context: Any.
 * Return: Whether the page is tagged; false for NULL and where the word has no such bit.
 */
bool mteswap_page_tagged_bit(const unsigned long *flags, unsigned int tagged);

/**
 * mteswap_set_page_tagged_bit() - mteswap_set_page_tagged() with a bit of the caller's
 * @flags: the page's flags word
 * @tagged: number of the bit; nothing happens where the word has no such bit
 *
 * Context: Any.
 */
void mteswap_set_page_tagged_bit(unsigned long *flags, unsigned int tagged);

/**
 * mteswap_try_page_tagging_bits() - mteswap_try_page_tagging() with bits of the caller's
 * @flags: the page's flags word
 * @tagged: number of the bit that says "tagged": PG_arch_2 in a kernel
 * @lock: number of the bit that says "someone writes its tags": PG_arch_3
 *
 * Context: As mteswap_try_page_tagging().
 * Return: True for the caller that has the duty; false for NULL, for one bit twice and
 * where the word has no such bit.
 */
bool mteswap_try_page_tagging_bits(unsigned long *flags,
				   unsigned int tagged,
				   unsigned int lock);

/**
 * mteswap_prepare_to_swap() - keep the tags of a folio that goes to swap
 * @store: the store
 * @first: the entry of its first page
 * @nr: number of pages
 * @pages: the pages
 *
 * Of an untagged page nothing is stored, and an older record of its entry is left alone
 * (TAG-1). The pages stay as they are. For arch_prepare_to_swap(): the folio is locked
 * and its data not yet written (HOOK-1).
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL, -ENOMEM; on an error every entry is as it was (TAG-10).
 */
int mteswap_prepare_to_swap(struct mteswap_store *store,
			    mteswap_entry_t first,
			    size_t nr,
			    const struct mteswap_page *pages);

/**
 * mteswap_swap_restore() - give the pages of a folio their tags back
 * @store: the store
 * @first: the entry of its first page; see mteswap_folio_entry()
 * @nr: number of pages
 * @pages: the pages, their data read
 *
 * Pages without a record and pages that are tagged already are left alone (TAG-5, TAG-6)
 * and cost no decoding (TAG-11). Records stay (TAG-4). For arch_swap_restore(): before
 * mteswap_swap_free() and before the page table entry is set (HOOK-2, HOOK-8).
 *
 * Context: Any; spinlocks may be held. Allocates nothing.
 * Return: The number of pages whose tags were written, or -EINVAL.
 */
int mteswap_swap_restore(struct mteswap_store *store,
			 mteswap_entry_t first,
			 size_t nr,
			 const struct mteswap_page *pages);

/**
 * mteswap_folio_entry() - the entry of a folio's first page
 * @any: the entry of any of its pages
 * @nr: number of its pages, a power of two
 *
 * Context: Any.
 * Return: @any aligned down to @nr; @any itself where it is no entry or @nr is no power
 * of two.
 */
mteswap_entry_t mteswap_folio_entry(mteswap_entry_t any, size_t nr);

/**
 * mteswap_sync_tags() - give the untagged pages of a mapping clear tags
 * @pages: the pages
 * @nr: how many
 *
 * For mte_sync_tags(): called for page table entries that are present, user-accessible,
 * not special, and tagged, before they are set; all tag writes are ordered before what
 * follows (FLAG-6). Nothing happens where a page is none.
 *
 * Context: Any; spinlocks may be held.
 */
void mteswap_sync_tags(const struct mteswap_page *pages, size_t nr);

/**
 * mteswap_copy_tags() - copy tags and flag to another page
 * @to: overwritten whether it is tagged or not
 * @from: nothing happens where it is untagged
 *
 * For copy_highpage(): copy on write, migration (FLAG-8).
 *
 * Context: Any.
 */
void mteswap_copy_tags(const struct mteswap_page *to, const struct mteswap_page *from);

/**
 * mteswap_pages_differ() - must two pages of equal data be kept apart?
 * @a: a page
 * @b: another, or the same
 *
 * For KSM and for who replaces a page by the zero page: the data is the caller's to
 * compare (FLAG-9, FLAG-10).
 *
 * Context: Any.
 * Return: True where either is tagged, unless they are the same page; true where a page
 * is none.
 */
bool mteswap_pages_differ(const struct mteswap_page *a, const struct mteswap_page *b);

/**
 * mteswap_swap_create() - make the swap map of an area
 * @store: where the records of its slots are; must outlive it
 * @type: the area, 0 to 31
 * @slots: their number, 1 to 2^31 - 2; the slots are 0 to @slots - 1, all free
 * @out: where its address goes; written on success only
 *
 * Context: Process context. May sleep.
 * Return: 0, -EINVAL, -ENOMEM.
 */
int mteswap_swap_create(struct mteswap_store *store,
			unsigned int type,
			size_t slots,
			struct mteswap_swap **out);

/**
 * mteswap_swap_destroy() - drop a swap map and the records of its slots
 * @swap: the swap, or NULL
 *
 * Slots that are still referenced or pinned are reported to the host
 * (MTESWAP_WARN_SWAP_IN_USE) and go all the same.
 *
 * Context: Process context. May sleep. No other call on @swap runs or follows.
 */
void mteswap_swap_destroy(struct mteswap_swap *swap);

/**
 * mteswap_swap_alloc() - hand out free slots
 * @swap: the swap
 * @nr: how many, a power of two, at most MTESWAP_CLUSTER; consecutive and aligned to @nr
 * @out: where the first one's entry goes; written on success only
 *
 * Lowest first at first use, then last freed first. As in Linux, with the cache mark set
 * and count 0: duplicate once a reference, clear when the folio leaves the swap cache.
 *
 * Context: Any.
 * Return: 0, -EINVAL, -ENOSPC where no such run is free.
 */
int mteswap_swap_alloc(struct mteswap_swap *swap, size_t nr, mteswap_entry_t *out);

/**
 * mteswap_swap_duplicate() - take one more reference to a slot
 * @swap: the swap
 * @entry: the slot's entry
 *
 * Linux's swap_duplicate() hides -EINVAL and -ENOENT; this does not.
 *
 * Context: Any; spinlocks may be held.
 * Return: 0; -EINVAL for an entry of no slot here or a slot of shmem's; -ENOENT for a free
 * or bad slot; -ENOMEM where the count cannot be continued (PIN-1).
 */
int mteswap_swap_duplicate(struct mteswap_swap *swap, mteswap_entry_t entry);

/**
 * mteswap_swap_free() - drop one reference to each of consecutive slots
 * @swap: the swap
 * @first: the first slot's entry
 * @nr: how many
 *
 * A slot without references and cache mark is free, its record gone before it can be
 * handed out again (HOOK-3). Where any slot of the range has no reference, that is
 * reported to the host (MTESWAP_WARN_BAD_SWAP_FREE) and nothing is dropped (PIN-4).
 *
 * Context: Any; spinlocks may be held. After mteswap_swap_restore(), never before (HOOK-7).
 */
void mteswap_swap_free(struct mteswap_swap *swap, mteswap_entry_t first, size_t nr);

/**
 * mteswap_swap_count() - how many refer to a slot
 * @swap: the swap
 * @entry: the slot's entry
 *
 * Context: Any.
 * Return: References, the cache mark not among them; -ENOENT where the slot is free, bad
 * or not here; -EINVAL for NULL.
 */
int mteswap_swap_count(const struct mteswap_swap *swap, mteswap_entry_t entry);

/**
 * mteswap_swap_mark_bad() - never hand a slot out
 * @swap: the swap
 * @entry: the slot's entry
 *
 * Context: Any.
 * Return: 0, also where it is bad already; -EINVAL where it is in use or no slot here.
 */
int mteswap_swap_mark_bad(struct mteswap_swap *swap, mteswap_entry_t entry);

/**
 * mteswap_swap_shmem_alloc() - give consecutive slots to shmem
 * @swap: the swap
 * @first: the first slot's entry; the slots are handed out and have no reference yet
 * @nr: how many
 *
 * Such a slot has one reference, which mteswap_swap_free() drops.
 *
 * Context: Any.
 * Return: 0; -ENOENT where one is free or bad; -EINVAL where one has references or is no
 * slot here.
 */
int mteswap_swap_shmem_alloc(struct mteswap_swap *swap, mteswap_entry_t first, size_t nr);

/**
 * mteswap_swapcache_prepare() - pin consecutive slots for a swap-in
 * @swap: the swap
 * @first: the first slot's entry
 * @nr: how many; all of one cluster (PIN-2)
 *
 * Sets the cache mark of all or of none (PIN-1). Whoever pinned clears, on error paths too,
 * once (PIN-6).
 *
 * Context: Any.
 * Return: 0; -EINVAL for slots that are not here or not of one cluster; -ENOENT for a free
 * or bad slot; -EEXIST where one has the mark.
 */
int mteswap_swapcache_prepare(struct mteswap_swap *swap, mteswap_entry_t first, size_t nr);

/**
 * mteswap_swapcache_clear() - drop the cache mark of consecutive slots
 * @swap: the swap
 * @first: the first slot's entry
 * @nr: how many
 *
 * A slot left without references is free, its record gone first (PIN-3). Wakes who waits.
 * Where any slot has no mark, that is reported to the host (MTESWAP_WARN_BAD_CACHE_CLEAR)
 * and nothing is cleared.
 *
 * Context: Any; spinlocks may be held.
 */
void mteswap_swapcache_clear(struct mteswap_swap *swap, mteswap_entry_t first, size_t nr);

/**
 * mteswap_swapcache_wait() - wait until a slot is not pinned
 * @swap: the swap
 * @entry: the slot's entry
 *
 * For the loser of mteswap_swapcache_prepare(): waits for mteswap_swapcache_clear(), or
 * for a tick at most (PIN-7).
 *
 * Context: Process context. May sleep.
 * Return: 0 the slot has no mark, -ETIMEDOUT it still has, -EINVAL.
 */
int mteswap_swapcache_wait(struct mteswap_swap *swap, mteswap_entry_t entry);

/**
 * mteswap_host_alloc() - host hook: allocate memory
 * @size: bytes, above 0
 * @align: a power of two
 * @flags: MTESWAP_HOST_MAY_SLEEP, or 0 where the hook must not sleep
 *
 * Called with none of the library's locks held and outside of mteswap_host_enter()
 * and mteswap_host_exit().
 *
 * Return: Memory that nobody else uses, its content of no matter; NULL if there is none.
 */
extern void *mteswap_host_alloc(size_t size, size_t align, unsigned int flags);

/**
 * mteswap_host_free() - host hook: take memory back
 * @ptr: from mteswap_host_alloc()
 * @size: as it was asked for
 * @align: as it was asked for
 *
 * Must not sleep. Called as mteswap_host_alloc().
 */
extern void mteswap_host_free(void *ptr, size_t size, size_t align);

/**
 * mteswap_host_enter() - host hook: keep this CPU to the caller
 *
 * Switches preemption off, and interrupts where handlers call the library: until
 * mteswap_host_exit(), nothing that does may run on this CPU. Nests. The place to tell
 * a lock checker that a lock is taken: the library's own lock words are invisible to it. A library
 * with MTESWAP_ABI_NO_ENTER calls neither this nor mteswap_host_exit().
 *
 * Return: What mteswap_host_exit() needs to undo it.
 */
extern unsigned long mteswap_host_enter(void);

/**
 * mteswap_host_exit() - host hook: undo mteswap_host_enter()
 * @cookie: what that returned
 */
extern void mteswap_host_exit(unsigned long cookie);

/**
 * mteswap_host_wait() - host hook: wait while a word has a value
 * @word: read atomically
 * @expected: the value
 *
 * Until mteswap_host_wake() of the same word, or for a tick; may return early. Must not
 * miss a wake that follows a change of the word: look at it once queued. May sleep.
 */
extern void mteswap_host_wait(const uint32_t *word, uint32_t expected);

/**
 * mteswap_host_wake() - host hook: wake all who wait on a word
 * @word: as given to mteswap_host_wait()
 *
 * Must not sleep. Called as mteswap_host_alloc().
 */
extern void mteswap_host_wake(const uint32_t *word);

/**
 * mteswap_host_warn() - host hook: hear of a caller's fault
 * @warning: MTESWAP_WARN_...
 *
 * The library refused it and goes on. Must not sleep.
 */
extern void mteswap_host_warn(unsigned int warning);

/**
 * mteswap_host_panic() - host hook: the library is broken
 *
 * No call leads here: `cargo xtask symbols` shows that the linked object does not even
 * refer to it. Rust's language asks for a handler all the same.
 */
extern void mteswap_host_panic(void) MTESWAP_NORETURN;

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MTESWAP_H */
