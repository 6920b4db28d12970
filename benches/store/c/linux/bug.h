/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A failed check costs a predicted branch, as in the kernel. */
#ifndef BENCH_LINUX_BUG_H
#define BENCH_LINUX_BUG_H

#include <stdlib.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>

#define BUG_ON(condition) \
	do { if (unlikely(condition)) abort(); } while (0)
#define WARN_ON(condition) \
	({ int warn_ = !!(condition); if (unlikely(warn_)) abort(); warn_; })
#define WARN_ON_ONCE(condition) WARN_ON(condition)

#endif
