/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which of the faults the library has: the host's to say. */
#ifndef MTESWAP_BROKEN_H
#define MTESWAP_BROKEN_H

#include <linux/types.h>

bool broken(const char *fault);

#endif
