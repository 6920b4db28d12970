/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the shim know of each other. */
#ifndef MTESWAP_SHIM_H
#define MTESWAP_SHIM_H

#include <setjmp.h>
#include <stdarg.h>

#include <kunit/test.h>

/* Columns by which each level of KTAP stands in. */
#define SHIM_INDENT 4

/* One line on stdout, whole, whatever other threads print. */
void __attribute__((format(printf, 2, 3))) shim_line(int indent, const char *fmt, ...);

/* Ends what the case left, newest first. */
void shim_release_resources(struct kunit *test);

/*
 * Runs @step(@test) in a thread of its own, which a failed assertion ends.
 * False if it did not end within the time a case has.
 */
bool shim_try(struct kunit *test, void (*step)(struct kunit *test));

struct shim_counts {
	unsigned int pass, fail, skip;
};

/* Runs every case whose "suite.case" matches @filter; the sum over parameters. */
struct shim_counts shim_run_all(const char *filter);
/* Prints the "suite.case" of every such case; how many there are. */
unsigned int shim_list_all(const char *filter);

#endif
