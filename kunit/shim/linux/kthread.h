/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernel threads as detached threads of this process. */
#ifndef MTESWAP_SHIM_LINUX_KTHREAD_H
#define MTESWAP_SHIM_LINUX_KTHREAD_H

#include <linux/completion.h>
#include <linux/err.h>

struct task_struct;

/* Starts @fn(@data); an error pointer where no thread can be had. */
struct task_struct *__attribute__((format(printf, 3, 4)))
kthread_run(int (*fn)(void *data), void *data, const char *name, ...);

/* Ends the calling thread; @done completes once it uses nothing of its caller's. */
void __attribute__((noreturn)) kthread_complete_and_exit(struct completion *done, long code);

#endif
