// SPDX-License-Identifier: MIT OR Apache-2.0
/* What ends with the case: memory and actions, on one list, newest first. */
#include <pthread.h>
#include <stdlib.h>

#include <kunit/resource.h>

#include "shim.h"

struct kunit_resource {
	struct kunit_resource *older;
	kunit_action_t *action;
	void *ctx;
};

/* Cases are few at a time and short: one lock for all lists. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;

static struct kunit_resource *take(struct kunit *test, kunit_action_t *action, const void *ctx)
{
	struct kunit_resource **link, *found;

	pthread_mutex_lock(&list_lock);
	for (link = &test->resources; *link; link = &(*link)->older)
		if (!action || ((*link)->action == action && (*link)->ctx == ctx))
			break;
	found = *link;
	if (found)
		*link = found->older;
	pthread_mutex_unlock(&list_lock);
	return found;
}

int kunit_add_action(struct kunit *test, kunit_action_t *action, void *ctx)
{
	struct kunit_resource *resource = malloc(sizeof(*resource));

	if (!resource)
		return -ENOMEM;
	resource->action = action;
	resource->ctx = ctx;
	pthread_mutex_lock(&list_lock);
	resource->older = test->resources;
	test->resources = resource;
	pthread_mutex_unlock(&list_lock);
	return 0;
}

int kunit_add_action_or_reset(struct kunit *test, kunit_action_t *action, void *ctx)
{
	int ret = kunit_add_action(test, action, ctx);

	if (ret)
		action(ctx);
	return ret;
}

void kunit_remove_action(struct kunit *test, kunit_action_t *action, void *ctx)
{
	free(take(test, action, ctx));
}

void kunit_release_action(struct kunit *test, kunit_action_t *action, void *ctx)
{
	struct kunit_resource *resource = take(test, action, ctx);

	if (resource)
		resource->action(resource->ctx);
	free(resource);
}

void *kunit_kmalloc_array(struct kunit *test, size_t n, size_t size, gfp_t gfp)
{
	void *ptr = kmalloc_array(n, size, gfp);

	if (ptr && kunit_add_action_or_reset(test, free, ptr))
		return NULL;
	return ptr;
}

void kunit_kfree(struct kunit *test, const void *ptr)
{
	if (ptr)
		kunit_release_action(test, free, (void *)ptr);
}

void shim_release_resources(struct kunit *test)
{
	struct kunit_resource *resource;

	while ((resource = take(test, NULL, NULL))) {
		resource->action(resource->ctx);
		free(resource);
	}
}
