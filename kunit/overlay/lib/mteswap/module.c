// SPDX-License-Identifier: MIT OR Apache-2.0
/* The suites' module. */
#include <linux/module.h>

MODULE_DESCRIPTION("KUnit tests of the tag store for swapped-out pages");
MODULE_IMPORT_NS(MTESWAP);
MODULE_LICENSE("Dual MIT/GPL");
