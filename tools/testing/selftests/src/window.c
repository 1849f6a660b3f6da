// SPDX-License-Identifier: GPL-2.0
/*
 * Files behind a DAX window, by every way in:
 *
 *   window cat HOW FILE          the file to standard output; HOW: read, mmap, direct,
 *                                sendfile, splice
 *   window hold FILE [LEN]       map it (LEN bytes of it) and do what is asked on standard
 *                                input, a line each, which is answered by a line:
 *                                  get OFFSET LEN     those bytes
 *                                  put OFFSET TEXT    "ok"
 *                                  sync               "ok"
 *                                  pin OFFSET         "ok": the page is in use from now on
 *                                  unpin              "ok": no page is
 *   window touch FILE OFFSET     map it and load a byte: "loaded"
 *   window store FILE OFFSET     map it and store a byte: "stored"
 *   window crowd FILE TASKS TOUCHES SEED HOW
 *                                that many tasks at once, each at that many random pages of
 *                                what `poison fill FILE 0 PAGES SEED` wrote: "same", or what
 *                                is wrong; HOW: load, or mixed (with stores of the same, and
 *                                with pread and pwrite), or hostile (mixed, and an access may
 *                                fail: "N of M accesses failed", then "same"; all of them
 *                                if the file cannot be opened)
 *   window peak FILE...          map and load a byte of all of them, and keep them: "mapped N";
 *                                ends with its standard input
 *   window turns FILE TOUCHES SEED
 *                                load at that many random pages of what `poison fill` wrote,
 *                                then of each page in order: the page faults of the latter
 *   window read FILE OFFSET LEN [LIKE]
 *                                pread: the number of bytes; "other data" when LIKE, another
 *                                file, does not have these bytes in that place
 *
 * What fails says the error's name: "ENOSPC".  A signal says "SIGBUS".
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
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#define MAX_PINS 16

static sigjmp_buf escape;

static void on_sigbus(int signal)
{
	(void)signal;
	siglongjmp(escape, 1);
}

/* The page that has such a word; UINT64_MAX for none of the first million. */
static uint64_t page_of(uint64_t word, uint64_t seed)
{
	uint64_t inverse = 1, index;
	int i;

	for (i = 0; i < 6; i++)
		inverse *= 2 - 0x9e3779b97f4a7c15ULL * inverse;
	index = (word ^ seed << 32) * inverse - 1;
	return index / (PAGE / 8) < 1000000 ? index / (PAGE / 8) : UINT64_MAX;
}

static uint64_t random_of(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int write_all(const char *from, size_t len)
{
	while (len) {
		ssize_t done = write(1, from, len);

		if (done <= 0)
			return -1;
		from += done;
		len -= done;
	}
	return 0;
}

static int cat(const char *how, const char *path)
{
	static _Alignas(4096) char buffer[1 << 16];
	int fd = open(path, O_RDONLY | (strcmp(how, "direct") ? 0 : O_DIRECT));
	struct stat st;
	ssize_t n = 0;
	char *map;

	if (fd < 0 || fstat(fd, &st))
		return say_error();
	if (!strcmp(how, "mmap")) {
		if (!st.st_size)
			return 0;
		map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED || write_all(map, st.st_size))
			return say_error();
	} else if (!strcmp(how, "sendfile")) {
		while ((n = sendfile(1, fd, NULL, 1 << 20)) > 0)
			;
	} else if (!strcmp(how, "splice")) {
		while ((n = splice(fd, NULL, 1, NULL, 1 << 16, 0)) > 0)
			;
	} else {
		while ((n = read(fd, buffer, sizeof(buffer))) > 0)
			if (write_all(buffer, n))
				return say_error();
	}
	return n < 0 ? say_error() : 0;
}

static int pins[2 * MAX_PINS], pinned;

static int pin(char *at)
{
	struct iovec iov = { .iov_base = at, .iov_len = PAGE };
	int *pipefd = pins + 2 * pinned;

	if (pinned == MAX_PINS || pipe(pipefd))
		return say_error();
	pinned++;
	if (vmsplice(pipefd[1], &iov, 1, 0) != (ssize_t)PAGE)
		return say_error();
	return say("ok");
}

