// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Runs a program and, while it works, pages out all private memory of it and of
 * what it starts, over and over.
 *
 * usage: mteswap-pager PROGRAM [ARGUMENT...]
 *
 * Ends with the program's status; 125 where it cannot page out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define MAX_MAPPINGS 512
/*
 * Microseconds for the program between two passes: few at first, for programs that are soon
 * done, then more, or a large one would hardly get on.
 */
#define SHORTEST_PAUSE 1000
#define LONGEST_PAUSE 64000
#define EXIT_CANNOT 125

/* The kernel's name for it. */
#define __noreturn __attribute__((__noreturn__))

static void __noreturn fail(const char *what)
{
	fprintf(stderr, "pager: %s: %m\n", what);
	exit(EXIT_CANNOT);
}

/* The number behind @key, which begins a line of @path; 0 where there is none. */
static long number(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(key);
	char line[256];
	long nr = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, len) && strchr(": ", line[len]))
			nr = strtol(line + len + 1, NULL, 10);
	fclose(file);
	return nr;
}

/* What one process has mapped. */
struct mappings {
	struct iovec private[MAX_MAPPINGS];
	size_t nr;
	/* KiB in swap of those with tags. */
	long tagged;
};

/* Reads @pid's smaps: an entry is its range, then lines about it, its flags last. */
static void read_mappings(pid_t pid, struct mappings *mappings)
{
	unsigned long start, end;
	char path[64], line[512], private;
	long swapped = 0;
	FILE *smaps;

	mappings->nr = 0;
	mappings->tagged = 0;
	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "re");
	if (!smaps)
		return;
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx %*3c%c", &start, &end, &private) == 3) {
			if (private != 'p' || mappings->nr == MAX_MAPPINGS || strstr(line, "[v"))
				continue;
			mappings->private[mappings->nr].iov_base = (void *)start;
			mappings->private[mappings->nr++].iov_len = end - start;
		} else if (sscanf(line, "Swap: %ld kB", &swapped) == 1) {
			continue;
		} else if (!strncmp(line, "VmFlags:", 8) && strstr(line, " mt")) {
			mappings->tagged += swapped;
		}
	}
	fclose(smaps);
}

/*
 * Returns how much of its tagged memory the pass before this one has left in swap. It may end
 * meanwhile, and its mappings may change: the next pass sees them.
 */
static long page_out(pid_t pid)
{
	static struct mappings mappings;
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	size_t i;

	if (pidfd < 0)
		return 0;
	read_mappings(pid, &mappings);
	for (i = 0; i < mappings.nr; i++)
		if (syscall(SYS_process_madvise, pidfd, &mappings.private[i], 1, MADV_PAGEOUT,
			    0) < 0 && errno == EPERM)
			fail("process_madvise");
	close(pidfd);
	return mappings.tagged;
}

/* True where @pid is of the process group @group. */
static bool belongs(pid_t pid, pid_t group)
{
	char path[64], stat[512];
	const char *behind;
	size_t len;
	FILE *file;
	int found;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	len = fread(stat, 1, sizeof(stat) - 1, file);
	fclose(file);
	stat[len] = '\0';
	/* The name, in brackets, may have anything in it. */
	behind = strrchr(stat, ')');
	return behind && sscanf(behind + 1, " %*c %*d %d", &found) == 1 && found == group;
}

static long page_out_group(pid_t group)
{
	struct dirent *entry;
	long tagged = 0;
	pid_t pid;
	DIR *proc = opendir("/proc");

	if (!proc)
		fail("/proc");
	while ((entry = readdir(proc))) {
		pid = atoi(entry->d_name);
		if (pid > 0 && belongs(pid, group))
			tagged += page_out(pid);
	}
	closedir(proc);
	return tagged;
}

int main(int argc, char **argv)
{
	long out, in, tagged, most = 0, passes = 0;
	useconds_t pause = SHORTEST_PAUSE;
	siginfo_t ended = { 0 };
	pid_t child;
	int status;

	if (argc < 2) {
		fprintf(stderr, "usage: mteswap-pager PROGRAM [ARGUMENT...]\n");
		return EXIT_CANNOT;
	}
	out = number("/proc/vmstat", "pswpout");
	in = number("/proc/vmstat", "pswpin");
	child = fork();
	if (child < 0)
		fail("fork");
	if (!child) {
		setpgid(0, 0);
		execvp(argv[1], argv + 1);
		fail(argv[1]);
	}
	setpgid(child, child);
	while (!waitid(P_PID, child, &ended, WEXITED | WNOHANG | WNOWAIT) && !ended.si_pid) {
		tagged = page_out_group(child);
		if (tagged > most)
			most = tagged;
		passes++;
		usleep(pause);
		if (pause < LONGEST_PAUSE)
			pause *= 2;
	}
	if (waitpid(child, &status, 0) != child)
		fail("waitpid");
	status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	printf("pager: passes %ld out %ld in %ld tagged-kib %ld status %d\n", passes,
	       number("/proc/vmstat", "pswpout") - out, number("/proc/vmstat", "pswpin") - in,
	       most, status);
	return status;
}
