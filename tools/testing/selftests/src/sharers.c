// SPDX-License-Identifier: GPL-2.0
/*
 * What processes do to files that share blocks, all of it without privilege:
 *
 *   sharers storm SECONDS THREADS FILE...     THREADS threads load words of the FILEs, which
 *                       `poison fill FILE 0 PAGES 1` filled, each through a mapping of one of
 *                       them.  Every other one is shifted by a page, and has no 2 MiB pages.
 *                       They give pages up (MADV_DONTNEED) and load again.  A page that is
 *                       truncated away is SIGBUS, which is fine.  "good after N loads", "wrong
 *                       word ...", or "stuck ..." when a thread does not go on for 60 s.
 *   sharers store SECONDS THREADS FILE...     the same, and every fifth access stores the word
 *                       that is there, so that blocks are copied.
 *   sharers pin FILE PAGE     put the page into a pipe (vmsplice), say "pinned", and obey a
 *                       line of input each: "again" gives the page up and loads it, "other"
 *                       loads it through another mapping, "store" stores to it, "pwrite" writes
 *                       it, "shifted" loads the page through a mapping without 2 MiB pages,
 *                       "drain" reads the pipe and says the first byte of what was in it.
 *                       Each says "done", or "SIGBUS".
 *   sharers faults FILE FIRST COUNT SHIFT     load COUNT pages from FIRST on through a mapping
 *                       that is shifted by SHIFT pages: "good in N faults", or "SIGBUS at PAGE".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define MOST_THREADS 64
#define PATIENCE 60

static __thread sigjmp_buf escape;

static void on_sigbus(int signal)
{
	(void)signal;
	siglongjmp(escape, 1);
}

/* A mapping of the file that lies SHIFT pages behind a multiple of 2 MiB. */
static char *map_shifted(int fd, size_t size, size_t shift, int prot)
{
	size_t room = size + 2 * HUGE;
	char *area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at;

	if (area == MAP_FAILED)
		fail("mmap");
	at = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1)) + shift * PAGE;
	at = mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED)
		fail("mmap");
	return at;
}

static int open_file(const char *path, size_t *size)
{
	struct stat status;
	int fd = open(path, O_RDWR);

	if (fd < 0 || fstat(fd, &status))
		fail(path);
	*size = status.st_size;
	return fd;
}

static int storing;
static volatile int stop;
static size_t storm_size;

static struct runner {
	pthread_t thread;
	int fd;
	size_t shift;
	uint64_t random;
	volatile unsigned long turns;
	volatile uint64_t wrong, got;
	volatile int bad;
} runners[MOST_THREADS];

static uint64_t next_random(struct runner *self)
{
	self->random = self->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return self->random >> 24;
}

static void *storm_thread(void *data)
{
	struct runner *self = data;
	volatile uint64_t *words = (void *)map_shifted(self->fd, storm_size, self->shift,
						       PROT_READ | (storing ? PROT_WRITE : 0));
	char *bytes = (char *)words;

	while (!stop) {
		uint64_t choice = next_random(self), index = choice % (storm_size / 8), got;

		if (!sigsetjmp(escape, 0)) {
			got = words[index];
			if (got != word_of(index, 1)) {
				self->wrong = index;
				self->got = got;
				self->bad = 1;
			}
			if (storing && choice % 5 == 0)
				words[index] = word_of(index, 1);
		}
		if (choice % 3 == 0)
			madvise(bytes + (index * 8 & ~(PAGE - 1)), PAGE, MADV_DONTNEED);
		if (choice % 29 == 0)
			madvise(bytes, storm_size, MADV_DONTNEED);
		self->turns++;
	}
	return NULL;
}

/* Whether all threads have gone on in the last PATIENCE seconds; *@stuck is one that has not. */
static int all_go_on(int count, int *stuck)
{
	static unsigned long seen[MOST_THREADS];
	static time_t since[MOST_THREADS];
	time_t now = time(NULL);

	for (int i = 0; i < count; i++) {
		if (!since[i] || runners[i].turns != seen[i]) {
			seen[i] = runners[i].turns;
			since[i] = now;
		} else if (now - since[i] > PATIENCE) {
			*stuck = i;
			return 0;
		}
	}
	return 1;
}

