// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Walks the suites and prints KTAP version 1, indented as KUnit's, and nothing
 * else, on stdout.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim.h"

/* The section's ends, as the linker names them. */
extern struct kunit_suite *const __start_kunit_test_suites[];
extern struct kunit_suite *const __stop_kunit_test_suites[];

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static unsigned int total(struct shim_counts counts)
{
	return counts.pass + counts.fail + counts.skip;
}

static void count(struct shim_counts *counts, enum kunit_status status)
{
	switch (status) {
	case KUNIT_SUCCESS:
		counts->pass++;
		break;
	case KUNIT_FAILURE:
		counts->fail++;
		break;
	case KUNIT_SKIPPED:
		counts->skip++;
		break;
	}
}

/* A case fails with one of its parameters, and is skipped with all of them. */
static enum kunit_status verdict(struct shim_counts counts)
{
	if (counts.fail)
		return KUNIT_FAILURE;
	return counts.pass ? KUNIT_SUCCESS : KUNIT_SKIPPED;
}

static void print_result(int indent, enum kunit_status status, unsigned int number,
			 const char *name, const char *comment)
{
	const char *ok = status == KUNIT_FAILURE ? "not ok" : "ok";

	if (status == KUNIT_SKIPPED)
		shim_line(indent, "%s %u %s # SKIP %s", ok, number, name, comment);
	else
		shim_line(indent, "%s %u %s", ok, number, name);
}

static void print_counts(int indent, const char *of, struct shim_counts counts)
{
	shim_line(indent, "# %s: pass:%u fail:%u skip:%u total:%u", of, counts.pass,
		  counts.fail, counts.skip, total(counts));
}

/* "suite" takes the suite whole, "suite.case" the cases that match as well. */
static bool wanted(const char *filter, const char *suite, const char *name)
{
	const char *dot = filter ? strchr(filter, '.') : NULL;
	char glob[256];

	if (!filter)
		return true;
	if (!dot)
		return !fnmatch(filter, suite, 0);
	snprintf(glob, sizeof(glob), "%.*s", (int)(dot - filter), filter);
	return !fnmatch(glob, suite, 0) && !fnmatch(dot + 1, name, 0);
}

static unsigned int wanted_cases(const char *filter, const struct kunit_suite *suite)
{
	const struct kunit_case *at;
	unsigned int nr = 0;

	for (at = suite->test_cases; at->run_case; at++)
		nr += wanted(filter, suite->name, at->name);
	return nr;
}

/* What shim_try() runs, in a thread of its own; there is one at a time. */
static struct kunit_suite *suite_now;
static struct kunit_case *case_now;

static void step_case(struct kunit *test)
{
	int ret = suite_now->init ? suite_now->init(test) : 0;

	if (ret) {
		kunit_err(test, "failed to initialize: %d", ret);
		test->status = KUNIT_FAILURE;
		return;
	}
	case_now->run_case(test);
}

static void step_exit(struct kunit *test)
{
	if (suite_now->exit)
		suite_now->exit(test);
}

/* One run of the current case; resources end after the suite's exit. */
static enum kunit_status run_once(struct kunit *test)
{
	if (!shim_try(test, step_case) || !shim_try(test, step_exit)) {
		/* Its thread cannot be ended, and holds what the next would need. */
		kunit_err(test, "timed out");
		shim_line(0, "Bail out! %s.%s timed out", suite_now->name, case_now->name);
		_exit(EXIT_FAILED);
	}
	shim_release_resources(test);
	return test->status;
}

static void run_params(struct kunit *result, struct shim_counts *sum)
{
	char desc[KUNIT_PARAM_DESC_SIZE] = "";
	struct shim_counts counts = { 0 };
	const void *param = NULL;
	int indent = 2 * SHIM_INDENT;
	unsigned int plan = 0;

	while ((param = case_now->generate_params(param, desc)))
		plan++;
	desc[0] = '\0';
	shim_line(indent, "KTAP version 1");
	shim_line(indent, "# Subtest: %s", case_now->name);
	shim_line(indent, "1..%u", plan);
	while ((param = case_now->generate_params(param, desc))) {
		struct kunit test = {
			.name = case_now->name,
			.indent = indent,
			.param_value = param,
			.param_index = (int)total(counts),
		};

		if (!desc[0])
			snprintf(desc, sizeof(desc), "param-%d", test.param_index);
		count(&counts, run_once(&test));
		print_result(indent, test.status, total(counts), desc, test.status_comment);
		desc[0] = '\0';
	}
	print_counts(SHIM_INDENT, case_now->name, counts);

	result->status = verdict(counts);
	if (result->status == KUNIT_SKIPPED)
		snprintf(result->status_comment, sizeof(result->status_comment),
			 total(counts) ? "every parameter was skipped" : "no parameters");
	sum->pass += counts.pass;
	sum->fail += counts.fail;
	sum->skip += counts.skip;
}

