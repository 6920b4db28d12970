// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The tags of a program's pages, through a store and the wire format: each page is saved,
 * all records are written one behind another, read again and compared.
 *
 * Built as users build: cc wire.c $(pkg-config --cflags --libs mteswap)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mteswap.h>

#define AREA ((mteswap_entry_t)3 << 58)

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "error: %s: %s\n", name, what);
	return 1;
}

/* Encodes every record behind the last; returns the bytes, 0 where that did not go well. */
static size_t write_all(struct mteswap_store *store, size_t pages, unsigned char *to)
{
	unsigned char tags[MTESWAP_TAGS_BYTES];
	mteswap_entry_t cursor = AREA;
	size_t len = 0, found = 0;

	while (mteswap_next(store, &cursor, tags) == 1) {
		size_t used = mteswap_encode(tags, to + len, MTESWAP_ENCODED_MAX);

		if (!used)
			return 0;
		len += used;
		found++;
		cursor++;
	}
	return found == pages ? len : 0;
}

/* Reads them again; returns the pages that are as they were. */
static size_t read_all(const unsigned char *from, size_t len, const unsigned char *map,
		       size_t pages)
{
	unsigned char tags[MTESWAP_TAGS_BYTES];
	size_t at = 0, i;

	for (i = 0; i < pages; i++) {
		int used = mteswap_decode(from + at, len - at, tags);

		if (used <= 0 || memcmp(tags, map + i * sizeof(tags), sizeof(tags)))
			break;
		/* A byte less is refused, and nothing written. */
		memset(tags, 0xa5, sizeof(tags));
		if (mteswap_decode(from + at, used - 1, tags) >= 0 || tags[0] != 0xa5)
			break;
		at += used;
	}
	return at == len ? i : 0;
}

static int there_and_back(const unsigned char *map, size_t pages, const char *name)
{
	struct mteswap_store *store;
	unsigned char *wire;
	size_t i, len;

	wire = malloc(pages * MTESWAP_ENCODED_MAX);
	if (!wire || mteswap_store_create(&store))
		return fail("no memory", name);
	for (i = 0; i < pages; i++)
		if (mteswap_save(store, AREA + i, map + i * MTESWAP_TAGS_BYTES))
			return fail("a page was not saved", name);
	len = write_all(store, pages, wire);
	mteswap_store_destroy(store);
	if (!len)
		return fail("not every record was written", name);
	if (read_all(wire, len, map, pages) != pages)
		return fail("the tags came back otherwise", name);
	free(wire);
	printf("%zu pages: %zu bytes of tags, %zu in the wire format\n", pages,
	       pages * MTESWAP_TAGS_BYTES, len);
	return 0;
}

int main(int argc, char **argv)
{
	static unsigned char map[1 << 20];
	size_t size;
	FILE *file;

	if (argc != 2) {
		fprintf(stderr, "usage: wire MAP\n");
		return 2;
	}
	if (mteswap_abi() != (MTESWAP_ABI << 8 | MTESWAP_PAGE_SHIFT))
		return fail("the header is not that of the library", argv[0]);
	file = fopen(argv[1], "rb");
	if (!file)
		return fail("cannot be read", argv[1]);
	size = fread(map, 1, sizeof(map), file);
	fclose(file);
	if (size < MTESWAP_TAGS_BYTES)
		return fail("holds no page", argv[1]);
	return there_and_back(map, size / MTESWAP_TAGS_BYTES, argv[1]);
}
