/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * RCU as a kernel without preemption has it: readers cost nothing. A callback
 * waits in a list of its thread until rcu_run(), at the end of the store's call
 * that queued it: cheaper than a grace period, and enough for a bench that never
 * reads while it erases.
 */
#ifndef BENCH_LINUX_RCUPDATE_H
#define BENCH_LINUX_RCUPDATE_H

struct rcu_head {
	struct rcu_head *next;
	void (*callback)(struct rcu_head *head);
};

#define rcu_read_lock() __asm__ volatile("" ::: "memory")
#define rcu_read_unlock() __asm__ volatile("" ::: "memory")
#define rcu_dereference_raw(p) __atomic_load_n(&(p), __ATOMIC_CONSUME)
#define rcu_dereference_check(p, held) rcu_dereference_raw(p)
#define rcu_dereference_protected(p, held) (p)
#define rcu_dereference(p) rcu_dereference_raw(p)
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define RCU_INIT_POINTER(p, v) ((void)((p) = (v)))

extern __thread struct rcu_head *rcu_pending;

static inline void call_rcu(struct rcu_head *head, void (*callback)(struct rcu_head *head))
{
	head->callback = callback;
	head->next = rcu_pending;
	rcu_pending = head;
}

static inline void rcu_run(void)
{
	while (__builtin_expect(!!rcu_pending, 0)) {
		struct rcu_head *head = rcu_pending;

		rcu_pending = head->next;
		head->callback(head);
	}
}

#endif