static void run_suite(struct kunit_suite *suite, unsigned int number, const char *filter,
		      struct shim_counts *sum)
{
	struct shim_counts cases = { 0 }, runs = { 0 };
	unsigned int ran = 0;
	int ret;

	shim_line(SHIM_INDENT, "KTAP version 1");
	shim_line(SHIM_INDENT, "# Subtest: %s", suite->name);
	shim_line(SHIM_INDENT, "1..%u", wanted_cases(filter, suite));

	ret = suite->suite_init ? suite->suite_init(suite) : 0;
	if (ret)
		shim_line(SHIM_INDENT, "# %s: failed to initialize: %d", suite->name, ret);

	suite_now = suite;
	for (case_now = suite->test_cases; case_now->run_case; case_now++) {
		struct kunit test = { .name = case_now->name, .indent = SHIM_INDENT };

		if (!wanted(filter, suite->name, case_now->name))
			continue;
		if (ret) {
			test.status = KUNIT_FAILURE;
			count(&runs, test.status);
		} else if (case_now->generate_params) {
			run_params(&test, &runs);
		} else {
			count(&runs, run_once(&test));
		}
		count(&cases, test.status);
		print_result(SHIM_INDENT, test.status, ++ran, case_now->name,
			     test.status_comment);
	}
	if (!ret && suite->suite_exit)
		suite->suite_exit(suite);

	print_counts(0, suite->name, cases);
	print_counts(0, "Totals", runs);
	print_result(0, verdict(cases), number, suite->name, "every case was skipped");
	sum->pass += runs.pass;
	sum->fail += runs.fail;
	sum->skip += runs.skip;
}

struct shim_counts shim_run_all(const char *filter)
{
	struct kunit_suite *const *at;
	struct shim_counts sum = { 0 };
	unsigned int nr = 0, number = 0;

	for (at = __start_kunit_test_suites; at != __stop_kunit_test_suites; at++)
		nr += wanted_cases(filter, *at) > 0;
	shim_line(0, "KTAP version 1");
	shim_line(0, "1..%u", nr);
	for (at = __start_kunit_test_suites; at != __stop_kunit_test_suites; at++)
		if (wanted_cases(filter, *at))
			run_suite(*at, ++number, filter, &sum);
	return sum;
}

unsigned int shim_list_all(const char *filter)
{
	struct kunit_suite *const *at;
	const struct kunit_case *one;
	unsigned int nr = 0;

	for (at = __start_kunit_test_suites; at != __stop_kunit_test_suites; at++) {
		for (one = (*at)->test_cases; one->run_case; one++) {
			if (!wanted(filter, (*at)->name, one->name))
				continue;
			shim_line(0, "%s.%s", (*at)->name, one->name);
			nr++;
		}
	}
	return nr;
}

static void usage(FILE *to, const char *name)
{
	fprintf(to,
		"usage: %s [--filter GLOB] [--list]\n"
		"  --filter GLOB  only the suites that match, or with SUITE.CASE the cases\n"
		"  --list         print the names of the cases and run none\n"
		"  --help         print this\n",
		name);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "filter", required_argument, NULL, 'f' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *filter = NULL;
	struct shim_counts sum;
	bool list = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			filter = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'h':
			usage(stdout, argv[0]);
			return EXIT_OK;
		default:
			usage(stderr, argv[0]);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr, argv[0]);
		return EXIT_USAGE;
	}
	/* A line at a time: what a crash leaves unsaid is its own case alone. */
	setvbuf(stdout, NULL, _IOLBF, 0);

	if (list)
		return shim_list_all(filter) ? EXIT_OK : EXIT_FAILED;
	sum = shim_run_all(filter);
	if (!total(sum))
		fprintf(stderr, "%s: no case matches \"%s\"\n", argv[0], filter ? filter : "*");
	return total(sum) && !sum.fail ? EXIT_OK : EXIT_FAILED;
}
