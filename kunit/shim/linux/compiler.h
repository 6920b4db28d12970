/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_COMPILER_H
#define MTESWAP_SHIM_LINUX_COMPILER_H

#define __maybe_unused __attribute__((unused))

/* Relaxed atomics, so that a thread sanitizer knows the access for what it is. */
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)

#endif
