// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Checks of a kernel that keeps the tags of swapped-out pages: each maps tagged
 * pages, sees to it that they go to swap, touches them and compares every tag.
 *
 * usage: mteswap-guest [NAME...]
 *
 * KTAP on stdout, a line a check. A check has failed where its process did not
 * end by itself and well, where its swap area cannot be switched off, and where
 * the store holds a record after that.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define EXIT_SKIPPED 4
/* A check that takes longer hangs, however slow the kernel and the machine. */
#define PATIENCE 900

static struct check *checks;

void check_add(struct check *check)
{
	struct check **at = &checks;

	while (*at && strcmp((*at)->name, check->name) < 0)
		at = &(*at)->next;
	check->next = *at;
	*at = check;
}

static void line(const char *fmt, va_list args)
{
	printf("# ");
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line(fmt, args);
	va_end(args);
}

void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line(fmt, args);
	va_end(args);
	_exit(EXIT_FAILURE);
}

void skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line(fmt, args);
	va_end(args);
	_exit(EXIT_SKIPPED);
}

static void enable_mte(void)
{
	if (prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE, 0, 0, 0))
		fail("this kernel has no tagged addresses");
}

/*
 * QEMU below 8 keeps one tag a page in system mode; whatever a check found
 * there would say nothing of the kernel.
 */
static void granules_have_tags_of_their_own(void)
{
	u8 *page = map_pages(1, PROT_MTE, 0);
	unsigned int i;

	for (i = 0; i < page_size / GRANULE; i++)
		set_tag(page + i * GRANULE, i % 16);
	for (i = 0; i < page_size / GRANULE; i++)
		if (tag_at(page + i * GRANULE) != i % 16)
			fail("tags of one page alias: QEMU 8 or later is needed");
}

static pid_t start(void (*body)(void))
{
	pid_t child = spawn();

	if (!child) {
		setpgid(0, 0);
		group_enter();
		alarm(PATIENCE);
		enable_mte();
		body();
		fflush(stdout);
		_exit(EXIT_SUCCESS);
	}
	return child;
}

/* Exit status of the whole check. */
static int run(const struct check *check)
{
	pid_t child;
	int status;
	long left;

	swap_start(check->device, check->slots);
	child = start(check->run);
	status = wait_for(child);
	/* What a check started ends with it. */
	kill(-child, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (status == EXIT_SKIPPED || !status || status == EXIT_FAILURE)
		;
	else if (status == 128 + SIGALRM)
		say("it hangs");
	else
		say("it ended with status %d", status);
	swap_stop();
	left = records();
	if (left > 0) {
		say("%ld records after swapoff", left);
		status = EXIT_FAILURE;
	}
	return status;
}

static bool wanted(const struct check *check, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], check->name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	const struct check *check;
	unsigned int nr = 0, failed = 0;
	int status;

	page_size = sysconf(_SC_PAGESIZE);
	group_make();
	for (check = checks; check; check = check->next)
		nr += wanted(check, argc, argv);
	if (argc > 1 && nr != (unsigned int)argc - 1)
		fail("%d checks asked for, %u of these there are", argc - 1, nr);
	printf("KTAP version 1\n1..%u\n", nr);
	fflush(stdout);
	if (wait_for(start(granules_have_tags_of_their_own))) {
		printf("Bail out! no use of this machine\n");
		return EXIT_FAILURE;
	}

	nr = 0;
	for (check = checks; check; check = check->next) {
		if (!wanted(check, argc, argv))
			continue;
		status = run(check);
		failed += status && status != EXIT_SKIPPED;
		printf("%sok %u %s%s\n", status && status != EXIT_SKIPPED ? "not " : "",
		       ++nr, check->name, status == EXIT_SKIPPED ? " # SKIP" : "");
		fflush(stdout);
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
