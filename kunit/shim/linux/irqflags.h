/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * No interrupts to switch off here: the shim notes that the thread is atomic,
 * and its allocator and its waits report a call that could sleep.
 */
#ifndef MTESWAP_SHIM_LINUX_IRQFLAGS_H
#define MTESWAP_SHIM_LINUX_IRQFLAGS_H

extern __thread unsigned int shim_atomic_depth;

#define local_irq_save(flags) ((void)((flags) = shim_atomic_depth++))
#define local_irq_restore(flags) ((void)(shim_atomic_depth = (flags)))

#endif