static int storm(int seconds, int count, char **files)
{
	time_t end = time(NULL) + seconds;
	unsigned long sum = 0;
	int fds[MOST_THREADS], many = 0, stuck;

	for (; files[many] && many < MOST_THREADS; many++)
		fds[many] = open_file(files[many], &storm_size);
	if (!many || count > MOST_THREADS)
		return 2;
	for (int i = 0; i < count; i++) {
		runners[i].fd = fds[i / 2 % many];
		runners[i].shift = i % 2;
		runners[i].random = i * 7919 + 1;
		errno = pthread_create(&runners[i].thread, NULL, storm_thread, &runners[i]);
		if (errno)
			fail("pthread_create");
	}
	while (time(NULL) < end) {
		usleep(200000);
		if (!all_go_on(count, &stuck)) {
			printf("stuck: thread %d after %lu loads\n", stuck, runners[stuck].turns);
			fflush(stdout);
			_exit(1);
		}
	}
	stop = 1;
	for (int i = 0; i < count; i++) {
		while (pthread_tryjoin_np(runners[i].thread, NULL)) {
			usleep(100000);
			if (time(NULL) > end + PATIENCE) {
				printf("stuck: thread %d at the end\n", i);
				fflush(stdout);
				_exit(1);
			}
		}
		sum += runners[i].turns;
	}
	for (int i = 0; i < count; i++) {
		if (runners[i].bad) {
			printf("wrong word %lu: %#lx\n", runners[i].wrong, runners[i].got);
			return 1;
		}
	}
	printf("good after %lu loads\n", sum);
	return 0;
}

static void load(volatile char *at)
{
	(void)*at;
}

static void obey(const char *word, int fd, char *first, size_t size, size_t page, int *pipes)
{
	size_t at = page * PAGE;
	char buffer[PAGE];

	if (sigsetjmp(escape, 0)) {
		say("SIGBUS");
		return;
	}
	if (!strcmp(word, "again")) {
		if (madvise(first + at, PAGE, MADV_DONTNEED))
			fail("madvise");
		load(first + at);
	} else if (!strcmp(word, "other")) {
		load(map_shifted(fd, size, 0, PROT_READ) + at);
	} else if (!strcmp(word, "shifted")) {
		load(map_shifted(fd, size, 1, PROT_READ) + at);
	} else if (!strcmp(word, "store")) {
		*(volatile char *)(first + at) = 's';
	} else if (!strcmp(word, "pwrite")) {
		memset(buffer, 'w', PAGE);
		if (pwrite(fd, buffer, PAGE, at) != (ssize_t)PAGE)
			fail("pwrite");
	} else if (!strcmp(word, "drain")) {
		if (read(pipes[0], buffer, PAGE) != (ssize_t)PAGE)
			fail("pipe");
		printf("%#x\n", (unsigned char)buffer[0]);
	}
	say("done");
}

static int pin(const char *path, size_t page)
{
	struct iovec vector = { .iov_len = PAGE };
	char word[32], *first;
	size_t size;
	int pipes[2], fd = open_file(path, &size);

	first = map_shifted(fd, size, 0, PROT_READ | PROT_WRITE);
	vector.iov_base = first + page * PAGE;
	load(vector.iov_base);
	if (pipe(pipes) || vmsplice(pipes[1], &vector, 1, 0) != (ssize_t)PAGE)
		fail("vmsplice");
	say("pinned");
	while (scanf("%31s", word) == 1)
		obey(word, fd, first, size, page, pipes);
	return 0;
}

static long faults_so_far(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static int faults(const char *path, size_t from, size_t count, size_t shift)
{
	volatile size_t page = from;
	size_t size;
	int fd = open_file(path, &size);
	char *bytes = map_shifted(fd, size, shift, PROT_READ);
	long before = faults_so_far();

	if (sigsetjmp(escape, 0)) {
		printf("SIGBUS at %zu\n", page);
		return 1;
	}
	for (; page < from + count; page++)
		load(bytes + page * PAGE);
	printf("good in %ld faults\n", faults_so_far() - before);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };

	if (sigaction(SIGBUS, &action, NULL))
		fail("sigaction");
	if (argc >= 5 && (!strcmp(argv[1], "storm") || !strcmp(argv[1], "store"))) {
		storing = !strcmp(argv[1], "store");
		return storm(atoi(argv[2]), atoi(argv[3]), argv + 4);
	}
	if (argc == 4 && !strcmp(argv[1], "pin"))
		return pin(argv[2], strtoul(argv[3], NULL, 0));
	if (argc == 6 && !strcmp(argv[1], "faults"))
		return faults(argv[2], strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0),
			      strtoul(argv[5], NULL, 0));
	fprintf(stderr, "usage: see sharers.c\n");
	return 2;
}
