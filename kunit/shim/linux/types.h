/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_TYPES_H
#define MTESWAP_SHIM_LINUX_TYPES_H

/* The C library's own headers want the system's file of this name as well. */
#include_next <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned int gfp_t;
typedef unsigned long pgoff_t;

#endif
