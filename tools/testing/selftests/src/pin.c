// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps pages of a mapped file, or of device-dax, without keeping them mapped:
 *
 *   pin pipe FILE OFFSET LEN     a page is in a pipe
 *   pin ring FILE OFFSET LEN     all are a registered buffer of io_uring
 *
 * Says "pinned", and ends when a line comes.  With "reads" in it, pipe says first whether
 * the pipe has what the page had.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common.h"

static char page[PAGE], from_pipe[PAGE];

static int into_pipe(char *mapping)
{
	struct iovec iov = { mapping, PAGE };
	int ends[2];

	if (pipe(ends))
		fail("pipe");
	memcpy(page, mapping, PAGE);
	if (vmsplice(ends[1], &iov, 1, 0) != (ssize_t)PAGE)
		fail("vmsplice");
	return ends[0];
}

static void into_ring(char *mapping, size_t len)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { mapping, len };
	int ring = syscall(__NR_io_uring_setup, 4, &params);

	if (ring < 0)
		fail("io_uring_setup");
	if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1))
		fail("io_uring_register");
}

int main(int argc, char **argv)
{
	char line[80], *mapping;
	int fd, end = -1;
	size_t len;

	if (argc != 5) {
		fprintf(stderr, "pin: usage: see the head of pin.c\n");
		return 2;
	}
	fd = open(argv[2], O_RDWR);
	if (fd < 0)
		fail(argv[2]);
	len = strtoul(argv[4], NULL, 0);
	mapping = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, strtoul(argv[3], NULL, 0));
	if (mapping == MAP_FAILED)
		fail("mmap");
	/* A fault for writing: nothing is in memory that is only read. */
	*(volatile char *)mapping = *mapping;
	if (!strcmp(argv[1], "pipe"))
		end = into_pipe(mapping);
	else
		into_ring(mapping, len);
	if (munmap(mapping, len) || close(fd))
		fail("munmap");
	say("pinned");
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	if (end >= 0 && strstr(line, "reads")) {
		if (read(end, from_pipe, PAGE) != (ssize_t)PAGE)
			fail("read");
		say(memcmp(page, from_pipe, PAGE) ? "differs" : "same");
	}
	return 0;
}
