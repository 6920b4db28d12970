/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_ASM_MTE_H
#define MTESWAP_SHIM_ASM_MTE_H

/* Anywhere in the word but where the library has them by itself. */
enum pageflags {
	PG_mte_tagged = 19,
	PG_mte_lock = 42,
};

#endif
