// SPDX-License-Identifier: MIT OR Apache-2.0
/* The few facilities of a kernel that the suites use, over POSIX threads. */
#include <pthread.h>
#include <stdlib.h>

#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/string.h>

__thread unsigned int shim_atomic_depth;

unsigned long get_zeroed_page(gfp_t gfp)
{
	void *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);

	(void)gfp;
	if (page)
		memset(page, 0, PAGE_SIZE);
	return (unsigned long)page;
}

void free_page(unsigned long addr)
{
	free((void *)addr);
}

void init_completion(struct completion *done)
{
	pthread_mutex_init(&done->lock, NULL);
	pthread_cond_init(&done->cond, NULL);
	done->done = 0;
}

void complete(struct completion *done)
{
	/* Signalled under the lock: once a waiter has it, this thread is through. */
	pthread_mutex_lock(&done->lock);
	done->done++;
	pthread_cond_signal(&done->cond);
	pthread_mutex_unlock(&done->lock);
}

void wait_for_completion(struct completion *done)
{
	pthread_mutex_lock(&done->lock);
	while (!done->done)
		pthread_cond_wait(&done->cond, &done->lock);
	done->done--;
	pthread_mutex_unlock(&done->lock);
}

struct start {
	int (*fn)(void *data);
	void *data;
};

static void *thread_main(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	start.fn(start.data);
	return NULL;
}

struct task_struct *kthread_run(int (*fn)(void *data), void *data, const char *name, ...)
{
	struct start *start = malloc(sizeof(*start));
	pthread_attr_t detached;
	pthread_t thread;
	int ret;

	(void)name;
	if (!start)
		return ERR_PTR(-ENOMEM);
	start->fn = fn;
	start->data = data;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &detached, thread_main, start);
	pthread_attr_destroy(&detached);
	if (ret) {
		free(start);
		return ERR_PTR(-ret);
	}
	/* Never looked into: suites hold it only to tell it from an error. */
	return (struct task_struct *)thread;
}

void kthread_complete_and_exit(struct completion *done, long code)
{
	(void)code;
	complete(done);
	pthread_exit(NULL);
}
