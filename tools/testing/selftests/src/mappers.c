// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that have a page mapped, and what they know of its failure:
 *
 *   mappers COUNT KIND PAGE FILE...   COUNT processes map a FILE each, in turn, and have
 *                                     the page: "ready".  KIND is shared, readonly, private
 *                                     (read), unread (private, not even read), shared-unread,
 *                                     or copied (private, written); with ,early they ask to be
 *                                     told of failures at once, with ,late not to be; with ,sync
 *                                     they map with MAP_SYNC; with ,headless their first threads
 *                                     have ended; with ,half they map the file from its second
 *                                     MiB on, where no huge page fits.
 *
 * Then, a line of input each, asked of all of them:
 *
 *   mapped      in how many the page tables have the page (looked up, not touched): "3"
 *   next        the same for the page after it, which nobody touches: it comes with a huge one
 *   told        "none", or "3 SIGBUS code=... lsb=... offset=..."
 *   touch       "3 SIGBUS code=... lsb=... offset=...", or "3 byte 0x..."
 *   write       the same for a store
 *
 * What differs from one to the other is joined by ", ".  They end with the input.
 *
 *   mappers each-huge FILE FIRST COUNT SEED    of a 2 MiB mapping of FILE, which `poison fill`
 *                                     filled, fail COUNT pages from FIRST on in turn: each time
 *                                     just this page is named, lost, and repaired by pwrite.
 *                                     "all", or what went wrong first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#define WORDS 80
#define MOST 4096

static sigjmp_buf escape;
static siginfo_t sigbus;
static sigset_t only_sigbus;
static char *mapping;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	sigbus = *info;
	siglongjmp(escape, 1);
}

/* A signal that has come is taken by told(), one of a fault by touch(). */
static void prepare_signals(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigemptyset(&only_sigbus);
	sigaddset(&only_sigbus, SIGBUS);
	if (sigprocmask(SIG_BLOCK, &only_sigbus, NULL) || sigaction(SIGBUS, &action, NULL))
		fail("signals");
}

/* When to be told: PR_MCE_KILL_EARLY or PR_MCE_KILL_LATE. */
static void ask_for(unsigned long policy)
{
	if (prctl(PR_MCE_KILL, PR_MCE_KILL_SET, policy, 0, 0))
		fail("prctl");
}

static void describe(char *words, const siginfo_t *info)
{
	const char *code = info->si_code == BUS_MCEERR_AR ? "MCEERR_AR" :
			   info->si_code == BUS_MCEERR_AO ? "MCEERR_AO" : "other";

	snprintf(words, WORDS, "SIGBUS code=%s lsb=%d offset=%#lx", code, info->si_addr_lsb,
		 (unsigned long)((char *)info->si_addr - mapping));
}

static void told(char *words)
{
	struct timespec now = { 0 };
	siginfo_t info;

	if (sigtimedwait(&only_sigbus, &info, &now) == SIGBUS)
		describe(words, &info);
	else
		snprintf(words, WORDS, "none");
}

static void touch(char *words, unsigned long page, int writing)
{
	volatile char *at = mapping + page * PAGE;

	sigprocmask(SIG_UNBLOCK, &only_sigbus, NULL);
	if (!sigsetjmp(escape, 0)) {
		if (writing)
			*at = 't';
		snprintf(words, WORDS, "byte %#x", (unsigned char)*at);
	} else {
		describe(words, &sigbus);
	}
	sigprocmask(SIG_BLOCK, &only_sigbus, NULL);
}

