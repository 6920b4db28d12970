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

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * mteswap_abi() - what the library was built as
 *
 * Differs from MTESWAP_ABI << 8 | MTESWAP_PAGE_SHIFT where the header in use is not that
 * of the library.
 *
 * Context: Any.
 * Return: MTESWAP_ABI << 8 | page shift.
 */
uint32_t mteswap_abi(void);

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
 * a lock checker that a lock is taken: the library's own lock words are invisible to it.
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

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MTESWAP_H */
