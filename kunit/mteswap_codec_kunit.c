// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The wire format: what mteswap_encode() writes, mteswap_decode() reads back,
 * and no bytes whatever do harm.
 */
#include <linux/string.h>

#include "mteswap_kunit.h"

/* Room for the longest code, and a margin nobody may write to. */
#define MARGIN 16
#define ROOM (MTESWAP_ENCODED_MAX + MARGIN)

/**
 * struct wire - a case's buffers
 * @mk: the shared fixture, first, so that mk_*() find it
 * @code: ROOM bytes, poisoned
 * @again: ROOM bytes, poisoned
 */
struct wire {
	struct mk mk;
	u8 *code;
	u8 *again;
};

static int wire_init(struct kunit *test)
{
	struct wire *wire;
	int ret = mk_init(test);

	if (ret)
		return ret;
	wire = kunit_kzalloc(test, sizeof(*wire), GFP_KERNEL);
	if (!wire)
		return -ENOMEM;
	wire->mk = *(struct mk *)test->priv;
	wire->code = kunit_kmalloc(test, ROOM, GFP_KERNEL);
	wire->again = kunit_kmalloc(test, ROOM, GFP_KERNEL);
	if (!wire->code || !wire->again)
		return -ENOMEM;
	memset(wire->code, MK_POISON, ROOM);
	memset(wire->again, MK_POISON, ROOM);
	test->priv = wire;
	return 0;
}

/* Encodes mk.tags, decodes the code, and expects the same tags; its length. */
static size_t round_trip(struct kunit *test)
{
	struct wire *wire = test->priv;
	u8 *tags = wire->mk.tags, *out = wire->mk.out;
	size_t len;
	int used;

	memset(wire->code, MK_POISON, ROOM);
	memset(out, MK_POISON, MK_TAGS);
	len = mteswap_encode(tags, wire->code, MTESWAP_ENCODED_MAX);
	KUNIT_ASSERT_GT(test, len, 0);
	KUNIT_ASSERT_LE(test, len, MTESWAP_ENCODED_MAX);
	KUNIT_ASSERT_NULL(test, memchr_inv(wire->code + len, MK_POISON, ROOM - len));
	used = mteswap_decode(wire->code, len, out);
	KUNIT_ASSERT_EQ(test, used, (int)len);
	KUNIT_ASSERT_MEMEQ(test, out, tags, MK_TAGS);
	return len;
}

static void fill_param(struct kunit *test, u64 seed)
{
	const struct mk_pattern *pattern = test->param_value;
	struct wire *wire = test->priv;

	mk_fill(wire->mk.tags, pattern->kind, pattern->arg, seed);
}

KUNIT_ARRAY_PARAM_DESC(pattern, mk_patterns, name);

static void wire_keeps_every_pattern(struct kunit *test)
{
	u64 seed;

	for (seed = 0; seed < 50; seed++) {
		fill_param(test, seed);
		round_trip(test);
	}
}

static void wire_keeps_each_single_tag(struct kunit *test)
{
	struct wire *wire = test->priv;
	unsigned int tag;

	for (tag = 0; tag < 16; tag++) {
		mk_fill(wire->mk.tags, MK_ONE, tag, 0);
		KUNIT_EXPECT_LE(test, round_trip(test), 16);
	}
}

static void wire_keeps_one_odd_granule_anywhere(struct kunit *test)
{
	struct wire *wire = test->priv;
	int i;

	for (i = 0; i < MK_GRANULES; i++) {
		mk_fill(wire->mk.tags, MK_ONE, i % 16, 0);
		mk_set(wire->mk.tags, i, (i + 1 + i / 16) % 16);
		round_trip(test);
	}
}

static void wire_keeps_each_first_boundary(struct kunit *test)
{
	struct wire *wire = test->priv;
	int i, end;

	for (end = 1; end < MK_GRANULES; end++) {
		memset(wire->mk.tags, 0, MK_TAGS);
		for (i = 0; i < end; i++)
			mk_set(wire->mk.tags, i, 1 + end % 15);
		round_trip(test);
	}
}

static void wire_keeps_each_number_of_runs(struct kunit *test)
{
	struct wire *wire = test->priv;
	int runs;

	for (runs = 1; runs <= MK_GRANULES; runs += 1 + runs / 300) {
		mk_fill(wire->mk.tags, MK_RUNS, runs, runs);
		round_trip(test);
	}
}

static void wire_keeps_each_grid(struct kunit *test)
{
	struct wire *wire = test->priv;
	int period;

	for (period = 1; period <= MK_GRANULES; period += 1 + period / 300) {
		mk_fill(wire->mk.tags, MK_GRID, period, period);
		round_trip(test);
		mk_fill(wire->mk.tags, MK_ALTERNATE, period, 0);
		round_trip(test);
	}
}

static void wire_keeps_random_pages(struct kunit *test)
{
	struct wire *wire = test->priv;
	unsigned int tags;
	u64 seed;

	for (tags = 1; tags <= 16; tags++) {
		for (seed = 0; seed < 100; seed++) {
			mk_fill(wire->mk.tags, MK_RANDOM, tags, seed);
			round_trip(test);
		}
	}
}

