// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Between the kernel and the drop-in: the kernel's own store is fed as well, and at every
 * restore the two are compared. And faults on request, which whoever checks must notice.
 *
 * The kernel's names are defined here; see names.mk.
 */
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <asm/mte.h>
#include <mteswap.h>

#include "controls.h"

#undef pr_fmt
#define pr_fmt(fmt) "mteswap: " fmt

bool mteswap_late_restore;
module_param_named(late_restore, mteswap_late_restore, bool, 0644);
MODULE_PARM_DESC(late_restore, "restore tags once their slot is free");

static bool lose;
module_param(lose, bool, 0644);
MODULE_PARM_DESC(lose, "lose every record as soon as it is saved");

/* Where the kernel's store restores to for comparison; never mapped. */
static struct page *scratch;
static u8 ours[MTESWAP_TAGS_BYTES], stock[MTESWAP_TAGS_BYTES];
static unsigned long compared, found, different;
/* Over all of the above. */
static DEFINE_SPINLOCK(scratch_lock);

static bool restore_stock(swp_entry_t entry)
{
	clear_bit(PG_mte_tagged, &scratch->flags);
	clear_bit(PG_mte_lock, &scratch->flags);
	stock_mte_restore_tags(entry, scratch);
	if (!page_mte_tagged(scratch))
		return false;
	mte_save_page_tags(page_address(scratch), stock);
	return true;
}

/* Slot and folio are the caller's: neither store may lose the record meanwhile. */
static void compare(swp_entry_t entry)
{
	bool in_ours, in_stock;
	unsigned long flags;

	spin_lock_irqsave(&scratch_lock, flags);
	in_ours = mteswap_restore(mteswap_linux_store, entry.val, ours) == 1;
	in_stock = restore_stock(entry);
	compared++;
	found += in_stock;
	if (in_ours != in_stock || (in_ours && memcmp(ours, stock, sizeof(ours)))) {
		if (!different++)
			pr_err("entry %#lx: ours %d, the kernel's %d, or other tags\n",
			       entry.val, in_ours, in_stock);
	}
	spin_unlock_irqrestore(&scratch_lock, flags);
}

static void lose_now(swp_entry_t entry, unsigned long nr)
{
	if (READ_ONCE(lose))
		mteswap_invalidate_range(mteswap_linux_store, entry.val, nr);
}

int mte_save_tags(struct page *page)
{
	swp_entry_t entry = page_swap_entry(page);
	int err = ours_mte_save_tags(page);

	if (err)
		return err;
	lose_now(entry, 1);
	err = stock_mte_save_tags(page);
	if (err)
		ours_mte_invalidate_tags(swp_type(entry), swp_offset(entry));
	return err;
}

void mte_restore_tags(swp_entry_t entry, struct page *page)
{
	compare(entry);
	ours_mte_restore_tags(entry, page);
}

void mte_invalidate_tags(int type, pgoff_t offset)
{
	ours_mte_invalidate_tags(type, offset);
	stock_mte_invalidate_tags(type, offset);
}

void mte_invalidate_tags_area(int type)
{
	ours_mte_invalidate_tags_area(type);
	stock_mte_invalidate_tags_area(type);
}

/* Lost here: all pages' tags that hibernation keeps are in one place. */
static u64 lost[MTESWAP_TAGS_BYTES / sizeof(u64)];

void *mte_allocate_tag_storage(void)
{
	return READ_ONCE(lose) ? lost : ours_mte_allocate_tag_storage();
}

void mte_free_tag_storage(char *storage)
{
	if (storage != (char *)lost)
		ours_mte_free_tag_storage(storage);
}

int arch_prepare_to_swap(struct folio *folio)
{
	swp_entry_t entry = page_swap_entry(folio_page(folio, 0));
	int err = ours_arch_prepare_to_swap(folio);

	if (err)
		return err;
	lose_now(entry, folio_nr_pages(folio));
	err = stock_arch_prepare_to_swap(folio);
	if (err)
		mteswap_invalidate_range(mteswap_linux_store, entry.val, folio_nr_pages(folio));
	return err;
}

void arch_swap_restore(swp_entry_t entry, struct folio *folio)
{
	unsigned long i;

	for (i = 0; i < folio_nr_pages(folio); i++)
		compare((swp_entry_t) { entry.val + i });
	ours_arch_swap_restore(entry, folio);
}

static int differential_show(struct seq_file *file, void *unused)
{
	unsigned long flags;

	spin_lock_irqsave(&scratch_lock, flags);
	seq_printf(file, "compared: %lu\nfound: %lu\ndifferent: %lu\n", compared, found, different);
	spin_unlock_irqrestore(&scratch_lock, flags);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(differential);

/*
 * Takes a lock around one of the library's and one of the library's around it: where lockdep
 * is, it must say so.
 */
static int invert(void *unused, u64 value)
{
	static DEFINE_SPINLOCK(outer);
	swp_entry_t entry = swp_entry(MAX_SWAPFILES - 1, 0);
	unsigned long flags;

	spin_lock_irqsave(&outer, flags);
	mteswap_save_atomic(mteswap_linux_store, entry.val, stock);
	mteswap_invalidate(mteswap_linux_store, entry.val);
	spin_unlock_irqrestore(&outer, flags);

	flags = mteswap_host_enter();
	spin_lock(&outer);
	spin_unlock(&outer);
	mteswap_host_exit(flags);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(invert_fops, NULL, invert, "%llu\n");

static int __init controls_init(void)
{
	struct dentry *dir = debugfs_lookup("mteswap", NULL);

	scratch = alloc_page(GFP_KERNEL | __GFP_NOFAIL);
	debugfs_create_file("differential", 0444, dir, NULL, &differential_fops);
	debugfs_create_file_unsafe("invert", 0200, dir, NULL, &invert_fops);
	dput(dir);
	return 0;
}
fs_initcall(controls_init);
