/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef MTESWAP_SHIM_LINUX_COMPLETION_H
#define MTESWAP_SHIM_LINUX_COMPLETION_H

#include <pthread.h>

struct completion {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int done;
};

void init_completion(struct completion *done);
/* Lets one waiter through. */
void complete(struct completion *done);
void wait_for_completion(struct completion *done);

#endif
