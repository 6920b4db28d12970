// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What the shim has to do, as suites: selftest.ktap is what they print. The
 * suites fail where they should.
 */
#include <kunit/resource.h>
#include <kunit/test.h>

static void passes(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, true);
	KUNIT_EXPECT_EQ(test, 2, 1 + 1);
	KUNIT_EXPECT_STREQ(test, "tag", "tag");
	KUNIT_EXPECT_MEMEQ(test, "abc", "abd", 2);
	KUNIT_EXPECT_NOT_NULL(test, test);
	KUNIT_SUCCEED(test);
	kunit_info(test, "has something to say\n");
}

static void goes_on_after_an_expectation(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 2 + 2, 5);
	KUNIT_EXPECT_TRUE_MSG(test, 1 > 2, "said %d times", 2);
	KUNIT_EXPECT_STREQ(test, "tag", "flag");
	KUNIT_EXPECT_MEMEQ(test, "abcdefgh", "abcxefgy", 8);
	KUNIT_FAIL(test, "because of %s", "this");
}

static void ends_with_an_assertion(struct kunit *test)
{
	KUNIT_ASSERT_LT(test, 2, 1);
	KUNIT_FAIL(test, "not reached");
}

static void skips(struct kunit *test)
{
	kunit_skip(test, "no %s here", "tags");
	KUNIT_FAIL(test, "not reached");
}

static void skips_too_late(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, true);
	kunit_skip(test, "a failure stays one");
}

static const struct row {
	const char *name;
	int value;
} rows[] = { { "one", 1 }, { "minus one", -1 }, { "none", 0 } };

KUNIT_ARRAY_PARAM_DESC(row, rows, name);

static void runs_for_each_row(struct kunit *test)
{
	const struct row *row = test->param_value;

	if (!row->value)
		kunit_skip(test, "nothing to do");
	KUNIT_EXPECT_GT(test, row->value, 0);
}

static void say(void *what)
{
	printf("    # action: %s\n", (const char *)what);
}

static void ends_what_it_began_newest_first(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action(test, say, "first"), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action(test, say, "forgotten"), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action(test, say, "released"), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action(test, say, "last"), 0);
	kunit_remove_action(test, say, "forgotten");
	kunit_release_action(test, say, "released");
	KUNIT_ASSERT_NOT_NULL(test, kunit_kzalloc(test, 64, GFP_KERNEL));
	KUNIT_ASSERT_TRUE(test, false);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(passes),
	KUNIT_CASE(goes_on_after_an_expectation),
	KUNIT_CASE(ends_with_an_assertion),
	KUNIT_CASE(skips),
	KUNIT_CASE(skips_too_late),
	KUNIT_CASE_PARAM(runs_for_each_row, row_gen_params),
	KUNIT_CASE(ends_what_it_began_newest_first),
	{}
};

static struct kunit_suite selftest = { .name = "selftest", .test_cases = cases };

static int refuse(struct kunit *test)
{
	test->priv = NULL;
	return -ENOMEM;
}

static int refuse_all(struct kunit_suite *suite)
{
	return suite ? -ENODEV : 0;
}

static struct kunit_case lone[] = { KUNIT_CASE(passes), {} };
static struct kunit_suite no_init = { .name = "no_init", .init = refuse, .test_cases = lone };
static struct kunit_suite no_suite = {
	.name = "no_suite", .suite_init = refuse_all, .test_cases = lone,
};
static struct kunit_case skipped[] = { KUNIT_CASE(skips), {} };
static struct kunit_suite all_skipped = { .name = "all_skipped", .test_cases = skipped };

kunit_test_suites(&selftest, &no_init, &no_suite, &all_skipped);
