/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_BITS_H
#define MTESWAP_SHIM_LINUX_BITS_H

#define BIT(nr) (1ul << (nr))
#define BIT_ULL(nr) (1ull << (nr))

#endif