static void wire_max_is_a_page_and_four_bytes(struct kunit *test)
{
	struct wire *wire = test->priv;

	KUNIT_EXPECT_LE(test, MTESWAP_ENCODED_MAX, MK_TAGS + 4);
	mk_fill_random(wire->mk.tags, 1);
	KUNIT_EXPECT_LE(test, round_trip(test), MTESWAP_ENCODED_MAX);
}

static void wire_same_tags_make_the_same_bytes(struct kunit *test)
{
	struct wire *wire = test->priv;
	size_t len, again;

	fill_param(test, 2);
	len = mteswap_encode(wire->mk.tags, wire->code, MTESWAP_ENCODED_MAX);
	memset(wire->again, 0, ROOM);
	again = mteswap_encode(wire->mk.tags, wire->again, MTESWAP_ENCODED_MAX);
	KUNIT_ASSERT_EQ(test, len, again);
	KUNIT_EXPECT_MEMEQ(test, wire->code, wire->again, len);
}

static void wire_encode_into_too_little_is_0(struct kunit *test)
{
	struct wire *wire = test->priv;
	size_t len, room;

	fill_param(test, 3);
	len = round_trip(test);
	for (room = 0; room < len; room++) {
		memset(wire->again, MK_POISON, ROOM);
		KUNIT_ASSERT_EQ(test, mteswap_encode(wire->mk.tags, wire->again, room), 0);
		KUNIT_ASSERT_NULL(test, memchr_inv(wire->again + room, MK_POISON, ROOM - room));
	}
	KUNIT_EXPECT_EQ(test, mteswap_encode(wire->mk.tags, wire->again, len), len);
	KUNIT_EXPECT_MEMEQ(test, wire->again, wire->code, len);
}

static void wire_decode_of_a_truncated_code_is_refused(struct kunit *test)
{
	struct wire *wire = test->priv;
	size_t len, part;

	fill_param(test, 4);
	len = round_trip(test);
	memset(wire->mk.out, MK_POISON, MK_TAGS);
	for (part = 0; part < len; part++) {
		/* A buffer of its own, so that a sanitizer sees a byte too many. */
		u8 *cut = kmalloc(part ? part : 1, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, cut);
		memcpy(cut, wire->code, part);
		KUNIT_EXPECT_EQ_MSG(test, mteswap_decode(cut, part, wire->mk.out), -EINVAL,
				    "%zu bytes of %zu", part, len);
		kfree(cut);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(wire->mk.out, MK_POISON, MK_TAGS));
}

static void wire_decode_stops_at_the_end_of_the_code(struct kunit *test)
{
	struct wire *wire = test->priv;
	size_t len;
	int filler;

	fill_param(test, 5);
	len = round_trip(test);
	for (filler = 0; filler < 256; filler += 51) {
		memset(wire->code + len, filler, ROOM - len);
		memset(wire->mk.out, MK_POISON, MK_TAGS);
		KUNIT_EXPECT_EQ(test, mteswap_decode(wire->code, ROOM, wire->mk.out), (int)len);
		KUNIT_EXPECT_MEMEQ(test, wire->mk.out, wire->mk.tags, MK_TAGS);
	}
}

static void wire_codes_follow_one_another_in_a_stream(struct kunit *test)
{
	struct wire *wire = test->priv;
	size_t i, end = 0, at = 0, size = ARRAY_SIZE(mk_patterns) * MTESWAP_ENCODED_MAX;
	u8 *stream = kunit_kmalloc(test, size, GFP_KERNEL);
	int used;

	KUNIT_ASSERT_NOT_NULL(test, stream);
	for (i = 0; i < ARRAY_SIZE(mk_patterns); i++) {
		mk_fill(wire->mk.tags, mk_patterns[i].kind, mk_patterns[i].arg, i);
		end += mteswap_encode(wire->mk.tags, stream + end, size - end);
	}
	for (i = 0; i < ARRAY_SIZE(mk_patterns); i++) {
		mk_fill(wire->mk.tags, mk_patterns[i].kind, mk_patterns[i].arg, i);
		used = mteswap_decode(stream + at, end - at, wire->mk.out);
		KUNIT_ASSERT_GT(test, used, 0);
		KUNIT_EXPECT_MEMEQ(test, wire->mk.out, wire->mk.tags, MK_TAGS);
		at += used;
	}
	KUNIT_EXPECT_EQ(test, at, end);
}

/* Whatever the bytes: refused and untouched, or tags of a page and a length. */
static bool decode_anything(struct kunit *test, const u8 *code, size_t len)
{
	struct wire *wire = test->priv;
	u8 *out = wire->mk.out;
	int used;

	memset(out, MK_POISON, MK_TAGS);
	used = mteswap_decode(code, len, out);
	if (used < 0) {
		KUNIT_ASSERT_EQ(test, used, -EINVAL);
		KUNIT_ASSERT_NULL(test, memchr_inv(out, MK_POISON, MK_TAGS));
		return false;
	}
	KUNIT_ASSERT_GT(test, used, 0);
	KUNIT_ASSERT_LE(test, used, (int)len);
	/* What it read is a page like any other. */
	memcpy(wire->mk.tags, out, MK_TAGS);
	round_trip(test);
	return true;
}

