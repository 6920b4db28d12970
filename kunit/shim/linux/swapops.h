/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_SWAPOPS_H
#define MTESWAP_SHIM_LINUX_SWAPOPS_H

#include <linux/mm.h>

#define SWP_TYPE_SHIFT 58

static inline swp_entry_t swp_entry(unsigned long type, unsigned long offset)
{
	return (swp_entry_t) { type << SWP_TYPE_SHIFT | offset };
}

static inline unsigned int swp_type(swp_entry_t entry)
{
	return entry.val >> SWP_TYPE_SHIFT;
}

#endif
