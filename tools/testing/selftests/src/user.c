// SPDX-License-Identifier: GPL-2.0
/*
 * A user of a file, who says what befalls it:
 *
 *   user watch FILE PAGE        map the file and read the page; "ready", and then, until
 *                               SIGTERM: "told SIGBUS offset=..." or "not told"
 *   user stall write FILE OFFSET FIFO
 *   user stall read FILE OFFSET FIFO
 *                               write two pages, or read them, of which the second has
 *                               a buffer that userfaultfd withholds: "stalled" when the
 *                               kernel waits for it.  When something is written to
 *                               FIFO, it is given; then the call's answer: a number, or
 *                               an error's name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		fail(path);
	return fd;
}

static int watch(const char *path, unsigned long page)
{
	int fd = open_file(path, O_RDONLY);
	sigset_t signals;
	siginfo_t info;
	char *mapping;

	/* Both are taken from sigwaitinfo(), and none in between is lost. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGBUS);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, NULL))
		fail("sigprocmask");
	mapping = mmap(NULL, (page + 1) * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (mapping == MAP_FAILED)
		fail("mmap");
	*(volatile char *)(mapping + page * PAGE);
	/* The others find out when they touch the page. */
	if (prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0))
		fail("prctl");
	say("ready");
	if (sigwaitinfo(&signals, &info) == SIGBUS) {
		printf("told SIGBUS offset=%#lx\n", (unsigned long)((char *)info.si_addr - mapping));
		return 0;
	}
	say("not told");
	return 0;
}

static struct {
	int fd, writing;
	off_t offset;
	char *buffer;
	ssize_t answer;
	int error;
} call;

static void *make_call(void *unused)
{
	(void)unused;
	if (call.writing)
		call.answer = pwrite(call.fd, call.buffer, 2 * PAGE, call.offset);
	else
		call.answer = pread(call.fd, call.buffer, 2 * PAGE, call.offset);
	call.error = errno;
	return NULL;
}

static int stall(int writing, const char *path, off_t offset, const char *fifo)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	static char page[PAGE];
	struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };
	struct uffd_msg message;
	pthread_t thread;
	int uffd;
	char byte;

	call.fd = open_file(path, O_RDWR);
	call.writing = writing;
	call.offset = offset;
	call.buffer = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (call.buffer == MAP_FAILED)
		fail("mmap");
	memset(call.buffer, 's', PAGE);
	memset(page, 't', PAGE);

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		fail("userfaultfd");
	range.range.start = (uintptr_t)call.buffer + PAGE;
	range.range.len = PAGE;
	if (ioctl(uffd, UFFDIO_REGISTER, &range))
		fail("UFFDIO_REGISTER");
	if (pthread_create(&thread, NULL, make_call, NULL))
		fail("pthread_create");
	if (read(uffd, &message, sizeof(message)) != sizeof(message))
		fail("read of userfaultfd");
	say("stalled");

	if (read(open_file(fifo, O_RDONLY), &byte, 1) < 0)
		fail(fifo);
	copy.dst = range.range.start;
	if (ioctl(uffd, UFFDIO_COPY, &copy))
		fail("UFFDIO_COPY");
	pthread_join(thread, NULL);
	if (call.answer < 0)
		say(strerrorname_np(call.error) ? strerrorname_np(call.error) : "unknown error");
	else
		printf("%zd\n", call.answer);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "watch"))
		return watch(argv[2], strtoul(argv[3], NULL, 0));
	if (argc == 6 && !strcmp(argv[1], "stall"))
		return stall(!strcmp(argv[2], "write"), argv[3], strtoul(argv[4], NULL, 0), argv[5]);
	fprintf(stderr, "user: usage: see the head of user.c\n");
	return 2;
}
