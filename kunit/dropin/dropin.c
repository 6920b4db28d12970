// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The store in place of arch/arm64/mm/mteswap.c: mteswap_linux.h defines what that file
 * does; here are the store itself and a look into it.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/printk.h>
#include <linux/seq_file.h>
#include <asm/cpufeature.h>
#include <mteswap_linux.h>

#undef pr_fmt
#define pr_fmt(fmt) "mteswap: " fmt

struct mteswap_store *mteswap_linux_store;

static int stats_show(struct seq_file *file, void *unused)
{
	struct mteswap_stats stats;
	int ret = mteswap_stats(mteswap_linux_store, &stats);

	if (ret)
		return ret;
	seq_printf(file, "entries: %llu\n", stats.entries);
	seq_printf(file, "inline_entries: %llu\n", stats.inline_entries);
	seq_printf(file, "payload_bytes: %llu\n", stats.payload_bytes);
	seq_printf(file, "index_bytes: %llu\n", stats.index_bytes);
	seq_printf(file, "reserved_bytes: %llu\n", stats.reserved_bytes);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

/* Before there is a device to swap to. */
static int __init dropin_init(void)
{
	int ret;

	/* No page has tags; nor need the object, made for processors that have them, run here. */
	if (!system_supports_mte())
		return 0;
	ret = mteswap_store_create(&mteswap_linux_store);
	if (ret) {
		pr_err("no store (%d): tagged pages will not be swapped out\n", ret);
		return ret;
	}
	debugfs_create_file("stats", 0444, debugfs_create_dir("mteswap", NULL), NULL,
			    &stats_fops);
	return 0;
}
subsys_initcall(dropin_init);
