/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * KUnit's names in user space, so that a suite written for a kernel builds and
 * runs as a program.
 *
 * Written from KUnit's documentation (Documentation/dev-tools/kunit), not from
 * its source. A suite that compiles here against these names compiles in a
 * kernel against <kunit/test.h>; what KUnit leaves open is left open here too.
 */
#ifndef MTESWAP_SHIM_KUNIT_TEST_H
#define MTESWAP_SHIM_KUNIT_TEST_H

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>

#define KUNIT_PARAM_DESC_SIZE 128
#define KUNIT_STATUS_COMMENT_SIZE 256

enum kunit_status { KUNIT_SUCCESS, KUNIT_FAILURE, KUNIT_SKIPPED };

struct kunit_resource;

/* One run of one case: of a parameterised case, the run of one parameter. */
struct kunit {
	void *priv;
	const char *name;
	const void *param_value;
	int param_index;
	enum kunit_status status;
	char status_comment[KUNIT_STATUS_COMMENT_SIZE];

	/* The shim's own: newest resource first, and how deep its lines stand. */
	struct kunit_resource *resources;
	int indent;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
	const void *(*generate_params)(const void *prev, char *desc);
};

struct kunit_suite {
	const char name[256];
	int (*suite_init)(struct kunit_suite *suite);
	void (*suite_exit)(struct kunit_suite *suite);
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(fn) { .run_case = (fn), .name = #fn }
#define KUNIT_CASE_SLOW(fn) KUNIT_CASE(fn)
#define KUNIT_CASE_PARAM(fn, gen) \
	{ .run_case = (fn), .name = #fn, .generate_params = (gen) }

/* Walks @array; @get_desc, where given, writes the parameter's name. */
#define KUNIT_ARRAY_PARAM(stem, array, get_desc)                               \
	static const void *stem##_gen_params(const void *prev, char *desc)     \
	{                                                                      \
		const __typeof__((array)[0]) *at = prev;                       \
		void (*describe)(const __typeof__((array)[0]) *, char *) =     \
			(get_desc);                                            \
		at = at ? at + 1 : (array);                                    \
		if ((size_t)(at - (array)) >= ARRAY_SIZE(array))               \
			return NULL;                                           \
		if (describe)                                                  \
			describe(at, desc);                                    \
		return at;                                                     \
	}

/* The same, for arrays of structures with a string member that names them. */
#define KUNIT_ARRAY_PARAM_DESC(stem, array, member)                            \
	static const void *stem##_gen_params(const void *prev, char *desc)     \
	{                                                                      \
		const __typeof__((array)[0]) *at = prev;                       \
		at = at ? at + 1 : (array);                                    \
		if ((size_t)(at - (array)) >= ARRAY_SIZE(array))               \
			return NULL;                                           \
		snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", at->member);       \
		return at;                                                     \
	}

/*
 * Suites stand in a section of their own, in the order they were linked, as
 * in a kernel; the runner walks it.
 */
#define KUNIT_SHIM_JOIN_(a, b) a##b
#define KUNIT_SHIM_JOIN(a, b) KUNIT_SHIM_JOIN_(a, b)
#define kunit_test_suites(...)                                                 \
	static struct kunit_suite *const KUNIT_SHIM_JOIN(kunit_suites_,        \
							 __LINE__)[]           \
		__attribute__((section("kunit_test_suites"), used)) = {        \
			__VA_ARGS__                                            \
		}
#define kunit_test_suite(suite) kunit_test_suites(&(suite))

/* Memory and actions that end with the case, newest first. */
void *kunit_kmalloc_array(struct kunit *test, size_t n, size_t size, gfp_t gfp);
void kunit_kfree(struct kunit *test, const void *ptr);

static inline void *kunit_kmalloc(struct kunit *test, size_t size, gfp_t gfp)
{
	return kunit_kmalloc_array(test, 1, size, gfp);
}

static inline void *kunit_kzalloc(struct kunit *test, size_t size, gfp_t gfp)
{
	return kunit_kmalloc(test, size, gfp | __GFP_ZERO);
}

static inline void *kunit_kcalloc(struct kunit *test, size_t n, size_t size, gfp_t gfp)
{
	return kunit_kmalloc_array(test, n, size, gfp | __GFP_ZERO);
}

/* Ends the case here: in the case's own thread only. */
void __attribute__((noreturn)) kunit_shim_abort(struct kunit *test);

void __attribute__((format(printf, 2, 3)))
kunit_shim_log(struct kunit *test, const char *fmt, ...);

#define kunit_info(test, fmt, ...) kunit_shim_log(test, fmt, ##__VA_ARGS__)
#define kunit_warn(test, fmt, ...) kunit_shim_log(test, fmt, ##__VA_ARGS__)
#define kunit_err(test, fmt, ...) kunit_shim_log(test, fmt, ##__VA_ARGS__)

void __attribute__((format(printf, 2, 3)))
kunit_mark_skipped(struct kunit *test, const char *fmt, ...);

#define kunit_skip(test, fmt, ...)                                             \
	do {                                                                   \
		kunit_mark_skipped(test, fmt, ##__VA_ARGS__);                  \
		kunit_shim_abort(test);                                        \
	} while (0)

/*
 * Expectations. Each operand is evaluated once; a failed expectation marks the
 * case, a failed assertion also ends it. The _MSG forms add a line of the
 * suite's own.
 */
enum kunit_assert_type { KUNIT_ASSERTION, KUNIT_EXPECTATION };

struct kunit_shim_place {
	enum kunit_assert_type type;
	const char *file;
	int line;
};

#define KUNIT_SHIM_PLACE(kind) \
	(&(const struct kunit_shim_place){ (kind), __FILE__, __LINE__ })

#define KUNIT_SHIM_FAIL(args) \
	void __attribute__((format(printf, args, (args) + 1)))

KUNIT_SHIM_FAIL(3) kunit_shim_fail(struct kunit *test, const struct kunit_shim_place *place,
				   const char *fmt, ...);
KUNIT_SHIM_FAIL(5) kunit_shim_fail_bool(struct kunit *test, const struct kunit_shim_place *place,
					const char *text, bool wanted, const char *fmt, ...);
KUNIT_SHIM_FAIL(8) kunit_shim_fail_int(struct kunit *test, const struct kunit_shim_place *place,
				       const char *left, const char *op, const char *right,
				       long long l, long long r, const char *fmt, ...);
KUNIT_SHIM_FAIL(8) kunit_shim_fail_ptr(struct kunit *test, const struct kunit_shim_place *place,
				       const char *left, const char *op, const char *right,
				       const void *l, const void *r, const char *fmt, ...);
KUNIT_SHIM_FAIL(8) kunit_shim_fail_str(struct kunit *test, const struct kunit_shim_place *place,
				       const char *left, const char *op, const char *right,
				       const char *l, const char *r, const char *fmt, ...);
KUNIT_SHIM_FAIL(9) kunit_shim_fail_mem(struct kunit *test, const struct kunit_shim_place *place,
				       const char *left, const char *op, const char *right,
				       const void *l, const void *r, size_t size,
				       const char *fmt, ...);

#define KUNIT_SHIM_BOOL(test, kind, wanted, cond, fmt, ...)                    \
	do {                                                                   \
		if (!!(cond) != (wanted))                                      \
			kunit_shim_fail_bool(test, KUNIT_SHIM_PLACE(kind),     \
					     #cond, wanted, fmt,               \
					     ##__VA_ARGS__);                   \
	} while (0)

#define KUNIT_SHIM_INT(test, kind, left, op, right, fmt, ...)                  \
	do {                                                                   \
		const __typeof__(left) shim_left = (left);                     \
		const __typeof__(right) shim_right = (right);                  \
		if (!(shim_left op shim_right))                                \
			kunit_shim_fail_int(test, KUNIT_SHIM_PLACE(kind),      \
					    #left, #op, #right,                \
					    (long long)shim_left,              \
					    (long long)shim_right, fmt,        \
					    ##__VA_ARGS__);                    \
	} while (0)

#define KUNIT_SHIM_PTR(test, kind, left, op, right, fmt, ...)                  \
	do {                                                                   \
		const void *shim_left = (left);                                \
		const void *shim_right = (right);                              \
		if (!(shim_left op shim_right))                                \
			kunit_shim_fail_ptr(test, KUNIT_SHIM_PLACE(kind),      \
					    #left, #op, #right, shim_left,     \
					    shim_right, fmt, ##__VA_ARGS__);   \
	} while (0)

#define KUNIT_SHIM_STR(test, kind, left, op, right, fmt, ...)                  \
	do {                                                                   \
		const char *shim_left = (left);                                \
		const char *shim_right = (right);                              \
		if (!shim_left || !shim_right ||                               \
		    !(strcmp(shim_left, shim_right) op 0))                     \
			kunit_shim_fail_str(test, KUNIT_SHIM_PLACE(kind),      \
					    #left, #op, #right, shim_left,     \
					    shim_right, fmt, ##__VA_ARGS__);   \
	} while (0)

#define KUNIT_SHIM_MEM(test, kind, left, op, right, size, fmt, ...)            \
	do {                                                                   \
		const void *shim_left = (left);                                \
		const void *shim_right = (right);                              \
		const size_t shim_size = (size);                               \
		if (!shim_left || !shim_right ||                               \
		    !(memcmp(shim_left, shim_right, shim_size) op 0))          \
			kunit_shim_fail_mem(test, KUNIT_SHIM_PLACE(kind),      \
					    #left, #op, #right, shim_left,     \
					    shim_right, shim_size, fmt,        \
					    ##__VA_ARGS__);                    \
	} while (0)

#define KUNIT_SUCCEED(test) ((void)(test))
#define KUNIT_FAIL(test, fmt, ...) \
	kunit_shim_fail(test, KUNIT_SHIM_PLACE(KUNIT_EXPECTATION), fmt, ##__VA_ARGS__)
#define KUNIT_FAIL_AND_ABORT(test, fmt, ...) \
	kunit_shim_fail(test, KUNIT_SHIM_PLACE(KUNIT_ASSERTION), fmt, ##__VA_ARGS__)

/* For each relation: EXPECT, EXPECT_MSG, ASSERT, ASSERT_MSG. */
#define KUNIT_EXPECT_TRUE_MSG(test, cond, fmt, ...) \
	KUNIT_SHIM_BOOL(test, KUNIT_EXPECTATION, true, cond, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_FALSE_MSG(test, cond, fmt, ...) \
	KUNIT_SHIM_BOOL(test, KUNIT_EXPECTATION, false, cond, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_TRUE_MSG(test, cond, fmt, ...) \
	KUNIT_SHIM_BOOL(test, KUNIT_ASSERTION, true, cond, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_FALSE_MSG(test, cond, fmt, ...) \
	KUNIT_SHIM_BOOL(test, KUNIT_ASSERTION, false, cond, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_TRUE(test, cond) KUNIT_EXPECT_TRUE_MSG(test, cond, NULL)
#define KUNIT_EXPECT_FALSE(test, cond) KUNIT_EXPECT_FALSE_MSG(test, cond, NULL)
#define KUNIT_ASSERT_TRUE(test, cond) KUNIT_ASSERT_TRUE_MSG(test, cond, NULL)
#define KUNIT_ASSERT_FALSE(test, cond) KUNIT_ASSERT_FALSE_MSG(test, cond, NULL)

#define KUNIT_EXPECT_EQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_EXPECTATION, l, ==, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_NE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_EXPECTATION, l, !=, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_LT_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_EXPECTATION, l, <, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_LE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_EXPECTATION, l, <=, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_GT_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_EXPECTATION, l, >, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_GE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_EXPECTATION, l, >=, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_EQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_ASSERTION, l, ==, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_NE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_ASSERTION, l, !=, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_LT_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_ASSERTION, l, <, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_LE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_ASSERTION, l, <=, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_GT_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_ASSERTION, l, >, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_GE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_INT(test, KUNIT_ASSERTION, l, >=, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_EQ(test, l, r) KUNIT_EXPECT_EQ_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_NE(test, l, r) KUNIT_EXPECT_NE_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_LT(test, l, r) KUNIT_EXPECT_LT_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_LE(test, l, r) KUNIT_EXPECT_LE_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_GT(test, l, r) KUNIT_EXPECT_GT_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_GE(test, l, r) KUNIT_EXPECT_GE_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_EQ(test, l, r) KUNIT_ASSERT_EQ_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_NE(test, l, r) KUNIT_ASSERT_NE_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_LT(test, l, r) KUNIT_ASSERT_LT_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_LE(test, l, r) KUNIT_ASSERT_LE_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_GT(test, l, r) KUNIT_ASSERT_GT_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_GE(test, l, r) KUNIT_ASSERT_GE_MSG(test, l, r, NULL)

#define KUNIT_EXPECT_PTR_EQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_EXPECTATION, l, ==, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_PTR_NE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_EXPECTATION, l, !=, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_PTR_EQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_ASSERTION, l, ==, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_PTR_NE_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_ASSERTION, l, !=, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_PTR_EQ(test, l, r) KUNIT_EXPECT_PTR_EQ_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_PTR_NE(test, l, r) KUNIT_EXPECT_PTR_NE_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_PTR_EQ(test, l, r) KUNIT_ASSERT_PTR_EQ_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_PTR_NE(test, l, r) KUNIT_ASSERT_PTR_NE_MSG(test, l, r, NULL)

#define KUNIT_EXPECT_NULL_MSG(test, p, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_EXPECTATION, p, ==, NULL, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_NOT_NULL_MSG(test, p, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_EXPECTATION, p, !=, NULL, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_NULL_MSG(test, p, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_ASSERTION, p, ==, NULL, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_NOT_NULL_MSG(test, p, fmt, ...) \
	KUNIT_SHIM_PTR(test, KUNIT_ASSERTION, p, !=, NULL, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_NULL(test, p) KUNIT_EXPECT_NULL_MSG(test, p, NULL)
#define KUNIT_EXPECT_NOT_NULL(test, p) KUNIT_EXPECT_NOT_NULL_MSG(test, p, NULL)
#define KUNIT_ASSERT_NULL(test, p) KUNIT_ASSERT_NULL_MSG(test, p, NULL)
#define KUNIT_ASSERT_NOT_NULL(test, p) KUNIT_ASSERT_NOT_NULL_MSG(test, p, NULL)

#define KUNIT_EXPECT_NOT_ERR_OR_NULL(test, p) KUNIT_EXPECT_FALSE(test, IS_ERR_OR_NULL(p))
#define KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p) KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(p))

#define KUNIT_EXPECT_STREQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_STR(test, KUNIT_EXPECTATION, l, ==, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_STRNEQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_STR(test, KUNIT_EXPECTATION, l, !=, r, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_STREQ_MSG(test, l, r, fmt, ...) \
	KUNIT_SHIM_STR(test, KUNIT_ASSERTION, l, ==, r, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_STREQ(test, l, r) KUNIT_EXPECT_STREQ_MSG(test, l, r, NULL)
#define KUNIT_EXPECT_STRNEQ(test, l, r) KUNIT_EXPECT_STRNEQ_MSG(test, l, r, NULL)
#define KUNIT_ASSERT_STREQ(test, l, r) KUNIT_ASSERT_STREQ_MSG(test, l, r, NULL)

#define KUNIT_EXPECT_MEMEQ_MSG(test, l, r, size, fmt, ...) \
	KUNIT_SHIM_MEM(test, KUNIT_EXPECTATION, l, ==, r, size, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_MEMNEQ_MSG(test, l, r, size, fmt, ...) \
	KUNIT_SHIM_MEM(test, KUNIT_EXPECTATION, l, !=, r, size, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_MEMEQ_MSG(test, l, r, size, fmt, ...) \
	KUNIT_SHIM_MEM(test, KUNIT_ASSERTION, l, ==, r, size, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_MEMNEQ_MSG(test, l, r, size, fmt, ...) \
	KUNIT_SHIM_MEM(test, KUNIT_ASSERTION, l, !=, r, size, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_MEMEQ(test, l, r, size) KUNIT_EXPECT_MEMEQ_MSG(test, l, r, size, NULL)
#define KUNIT_EXPECT_MEMNEQ(test, l, r, size) KUNIT_EXPECT_MEMNEQ_MSG(test, l, r, size, NULL)
#define KUNIT_ASSERT_MEMEQ(test, l, r, size) KUNIT_ASSERT_MEMEQ_MSG(test, l, r, size, NULL)
#define KUNIT_ASSERT_MEMNEQ(test, l, r, size) KUNIT_ASSERT_MEMNEQ_MSG(test, l, r, size, NULL)

#endif
