// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses of 4 KiB to a file, for a time:
 *
 *   vfsbench HOW ORDER FILE BYTES JOBS MS     HOW: pread, pwrite, load, store
 *                                             ORDER: seq, rand, zipf
 *   vfsbench small HOW DIR FILES 1 PASSES     open, access and close each file of DIR, named
 *                                             x00000 and so on; HOW: pread, load
 *
 * JOBS tasks do it at once, each its own order; seq has each begin at its own place.  Every 2 MiB
 * was touched once before the time begins.  Prints how often, in how many ns of the clock, and
 * how many ns of CPU the tasks took: with -icount these are instructions.
 *
 *   ops=N ns=N cpu=N warm=N      warm: how often before the time began
 *
 * zipf is of blocks (theta 1.2), which are then strewn over the file, as fio does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096UL
#define RANGE (2UL << 20)
#define THETA 1.2

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t random_of(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static char buffer[BLOCK];
static const char *how;

/* The copy has to be made: the compiler may not see that nobody looks at it. */
static void access_block(int fd, char *map, uint64_t block)
{
	off_t at = block * BLOCK;
	ssize_t done = BLOCK;

	if (!strcmp(how, "pread"))
		done = pread(fd, buffer, BLOCK, at);
	else if (!strcmp(how, "pwrite"))
		done = pwrite(fd, buffer, BLOCK, at);
	else if (!strcmp(how, "load"))
		memcpy(buffer, map + at, BLOCK);
	else
		memcpy(map + at, buffer, BLOCK);
	__asm__ volatile("" : : "r"(buffer) : "memory");
	if (done != (ssize_t)BLOCK)
		die(how);
}

/* The share of the blocks up to each, by rank. */
static double *zipf_table(uint64_t blocks)
{
	double *table = malloc(blocks * sizeof(*table)), sum = 0;
	uint64_t i;

	if (!table)
		die("malloc");
	for (i = 0; i < blocks; i++) {
		sum += 1 / pow(i + 1, THETA);
		table[i] = sum;
	}
	for (i = 0; i < blocks; i++)
		table[i] /= sum;
	return table;
}

static uint64_t zipf(const double *table, uint64_t blocks, uint64_t *state)
{
	double want = (random_of(state) >> 11) * 0x1p-53;
	uint64_t low = 0, high = blocks - 1;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (table[middle] < want)
			low = middle + 1;
		else
			high = middle;
	}
	/* An odd factor: every rank has a block of its own when the number is a power of two. */
	return low * 0x9e3779b1UL % blocks;
}

struct shared {
	volatile int ready, go;
	volatile uint64_t ops[64];
};

static void job(struct shared *shared, int me, int jobs, const char *order, int fd, char *map,
		uint64_t blocks, const double *table, uint64_t ms)
{
	uint64_t state = (me + 1) * 0x2545f4914f6cdd1dULL, at = blocks / jobs * me, ops = 0, end;
	int i;

	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	while (!shared->go)
		usleep(200);
	end = now() + ms * 1000000;
	do {
		for (i = 0; i < 8; i++, ops++) {
			if (*order == 's')
				at = at + 1 < blocks ? at + 1 : 0;
			else if (*order == 'r')
				at = random_of(&state) % blocks;
			else
				at = zipf(table, blocks, &state);
			access_block(fd, map, at);
		}
	} while (now() < end);
	shared->ops[me] = ops;
}

static void report(uint64_t ops, uint64_t ns, uint64_t warm)
{
	struct rusage used;
	uint64_t cpu;

	getrusage(RUSAGE_CHILDREN, &used);
	cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000ULL +
	      (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000ULL;
	printf("ops=%llu ns=%llu cpu=%llu warm=%llu\n", (unsigned long long)ops,
	       (unsigned long long)ns, (unsigned long long)cpu, (unsigned long long)warm);
}

static void small(const char *dir, uint64_t files, uint64_t passes)
{
	uint64_t i, pass;
	char path[512];

	for (pass = 0; pass < passes; pass++) {
		for (i = 0; i < files; i++) {
			char *map = NULL;
			int fd;

			snprintf(path, sizeof(path), "%s/x%05llu", dir, (unsigned long long)i);
			fd = open(path, O_RDONLY);
			if (fd < 0)
				die(path);
			if (!strcmp(how, "load")) {
				map = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0);
				if (map == MAP_FAILED)
					die(path);
			}
			access_block(fd, map, 0);
			if (map)
				munmap(map, BLOCK);
			close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t blocks, i, ms, start, ops = 0;
	struct shared *shared;
	double *table = NULL;
	char *map;
	int jobs, fd;

	if (argc != 7) {
		fprintf(stderr, "vfsbench: usage: see the head of vfsbench.c\n");
		return 2;
	}
	jobs = atoi(argv[5]);
	ms = strtoull(argv[6], NULL, 0);
	if (!strcmp(argv[1], "small")) {
		how = argv[2];
		start = now();
		if (!fork()) {
			small(argv[3], strtoull(argv[4], NULL, 0), ms);
			exit(0);
		}
		if (wait(&jobs) < 0 || jobs)
			return 1;
		report(strtoull(argv[4], NULL, 0) * ms, now() - start, 0);
		return 0;
	}
	how = argv[1];
	blocks = strtoull(argv[4], NULL, 0) / BLOCK;
	fd = open(argv[3], O_RDWR);
	if (fd < 0)
		die(argv[3]);
	map = mmap(NULL, blocks * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || shared == MAP_FAILED)
		die("mmap");
	if (*argv[2] == 'z')
		table = zipf_table(blocks);
	for (i = 0; i < blocks; i += RANGE / BLOCK)
		access_block(fd, map, i);
	for (i = 0; i < (uint64_t)jobs; i++) {
		if (!fork()) {
			job(shared, i, jobs, argv[2], fd, map, blocks, table, ms);
			exit(0);
		}
	}
	while (shared->ready < jobs)
		usleep(1000);
	start = now();
	shared->go = 1;
	for (i = 0; i < (uint64_t)jobs; i++) {
		int status;

		if (wait(&status) < 0 || status)
			return 1;
	}
	start = now() - start;
	for (i = 0; i < (uint64_t)jobs; i++)
		ops += shared->ops[i];
	report(ops, start, blocks / (RANGE / BLOCK));
	return 0;
}