static int unpin(void)
{
	while (pinned) {
		pinned--;
		close(pins[2 * pinned]);
		close(pins[2 * pinned + 1]);
	}
	return say("ok");
}

/* Does what a line asks, and answers. */
static int obey(const char *line, char *map, size_t len)
{
	static char text[512];
	unsigned long offset, bytes;

	if (sigsetjmp(escape, 1))
		return say("SIGBUS");
	if (sscanf(line, "get %lu %lu", &offset, &bytes) == 2 && bytes < sizeof(text)) {
		memcpy(text, map + offset, bytes);
		text[bytes] = 0;
		return say(text);
	}
	if (sscanf(line, "put %lu %500s", &offset, text) == 2) {
		memcpy(map + offset, text, strlen(text));
		return say("ok");
	}
	if (sscanf(line, "pin %lu", &offset) == 1)
		return pin(map + offset);
	if (!strncmp(line, "unpin", 5))
		return unpin();
	if (!strncmp(line, "sync", 4))
		return msync(map, len, MS_SYNC) ? say_error() : say("ok");
	return say("what?");
}

static int hold(const char *path, size_t asked)
{
	int fd = open(path, O_RDWR);
	static char line[512];
	struct stat st;
	size_t len;
	char *map;

	if (fd < 0 || fstat(fd, &st))
		return say_error();
	len = asked ? asked : (size_t)st.st_size;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return say_error();
	say("ready");
	while (fgets(line, sizeof(line), stdin))
		obey(line, map, len);
	return 0;
}

static int touch(const char *path, size_t offset, int store)
{
	int fd = open(path, store ? O_RDWR : O_RDONLY);
	volatile char *map;

	if (fd < 0)
		return say_error();
	map = mmap(NULL, PAGE, PROT_READ | (store ? PROT_WRITE : 0), MAP_SHARED, fd, offset & -PAGE);
	if (map == MAP_FAILED)
		return say_error();
	if (sigsetjmp(escape, 1)) {
		say("SIGBUS");
		return 1;
	}
	if (store)
		map[offset % PAGE] = 's';
	else
		(void)map[offset % PAGE];
	return say(store ? "stored" : "loaded");
}

