/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Actions that run when the case ends, newest first. */
#ifndef MTESWAP_SHIM_KUNIT_RESOURCE_H
#define MTESWAP_SHIM_KUNIT_RESOURCE_H

#include <kunit/test.h>

typedef void (kunit_action_t)(void *ctx);

/* 0, or -ENOMEM: the action will not run then. */
int kunit_add_action(struct kunit *test, kunit_action_t *action, void *ctx);
/* As above, but on -ENOMEM the action runs at once. */
int kunit_add_action_or_reset(struct kunit *test, kunit_action_t *action, void *ctx);
/* Forgets the newest such action. */
void kunit_remove_action(struct kunit *test, kunit_action_t *action, void *ctx);
/* Runs the newest such action now, and not again. */
void kunit_release_action(struct kunit *test, kunit_action_t *action, void *ctx);

#endif