static void wire_decode_of_arbitrary_bytes_does_no_harm(struct kunit *test)
{
	struct wire *wire = test->priv;
	u64 seed = 0x1234567;
	size_t len, i;
	int n;

	for (n = 0; n < MK_ROUNDS(50000); n++) {
		len = mk_random(&seed) % ROOM;
		if (n % 2)
			len %= 24;
		for (i = 0; i < len; i++)
			wire->again[i] = mk_random(&seed) >> 32;
		/* Every first byte, whatever it says, with every length. */
		if (len)
			wire->again[0] = n;
		decode_anything(test, wire->again, len);
	}
}

static void wire_decode_of_a_flipped_bit_does_no_harm(struct kunit *test)
{
	struct wire *wire = test->priv;
	size_t len, bit, step;

	fill_param(test, 6);
	len = round_trip(test);
	memcpy(wire->again, wire->code, len);
	step = 1 + len * 8 / 4000;
	for (bit = 0; bit < len * 8; bit += step) {
		wire->again[bit / 8] ^= 1 << bit % 8;
		decode_anything(test, wire->again, len);
		wire->again[bit / 8] ^= 1 << bit % 8;
	}
}

static void wire_buffers_may_stand_at_any_address(struct kunit *test)
{
	struct wire *wire = test->priv;
	u8 *tags = kunit_kmalloc(test, MK_TAGS + 8, GFP_KERNEL);
	u8 *out = kunit_kmalloc(test, MK_TAGS + 8, GFP_KERNEL);
	size_t shift, len;

	KUNIT_ASSERT_NOT_NULL(test, tags);
	KUNIT_ASSERT_NOT_NULL(test, out);
	fill_param(test, 7);
	for (shift = 0; shift < 8; shift++) {
		memcpy(tags + shift, wire->mk.tags, MK_TAGS);
		len = mteswap_encode(tags + shift, wire->code + shift, MTESWAP_ENCODED_MAX);
		KUNIT_ASSERT_GT(test, len, 0);
		KUNIT_EXPECT_EQ(test, mteswap_decode(wire->code + shift, len, out + 7 - shift),
				(int)len);
		KUNIT_EXPECT_MEMEQ(test, out + 7 - shift, wire->mk.tags, MK_TAGS);
	}
}

static void wire_null_and_empty_buffers_are_refused(struct kunit *test)
{
	struct wire *wire = test->priv;
	u8 *out = wire->mk.out;

	mk_fill(wire->mk.tags, MK_ONE, 3, 0);
	KUNIT_EXPECT_EQ(test, mteswap_encode(NULL, wire->code, ROOM), 0);
	KUNIT_EXPECT_EQ(test, mteswap_encode(wire->mk.tags, NULL, ROOM), 0);
	KUNIT_EXPECT_EQ(test, mteswap_encode(wire->mk.tags, wire->code, 0), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(wire->code, MK_POISON, ROOM));
	KUNIT_EXPECT_EQ(test, mteswap_decode(NULL, ROOM, out), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_decode(wire->mk.tags, MK_TAGS, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, mteswap_decode(wire->mk.tags, 0, out), -EINVAL);
	KUNIT_EXPECT_NULL(test, memchr_inv(out, MK_POISON, MK_TAGS));
}

static struct kunit_case codec_cases[] = {
	KUNIT_CASE_PARAM(wire_keeps_every_pattern, pattern_gen_params),
	KUNIT_CASE(wire_keeps_each_single_tag),
	KUNIT_CASE(wire_keeps_one_odd_granule_anywhere),
	KUNIT_CASE(wire_keeps_each_first_boundary),
	KUNIT_CASE(wire_keeps_each_number_of_runs),
	KUNIT_CASE(wire_keeps_each_grid),
	KUNIT_CASE(wire_keeps_random_pages),
	KUNIT_CASE(wire_max_is_a_page_and_four_bytes),
	KUNIT_CASE_PARAM(wire_same_tags_make_the_same_bytes, pattern_gen_params),
	KUNIT_CASE_PARAM(wire_encode_into_too_little_is_0, pattern_gen_params),
	KUNIT_CASE_PARAM(wire_decode_of_a_truncated_code_is_refused, pattern_gen_params),
	KUNIT_CASE_PARAM(wire_decode_stops_at_the_end_of_the_code, pattern_gen_params),
	KUNIT_CASE(wire_codes_follow_one_another_in_a_stream),
	KUNIT_CASE(wire_decode_of_arbitrary_bytes_does_no_harm),
	KUNIT_CASE_PARAM(wire_decode_of_a_flipped_bit_does_no_harm, pattern_gen_params),
	KUNIT_CASE_PARAM(wire_buffers_may_stand_at_any_address, pattern_gen_params),
	KUNIT_CASE(wire_null_and_empty_buffers_are_refused),
	{}
};

static struct kunit_suite codec_suite = {
	.name = "mteswap_codec",
	.init = wire_init,
	.test_cases = codec_cases,
};

kunit_test_suite(codec_suite);