static int peak(char **paths, int count)
{
	int i;

	if (sigsetjmp(escape, 1))
		return say("SIGBUS");
	for (i = 0; i < count; i++) {
		int fd = open(paths[i], O_RDONLY);
		volatile char *map = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

		if (map == MAP_FAILED)
			return say_error();
		(void)*map;
		close(fd);
	}
	printf("mapped %d\n", count);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

enum outcome { RIGHT, FAILED, WRONG };

/* Loads or stores a word by one of four ways; says what is wrong. */
static enum outcome access_word(int fd, volatile uint64_t *map, uint64_t word, uint64_t seed, int way)
{
	uint64_t want = word_of(word, seed), got = want;

	if (sigsetjmp(escape, 1))
		return FAILED;
	switch (way) {
	case 0:
		got = map[word];
		break;
	case 1:
		map[word] = want;
		break;
	case 2:
		if (pread(fd, &got, sizeof(got), word * 8) != sizeof(got))
			return FAILED;
		break;
	default:
		if (pwrite(fd, &got, sizeof(got), word * 8) != sizeof(got))
			return FAILED;
	}
	if (got == want)
		return RIGHT;
	printf("page %llu has %llx, of page %lld, by %s", (unsigned long long)word / (PAGE / 8),
	       (unsigned long long)got, (long long)page_of(got, seed), way ? "pread" : "load");
	/* Is it so for good? */
	got = 0;
	if (pread(fd, &got, sizeof(got), word * 8) == sizeof(got))
		printf(" and then %llx", (unsigned long long)got);
	printf("\n");
	return WRONG;
}

/* Says how many, in the hostile mode. */
static int say_failed(uint64_t failed, uint64_t touches)
{
	printf("%llu of %llu accesses failed\n", (unsigned long long)failed, (unsigned long long)touches);
	return 0;
}

/* One of the crowd. */
static int visit(const char *path, uint64_t touches, uint64_t seed, uint64_t task, const char *how)
{
	int mixed = strcmp(how, "load"), hostile = !strcmp(how, "hostile");
	int fd = open(path, mixed ? O_RDWR : O_RDONLY);
	uint64_t state = (task + 1) * 0x2545f4914f6cdd1dULL, i, page, word, failed = 0;
	uint64_t *map;
	struct stat st;
	int way;

	if (fd < 0 || fstat(fd, &st))
		return hostile ? say_failed(touches, touches) : say_error();
	map = mmap(NULL, st.st_size, PROT_READ | (mixed ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return hostile ? say_failed(touches, touches) : say_error();
	for (i = 0; i < touches; i++) {
		page = random_of(&state) % (st.st_size / PAGE);
		word = page * (PAGE / 8) + random_of(&state) % (PAGE / 8);
		way = mixed ? random_of(&state) % 4 : 0;
		switch (access_word(fd, map, word, seed, way)) {
		case RIGHT:
			break;
		case FAILED:
			failed++;
			if (hostile)
				break;
			if (way > 1)
				return say_error();
			say("SIGBUS");
			return 1;
		case WRONG:
			return 1;
		}
	}
	return hostile ? say_failed(failed, touches) : 0;
}

static int turns(const char *path, uint64_t touches, uint64_t seed)
{
	uint64_t state = 0x2545f4914f6cdd1dULL, pages, i;
	int fd = open(path, O_RDONLY);
	struct rusage before, after;
	uint64_t *map;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return say_error();
	pages = st.st_size / PAGE;
	map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return say_error();
	for (i = 0; i < touches + pages; i++) {
		uint64_t page = i < touches ? random_of(&state) % pages : i - touches;

		if (i == touches)
			getrusage(RUSAGE_SELF, &before);
		if (access_word(fd, map, page * (PAGE / 8) + page % (PAGE / 8), seed, 0) != RIGHT)
			return 1;
	}
	getrusage(RUSAGE_SELF, &after);
	printf("%ld\n", after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt);
	return 0;
}

static int crowd(char **argv)
{
	uint64_t tasks = strtoull(argv[3], NULL, 0), touches = strtoull(argv[4], NULL, 0);
	uint64_t seed = strtoull(argv[5], NULL, 0), i;
	int status, bad = 0;

	for (i = 0; i < tasks; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return say_error();
		if (!pid)
			exit(visit(argv[2], touches, seed, i, argv[6]));
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad ? 1 : say("same");
}

static int read_bytes(const char *path, off_t offset, size_t len, const char *like)
{
	char *buffer = malloc(2 * len);
	int fd = open(path, O_RDONLY);
	ssize_t got = fd < 0 || !buffer ? -1 : pread(fd, buffer, len, offset);

	if (got < 0)
		return say_error();
	if (like) {
		fd = open(like, O_RDONLY);
		if (fd < 0 || pread(fd, buffer + len, got, offset) != got)
			fail(like);
		if (memcmp(buffer, buffer + len, got)) {
			say("other data");
			return 1;
		}
	}
	printf("%zd\n", got);
	return 0;
}

int main(int argc, char **argv)
{
	const char *deed = argc > 2 ? argv[1] : "";

	signal(SIGBUS, on_sigbus);
	if (argc == 4 && !strcmp(deed, "cat"))
		return cat(argv[2], argv[3]);
	if (argc >= 3 && !strcmp(deed, "hold"))
		return hold(argv[2], argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	if (argc == 4 && !strcmp(deed, "touch"))
		return touch(argv[2], strtoull(argv[3], NULL, 0), 0);
	if (argc == 4 && !strcmp(deed, "store"))
		return touch(argv[2], strtoull(argv[3], NULL, 0), 1);
	if (argc == 7 && !strcmp(deed, "crowd"))
		return crowd(argv);
	if (argc == 5 && !strcmp(deed, "turns"))
		return turns(argv[2], strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0));
	if (argc >= 3 && !strcmp(deed, "peak"))
		return peak(argv + 2, argc - 2);
	if (argc >= 5 && !strcmp(deed, "read"))
		return read_bytes(argv[2], strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0), argv[5]);
	fprintf(stderr, "window: usage: see the head of window.c\n");
	return 2;
}
