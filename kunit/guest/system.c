// SPDX-License-Identifier: MIT OR Apache-2.0
/* The kernel's files, swap areas, and what the store says of itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define STATS "/sys/kernel/debug/mteswap/stats"
#define ZRAM_RESET "/sys/block/zram0/reset"
#define ZRAM_SIZE "/sys/block/zram0/disksize"
#define GROUPS "/sys/fs/cgroup"
#define GROUP GROUPS "/mteswap"

static const char * const devices[] = { [ZRAM] = "/dev/zram0", [DISK] = "/dev/nullb0" };

bool file_exists(const char *path)
{
	return !access(path, F_OK);
}

void file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("cannot write %s to %s: %m", text, path);
	close(fd);
}

long file_number(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(key);
	char line[256];
	long nr = -1;

	if (!file)
		return -1;
	while (nr < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, len) && strchr(": \t", line[len]))
			nr = strtol(line + len + 1, NULL, 10);
	fclose(file);
	return nr;
}

long events(const char *key)
{
	return file_number("/proc/vmstat", key);
}

void make_swap(const char *device, unsigned int slots)
{
	char *header = calloc(1, page_size);
	u32 info[] = { 1, slots, 0 };
	int fd = open(device, O_WRONLY | O_CLOEXEC);

	if (!header || fd < 0)
		fail("cannot open %s: %m", device);
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + page_size - 10, "SWAPSPACE2", 10);
	if (write(fd, header, page_size) != (ssize_t)page_size || fsync(fd))
		fail("cannot write to %s: %m", device);
	close(fd);
	free(header);
}

void swap_start(enum swap_device device, unsigned int slots)
{
	char size[32];

	if (device == ZRAM) {
		file_write(ZRAM_RESET, "1");
		snprintf(size, sizeof(size), "%zu", (slots + 1) * page_size);
		file_write(ZRAM_SIZE, size);
	}
	make_swap(devices[device], slots);
	if (swapon(devices[device], 0))
		fail("cannot swap to %s: %m", devices[device]);
}

bool swap_stop(void)
{
	bool stopped = false;
	size_t i;

	for (i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		if (!swapoff(devices[i]))
			stopped = true;
		else if (errno != EINVAL && errno != ENOENT)
			fail("cannot switch %s off: %m", devices[i]);
	}
	return stopped;
}

long records(void)
{
	return file_number(STATS, "entries");
}

void group_make(void)
{
	if (mount("cgroup2", GROUPS, "cgroup2", 0, NULL) && errno != EBUSY)
		fail("no cgroups: %m");
	file_write(GROUPS "/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		fail("cannot make a group: %m");
}

void group_enter(void)
{
	file_write(GROUP "/cgroup.procs", "0");
}

void group_reclaim(size_t bytes)
{
	int fd = open(GROUP "/memory.reclaim", O_WRONLY | O_CLOEXEC);
	char line[64];

	/* Anonymous memory alone. */
	snprintf(line, sizeof(line), "%zu swappiness=200", bytes);
	if (fd < 0 || (write(fd, line, strlen(line)) < 0 && errno != EAGAIN && errno != EINTR))
		fail("cannot reclaim memory: %m");
	close(fd);
}

int wait_for(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		fail("no child %d: %m", child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t spawn(void)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0)
		fail("cannot fork: %m");
	return child;
}
