// SPDX-License-Identifier: GPL-2.0
/*
 * A user of memory who maps it, whatever it is a mapping of: a file, a disk or
 * /dev/daxX.Y.  OFFSET and LEN are bytes; device-dax wants multiples of its alignment.
 *
 *   mapped fill FILE OFFSET LEN SEED      store words of their own, as `poison fill` does
 *   mapped verify FILE OFFSET LEN SEED    "same", or which page differs
 *   mapped watch FILE OFFSET LEN          "ready", and then loads until "SIGBUS", or until
 *                                         SIGTERM: "reads on"
 *   mapped pfn FILE OFFSET LEN            the number of the first page's frame
 *   mapped dax FILE                       "dax": it is mapped without a page cache
 *
 * What cannot be opened or mapped says the error's name: "ENODEV".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

static sigjmp_buf escape;
static volatile sig_atomic_t told_to_end;

static void on_sigbus(int signal)
{
	(void)signal;
	siglongjmp(escape, 1);
}

static void on_sigterm(int signal)
{
	(void)signal;
	told_to_end = 1;
}

static int dax(const char *path)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, 0, 0, &stx))
		return say_error();
	return say(stx.stx_attributes & STATX_ATTR_DAX ? "dax" : "no dax");
}

static int watch(const volatile char *at)
{
	signal(SIGTERM, on_sigterm);
	(void)*at;
	say("ready");
	while (!told_to_end) {
		(void)*at;
		usleep(10000);
	}
	return say("reads on");
}

static int pfn(volatile char *memory)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	(void)*memory;
	if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)memory / PAGE * 8) != 8)
		fail("pagemap");
	printf("%llu\n", (unsigned long long)(entry & ((1ULL << 55) - 1)));
	return 0;
}

int main(int argc, char **argv)
{
	const char *deed = argc > 4 ? argv[1] : "";
	uint64_t offset, len, seed, i, first;
	uint64_t *words;
	int fd;

	if (argc == 3 && !strcmp(argv[1], "dax"))
		return dax(argv[2]);
	if (!*deed || (strcmp(deed, "watch") && strcmp(deed, "pfn") && argc < 6)) {
		fprintf(stderr, "mapped: usage: see the head of mapped.c\n");
		return 2;
	}
	offset = strtoull(argv[3], NULL, 0);
	len = strtoull(argv[4], NULL, 0);
	seed = argc > 5 ? strtoull(argv[5], NULL, 0) : 0;

	fd = open(argv[2], O_RDWR);
	if (fd < 0 && errno == EROFS)
		fd = open(argv[2], O_RDONLY);
	if (fd < 0)
		return say_error();
	words = mmap(NULL, len, PROT_READ | (strcmp(deed, "fill") ? 0 : PROT_WRITE), MAP_SHARED, fd, offset);
	if (words == MAP_FAILED)
		return say_error();
	signal(SIGBUS, on_sigbus);
	if (sigsetjmp(escape, 1))
		return say("SIGBUS");

	first = offset / 8;
	if (!strcmp(deed, "watch"))
		return watch((char *)words);
	if (!strcmp(deed, "pfn"))
		return pfn((volatile char *)words);
	if (!strcmp(deed, "fill")) {
		for (i = 0; i < len / 8; i++)
			words[i] = word_of(first + i, seed);
		/* Device-dax has nothing to sync, and says so. */
		if (msync(words, len, MS_SYNC) && errno != EINVAL)
			return say_error();
		return 0;
	}
	for (i = 0; i < len / 8; i++) {
		if (words[i] == word_of(first + i, seed))
			continue;
		printf("page %llu differs\n", (unsigned long long)((first + i) * 8 / PAGE));
		return 1;
	}
	return say("same");
}