/* The page's entry of the page table. */
static uint64_t entry_of(unsigned long page)
{
	uint64_t entry = 0;
	int fd = open("/proc/thread-self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, &entry, 8, ((uintptr_t)mapping / PAGE + page) * 8) != 8)
		fail("pagemap");
	close(fd);
	return entry;
}

static int is_mapped(unsigned long page)
{
	return entry_of(page) >> 63;
}

/* Where 2 MiB of the file can be one entry of the page table. */
static void map_file(const char *path, unsigned long size, const char *kind)
{
	int readonly = !strncmp(kind, "readonly", 8);
	int private = !strncmp(kind, "private", 7) || !strncmp(kind, "copied", 6) || !strncmp(kind, "unread", 6);
	unsigned long skipped = strstr(kind, ",half") ? HUGE / 2 : 0;
	int fd = open(path, readonly ? O_RDONLY : O_RDWR);
	char *area;

	if (fd < 0)
		fail(path);
	size = (size + HUGE - 1) & ~(HUGE - 1);
	area = mmap(NULL, size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		fail("mmap");
	area = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	/* A part of it has the address that it would have in the whole. */
	mapping = mmap(area + skipped, size - skipped, PROT_READ | (readonly ? 0 : PROT_WRITE),
		       (private ? MAP_PRIVATE : strstr(kind, ",sync") ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED) |
		       MAP_FIXED, fd, skipped);
	if (mapping == MAP_FAILED)
		fail("mmap");
	mapping -= skipped;
	close(fd);
}

static struct {
	const char *kind, *path;
	unsigned long page;
	int in, out;
	char *words;
} self;

static void *be_mapper(void *unused)
{
	const char *kind = self.kind;
	unsigned long page = self.page;
	char *words = self.words;
	char command;

	(void)unused;
	prepare_signals();
	map_file(self.path, (page + 1) * PAGE, kind);
	if (!strncmp(kind, "copied", 6))
		mapping[page * PAGE] = 'c';
	if (!strstr(kind, "unread"))
		(void)*(volatile char *)(mapping + page * PAGE);
	if (strstr(kind, ",early"))
		ask_for(PR_MCE_KILL_EARLY);
	if (strstr(kind, ",late"))
		ask_for(PR_MCE_KILL_LATE);
	snprintf(words, WORDS, "%s", strstr(kind, "unread") || is_mapped(page) ? "ready" : "has not got the page");
	do {
		if (write(self.out, "", 1) != 1 || read(self.in, &command, 1) != 1)
			break;
		if (command == 'm' || command == 'n')
			snprintf(words, WORDS, "%s", is_mapped(page + (command == 'n')) ? "mapped" : "none");
		else if (command == 't')
			told(words);
		else
			touch(words, page, command == 'w');
	} while (1);
	exit(0);
}

static void start_mapper(void)
{
	pthread_t thread;

	if (strstr(self.kind, ",headless")) {
		errno = pthread_create(&thread, NULL, be_mapper, NULL);
		if (errno)
			fail("pthread_create");
		pthread_exit(NULL);
	}
	be_mapper(NULL);
}

/* What all say, with how many say so. */
static void sum_up(char (*said)[WORDS], int count, int bare)
{
	const char *gap = "";

	for (int i = 0; i < count; i++) {
		int same = 0, first = 1;

		for (int j = 0; j < count; j++) {
			if (strcmp(said[i], said[j]))
				continue;
			same++;
			if (j < i)
				first = 0;
		}
		if (!first || (!strcmp(said[i], "none") && same < count))
			continue;
		if (bare)
			printf("%s%d", gap, strcmp(said[i], "none") ? same : 0);
		else if (!strcmp(said[i], "none"))
			printf("%snone", gap);
		else
			printf("%s%d %s", gap, same, said[i]);
		gap = ", ";
	}
	printf("\n");
	fflush(stdout);
}

static int mappers(int count, const char *kind, unsigned long page, char **files, int nr_files)
{
	char (*said)[WORDS] = mmap(NULL, MOST * WORDS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rlimit limit = { 3 * MOST, 3 * MOST };
	static int to[MOST], from[MOST];
	char line[32], byte;

	setrlimit(RLIMIT_NOFILE, &limit);
	if (said == MAP_FAILED)
		fail("mmap");
	for (int i = 0; i < count; i++) {
		int in[2], out[2];

		if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
			fail("pipe");
		switch (fork()) {
		case -1:
			fail("fork");
			break;
		case 0:
			for (int j = 0; j < i; j++) {
				close(to[j]);
				close(from[j]);
			}
			close(in[1]);
			close(out[0]);
			self.kind = kind;
			self.path = files[i % nr_files];
			self.page = page;
			self.in = in[0];
			self.out = out[1];
			self.words = said[i];
			start_mapper();
		}
		close(in[0]);
		close(out[1]);
		to[i] = in[1];
		from[i] = out[0];
	}
	snprintf(line, sizeof(line), "ready");
	do {
		line[strcspn(line, "\n")] = 0;
		for (int i = 0; i < count; i++) {
			if (read(from[i], &byte, 1) != 1)
				snprintf(said[i], WORDS, "is dead");
		}
		if (strcmp(line, "ready"))
			sum_up(said, count, *line == 'm' || *line == 'n');
		else if (count && !strcmp(said[0], "ready"))
			printf("ready\n");
		else
			sum_up(said, count, 0);
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			break;
		byte = !strncmp(line, "touch", 5) ? 'o' : *line;
		/* One that is dead has closed its end. */
		for (int i = 0; i < count; i++)
			if (write(to[i], &byte, 1) != 1)
				snprintf(said[i], WORDS, "is dead");
	} while (1);
	for (int i = 0; i < count; i++)
		close(to[i]);
	while (wait(NULL) > 0)
		;
	return 0;
}

/* Whether the page holds what it should, by a mapping. */
static int is_good(unsigned long page, unsigned long seed)
{
	uint64_t words[PAGE / 8];
	char said[WORDS];

	touch(said, page, 0);
	pattern(words, page, seed);
	return !strncmp(said, "byte", 4) && !memcmp(mapping + page * PAGE, words, PAGE);
}

static const char *one_of_huge(const char *path, unsigned long page, unsigned long seed, int control)
{
	int fd = open(path, O_RDWR);
	uint64_t words[PAGE / 8];
	static char said[WORDS], wanted[WORDS];
	char address[32];

	map_file(path, HUGE, "shared");
	for (unsigned long i = 0; i < 512; i += 511)
		(void)*(volatile char *)(mapping + i * PAGE);
	/* One touch at each end, and all in between is there. */
	if (!is_mapped(255))
		return "the mapping is not huge";
	snprintf(address, sizeof(address), "%#lx", (unsigned long)((entry_of(page) & ((1ULL << 55) - 1)) * PAGE));
	if (pwrite(control, address, strlen(address), 0) < 0)
		return strerrorname_np(errno);
	snprintf(wanted, WORDS, "SIGBUS code=MCEERR_AO lsb=12 offset=%#lx", page * PAGE);
	told(said);
	if (strcmp(said, wanted))
		return said;
	if (is_mapped(page))
		return "still mapped";
	snprintf(wanted, WORDS, "SIGBUS code=MCEERR_AR lsb=12 offset=%#lx", page * PAGE);
	touch(said, page, 0);
	if (strcmp(said, wanted))
		return said;
	if (page && !is_good(page - 1, seed))
		return "the page before it is not good";
	if (page < 511 && !is_good(page + 1, seed))
		return "the page after it is not good";
	pattern(words, page, seed);
	if (pwrite(fd, words, PAGE, page * PAGE) != (ssize_t)PAGE)
		return "it cannot be repaired";
	if (!is_good(page, seed))
		return "it is not good after the repair";
	munmap(mapping, HUGE);
	close(fd);
	return NULL;
}

static int each_huge(const char *path, unsigned long first, unsigned long count, unsigned long seed)
{
	int control = open("/sys/devices/system/memory/hard_offline_page", O_WRONLY);

	if (control < 0)
		fail("hard_offline_page");
	prepare_signals();
	ask_for(PR_MCE_KILL_EARLY);
	for (unsigned long page = first; page < first + count; page++) {
		const char *wrong = one_of_huge(path, page, seed, control);

		if (wrong) {
			printf("page %lu: %s\n", page, wrong);
			return 1;
		}
	}
	printf("all\n");
	return 0;
}

int main(int argc, char **argv)
{
	int count = argc > 4 ? atoi(argv[1]) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 6 && !strcmp(argv[1], "each-huge"))
		return each_huge(argv[2], strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	if (count > 0 && count <= MOST)
		return mappers(count, argv[2], strtoul(argv[3], NULL, 0), argv + 4, argc - 4);
	fprintf(stderr, "mappers: usage: see the head of mappers.c\n");
	return 2;
}
