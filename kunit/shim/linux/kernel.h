/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_KERNEL_H
#define MTESWAP_SHIM_LINUX_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include <linux/compiler.h>
#include <linux/types.h>

#define BITS_PER_LONG (8 * (int)sizeof(long))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
