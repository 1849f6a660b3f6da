/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs share: what `poison fill` writes, and how results are told.
 */
#ifndef RDAX_TEST_COMMON_H
#define RDAX_TEST_COMMON_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)

/* The word at that index of a file, each with its own. */
static inline uint64_t word_of(uint64_t index, uint64_t seed)
{
	return (index + 1) * 0x9e3779b97f4a7c15ULL ^ seed << 32;
}

/* All words of a page. */
static inline void pattern(uint64_t *words, uint64_t page, uint64_t seed)
{
	for (uint64_t i = 0; i < PAGE / 8; i++)
		words[i] = word_of(page * (PAGE / 8) + i, seed);
}

static inline int say(const char *words)
{
	printf("%s\n", words);
	fflush(stdout);
	return 0;
}

/* Says the name of errno: "EIO". */
static inline int say_error(void)
{
	const char *name = strerrorname_np(errno);

	say(name ? name : "unknown error");
	return 1;
}

/* The test itself cannot go on. */
static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(2);
}

#endif
