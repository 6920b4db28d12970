/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_SCHED_H
#define MTESWAP_SHIM_LINUX_SCHED_H

#include <sched.h>

static inline int cond_resched(void)
{
	return sched_yield();
}

#endif
