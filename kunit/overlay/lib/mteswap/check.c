// SPDX-License-Identifier: MIT OR Apache-2.0
/* At start: the object is the one this kernel wants, and the machine's tags are tags. */
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <mteswap.h>

#include "books.h"

#undef pr_fmt
#define pr_fmt(fmt) "mteswap: " fmt

#ifdef CONFIG_ARM64_MTE
#include <asm/cpufeature.h>

/* Writes tags to a page and reads them back: -EIO where others come back. */
static int write_and_read(struct mteswap_store *store, void *addr, u8 *tags, u8 *back)
{
	unsigned long flags = 0;
	struct mteswap_page page = {
		.flags = &flags,
		.addr = addr,
		.tagged_bit = MTESWAP_PG_TAGGED,
		.lock_bit = MTESWAP_PG_LOCK,
	};
	size_t i;
	int ret;

	for (i = 0; i < MTESWAP_TAGS_BYTES; i++)
		tags[i] = (2 * i & 0xf) | (2 * i + 1) << 4;
	ret = mteswap_save(store, 0, tags);
	if (ret)
		return ret;
	if (mteswap_swap_restore(store, 0, 1, &page) != 1)
		return -ENODATA;
	ret = mteswap_prepare_to_swap(store, 0, 1, &page);
	if (ret)
		return ret;
	if (mteswap_restore(store, 0, back) != 1)
		return -ENODATA;
	return memcmp(tags, back, MTESWAP_TAGS_BYTES) ? -EIO : 0;
}

static int check_tags(void)
{
	struct mteswap_store *store = NULL;
	void *page, *tags, *back;
	int ret = -ENOMEM;

	if (!system_supports_mte()) {
		pr_err("this machine has no MTE\n");
		return -ENODEV;
	}
	page = (void *)get_zeroed_page(GFP_KERNEL);
	tags = kmalloc(MTESWAP_TAGS_BYTES, GFP_KERNEL);
	back = kmalloc(MTESWAP_TAGS_BYTES, GFP_KERNEL);
	if (page && tags && back)
		ret = mteswap_store_create(&store);
	if (!ret)
		ret = write_and_read(store, page, tags, back);
	if (ret == -EIO && !memchr_inv(back, *(u8 *)back, MTESWAP_TAGS_BYTES))
		pr_err("all granules of a page share one tag: QEMU before 8 has no MTE to speak of\n");
	else if (ret)
		pr_err("a page's tags do not come back: %d\n", ret);
	else
		pr_info("each granule of a page has a tag of its own\n");
	mteswap_store_destroy(store);
	kfree(back);
	kfree(tags);
	free_page((unsigned long)page);
	return ret;
}
#else
static int check_tags(void)
{
	return 0;
}
#endif

static int __init mteswap_init(void)
{
	u32 wanted = MTESWAP_ABI << 8 | PAGE_SHIFT;

	if (IS_ENABLED(CONFIG_MTESWAP_NO_ENTER))
		wanted |= MTESWAP_ABI_NO_ENTER;
	if (mteswap_abi() != wanted) {
		pr_err("the object is %#x, this kernel wants %#x (ABI << 8 | no enter | page shift)\n",
		       mteswap_abi(), wanted);
		return -EINVAL;
	}
	return check_tags();
}

/* Stores are their makers', and those hold this module: none is left. */
static void __exit mteswap_exit(void)
{
	books_close();
}

module_init(mteswap_init);
module_exit(mteswap_exit);
MODULE_DESCRIPTION("Tag store for swapped-out pages");
MODULE_LICENSE("Dual MIT/GPL");
