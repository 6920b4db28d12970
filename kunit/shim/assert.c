// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What a failed expectation prints, as KTAP diagnostics, and how a failed
 * assertion ends its case.
 */
#include <pthread.h>
#include <stdlib.h>

#include "shim.h"

/* The case's own thread, which an assertion leaves through here. */
static __thread jmp_buf *way_out;

/* Bytes shown from the first that differs. */
#define MEM_SHOWN 16

void shim_line(int indent, const char *fmt, ...)
{
	va_list args;

	flockfile(stdout);
	printf("%*s", indent, "");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	funlockfile(stdout);
}

void kunit_shim_log(struct kunit *test, const char *fmt, ...)
{
	va_list args;
	char text[512];

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* Messages end in a newline in some suites; KTAP has one line for each. */
	text[strcspn(text, "\n")] = '\0';
	shim_line(test->indent, "# %s: %s", test->name, text);
}

void kunit_mark_skipped(struct kunit *test, const char *fmt, ...)
{
	va_list args;

	if (test->status == KUNIT_FAILURE)
		return;
	va_start(args, fmt);
	vsnprintf(test->status_comment, sizeof(test->status_comment), fmt, args);
	va_end(args);
	test->status = KUNIT_SKIPPED;
}

void kunit_shim_abort(struct kunit *test)
{
	(void)test;
	if (way_out)
		longjmp(*way_out, 1);
	/* A thread the case started: it alone ends, as in a kernel. */
	pthread_exit(NULL);
}

struct attempt {
	struct kunit *test;
	void (*step)(struct kunit *test);
};

static void *attempt_main(void *arg)
{
	struct attempt *attempt = arg;
	jmp_buf here;

	way_out = &here;
	if (!setjmp(here))
		attempt->step(attempt->test);
	way_out = NULL;
	return NULL;
}

bool shim_try(struct kunit *test, void (*step)(struct kunit *test))
{
	struct attempt attempt = { test, step };
	struct timespec end;
	pthread_t thread;

	if (pthread_create(&thread, NULL, attempt_main, &attempt)) {
		kunit_err(test, "cannot start a thread");
		test->status = KUNIT_FAILURE;
		return true;
	}
	/* KUnit's own limit; nothing here comes near it but a hang. */
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 300;
	return !pthread_timedjoin_np(thread, NULL, &end);
}

/* A failure opens with where it is and closes with the suite's own words. */
static void fail_open(struct kunit *test, const struct kunit_shim_place *place)
{
	__atomic_store_n(&test->status, KUNIT_FAILURE, __ATOMIC_RELAXED);
	flockfile(stdout);
	shim_line(test->indent, "# %s: %s FAILED at %s:%d", test->name,
		  place->type == KUNIT_ASSERTION ? "ASSERTION" : "EXPECTATION",
		  place->file, place->line);
}

static void fail_close(struct kunit *test, const struct kunit_shim_place *place,
		       const char *fmt, va_list args)
{
	char text[512];

	if (fmt) {
		vsnprintf(text, sizeof(text), fmt, args);
		text[strcspn(text, "\n")] = '\0';
		shim_line(test->indent, "#     %s", text);
	}
	funlockfile(stdout);
	if (place->type == KUNIT_ASSERTION)
		kunit_shim_abort(test);
}

void kunit_shim_fail(struct kunit *test, const struct kunit_shim_place *place,
		     const char *fmt, ...)
{
	va_list args;

	fail_open(test, place);
	va_start(args, fmt);
	fail_close(test, place, fmt, args);
	va_end(args);
}

void kunit_shim_fail_bool(struct kunit *test, const struct kunit_shim_place *place,
			  const char *text, bool wanted, const char *fmt, ...)
{
	va_list args;

	fail_open(test, place);
	shim_line(test->indent, "#     Expected %s to be %s, but is %s", text,
		  wanted ? "true" : "false", wanted ? "false" : "true");
	va_start(args, fmt);
	fail_close(test, place, fmt, args);
	va_end(args);
}

static void fail_relation(struct kunit *test, const char *left, const char *op,
			  const char *right)
{
	shim_line(test->indent, "#     Expected %s %s %s, but", left, op, right);
}

void kunit_shim_fail_int(struct kunit *test, const struct kunit_shim_place *place,
			 const char *left, const char *op, const char *right,
			 long long l, long long r, const char *fmt, ...)
{
	va_list args;

	fail_open(test, place);
	fail_relation(test, left, op, right);
	shim_line(test->indent, "#         %s == %lld (0x%llx)", left, l, l);
	shim_line(test->indent, "#         %s == %lld (0x%llx)", right, r, r);
	va_start(args, fmt);
	fail_close(test, place, fmt, args);
	va_end(args);
}

void kunit_shim_fail_ptr(struct kunit *test, const struct kunit_shim_place *place,
			 const char *left, const char *op, const char *right,
			 const void *l, const void *r, const char *fmt, ...)
{
	va_list args;

	fail_open(test, place);
	fail_relation(test, left, op, right);
	shim_line(test->indent, "#         %s == %p", left, l);
	shim_line(test->indent, "#         %s == %p", right, r);
	va_start(args, fmt);
	fail_close(test, place, fmt, args);
	va_end(args);
}

void kunit_shim_fail_str(struct kunit *test, const struct kunit_shim_place *place,
			 const char *left, const char *op, const char *right,
			 const char *l, const char *r, const char *fmt, ...)
{
	va_list args;

	fail_open(test, place);
	fail_relation(test, left, op, right);
	shim_line(test->indent, "#         %s == \"%s\"", left, l ? l : "(null)");
	shim_line(test->indent, "#         %s == \"%s\"", right, r ? r : "(null)");
	va_start(args, fmt);
	fail_close(test, place, fmt, args);
	va_end(args);
}

static void show_bytes(struct kunit *test, const char *name, const unsigned char *bytes,
		       size_t size)
{
	char text[3 * MEM_SHOWN + 1] = "";
	size_t i;

	for (i = 0; i < size && i < MEM_SHOWN; i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * i, " %02x", bytes[i]);
	shim_line(test->indent, "#         %s ==%s", name, text);
}

void kunit_shim_fail_mem(struct kunit *test, const struct kunit_shim_place *place,
			 const char *left, const char *op, const char *right,
			 const void *l, const void *r, size_t size, const char *fmt, ...)
{
	const unsigned char *a = l, *b = r;
	size_t at = 0, differ = 0, i;
	va_list args;

	fail_open(test, place);
	fail_relation(test, left, op, right);
	if (!l || !r) {
		shim_line(test->indent, "#         one of them is NULL");
	} else {
		for (i = size; i; i--) {
			if (a[i - 1] != b[i - 1]) {
				at = i - 1;
				differ++;
			}
		}
		shim_line(test->indent, "#         %zu of %zu bytes differ, from byte %zu on:",
			  differ, size, at);
		show_bytes(test, left, a + at, size - at);
		show_bytes(test, right, b + at, size - at);
	}
	va_start(args, fmt);
	fail_close(test, place, fmt, args);
	va_end(args);
}
