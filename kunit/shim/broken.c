// SPDX-License-Identifier: MIT OR Apache-2.0
/* The fault that the environment names in MTESWAP_BREAK. */
#include <stdlib.h>

#include <linux/string.h>

#include "../faults/broken.h"

bool broken(const char *fault)
{
	const char *chosen = getenv("MTESWAP_BREAK");

	return chosen && !strcmp(chosen, fault);
}
