// SPDX-License-Identifier: GPL-2.0
/*
 * What the tests do to files and memory, one deed a call, told in one line:
 *
 *   poison fill FILE FIRST COUNT SEED     write pages, each with words of its own
 *   poison verify FILE FIRST COUNT SEED   "same", or which page differs
 *   poison phys FILE PAGE                 the physical address of the page
 *   poison madv FILE PAGE [OFFSET]        madvise(MADV_HWPOISON) on the mapped page
 *   poison hw FILE PAGE                   a machine check for it (hw-poison)
 *   poison touch FILE PAGE [w]            read (or write) a byte through a mapping
 *   poison faults FILE FIRST              how many faults it takes to read 512 pages
 *   poison pread FILE OFFSET LEN [HOW]    HOW: direct,nowait,badbuf,badtail
 *   poison pwrite FILE OFFSET LEN BYTE [HOW]
 *   poison each FILE FIRST STEP COUNT LEN preads of LEN each: "good=N bad=N other=N"
 *   poison each-write ...                 the same with pwrites
 *   poison flags PHYS COUNT               which of the pages are marked HWPoison
 *
 * Calls that fail say the error's name: "EIO", "EFAULT".  A signal says
 * "SIGBUS code=... lsb=... offset=...", the offset in the mapping.
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

/* In enum pageflags, with CONFIG_MEMORY_FAILURE. */
#define PG_HWPOISON 21

static char *mapping;
static sigjmp_buf escape;
static siginfo_t sigbus;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	sigbus = *info;
	siglongjmp(escape, 1);
}

static void catch_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

	if (sigaction(SIGBUS, &action, NULL))
		fail("sigaction");
}

static const char *code_name(int code)
{
	switch (code) {
	case BUS_ADRERR:
		return "ADRERR";
	case BUS_OBJERR:
		return "OBJERR";
	case BUS_MCEERR_AR:
		return "MCEERR_AR";
	case BUS_MCEERR_AO:
		return "MCEERR_AO";
	}
	return "other";
}

static void say_sigbus(void)
{
	int lsb = -1;

	if (sigbus.si_code == BUS_MCEERR_AR || sigbus.si_code == BUS_MCEERR_AO)
		lsb = sigbus.si_addr_lsb;
	printf("SIGBUS code=%s lsb=%d offset=%#lx\n", code_name(sigbus.si_code), lsb,
	       (unsigned long)((char *)sigbus.si_addr - mapping));
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		fail(path);
	return fd;
}

/* The file, mapped where a huge page can be. */
static void map_file(const char *path)
{
	int fd = open_file(path, O_RDWR);
	struct stat st;
	char *area;

	if (fstat(fd, &st))
		fail("fstat");
	area = mmap(NULL, st.st_size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		fail("mmap");
	area = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	mapping = mmap(area, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (mapping == MAP_FAILED)
		fail("mmap");
	close(fd);
}

static unsigned long number(const char *word)
{
	char *end;
	unsigned long value = strtoul(word, &end, 0);

	if (*end || end == word) {
		fprintf(stderr, "poison: %s is no number\n", word);
		exit(2);
	}
	return value;
}

static uint64_t physical(unsigned long page)
{
	int fd = open_file("/proc/self/pagemap", O_RDONLY);
	volatile char *at = mapping + page * PAGE;
	uint64_t entry;

	/* Writing would take it from a file that shares it. */
	(void)*at;
	if (pread(fd, &entry, 8, (uintptr_t)at / PAGE * 8) != 8)
		fail("pagemap");
	close(fd);
	if (!(entry >> 63)) {
		fprintf(stderr, "poison: the page is not there\n");
		exit(2);
	}
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

static int fill(const char *path, unsigned long first, unsigned long count, unsigned long seed)
{
	int fd = open_file(path, O_RDWR | O_CREAT);
	uint64_t words[PAGE / 8];

	for (unsigned long page = first; page < first + count; page++) {
		pattern(words, page, seed);
		if (pwrite(fd, words, PAGE, page * PAGE) != (ssize_t)PAGE)
			fail("fill");
	}
	if (fsync(fd))
		fail("fsync");
	return 0;
}

static int verify(const char *path, unsigned long first, unsigned long count, unsigned long seed)
{
	int fd = open_file(path, O_RDONLY);
	uint64_t words[PAGE / 8], read_back[PAGE / 8];

	for (unsigned long page = first; page < first + count; page++) {
		ssize_t n = pread(fd, read_back, PAGE, page * PAGE);

		if (n != (ssize_t)PAGE) {
			printf("page %lu: %s\n", page, n < 0 ? strerrorname_np(errno) : "short");
			return 1;
		}
		pattern(words, page, seed);
		if (memcmp(words, read_back, PAGE)) {
			printf("page %lu differs\n", page);
			return 1;
		}
	}
	printf("same\n");
	return 0;
}

static int madv(unsigned long page, unsigned long offset)
{
	char *at = mapping + page * PAGE;

	if (sigsetjmp(escape, 1)) {
		say_sigbus();
		return 0;
	}
	*(volatile char *)at;
	if (madvise(at, PAGE, MADV_HWPOISON)) {
		say_error();
		return 1;
	}
	*(volatile char *)(at + offset);
	printf("reads on\n");
	return 0;
}

static int hw(unsigned long page)
{
	char address[32];

	snprintf(address, sizeof(address), "%#lx", (unsigned long)physical(page));
	printf("%s\n", address);
	fflush(stdout);
	execlp("hw-poison", "hw-poison", address, NULL);
	fail("hw-poison");
	return 2;
}

static int touch(unsigned long page, int writing)
{
	volatile char *at = mapping + page * PAGE;

	if (sigsetjmp(escape, 1)) {
		say_sigbus();
		return 0;
	}
	if (writing)
		*at = 't';
	printf("byte %#x\n", (unsigned char)*at);
	return 0;
}

static int faults(unsigned long first)
{
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (unsigned long page = first; page < first + 512; page++)
		*(volatile char *)(mapping + page * PAGE);
	getrusage(RUSAGE_SELF, &after);
	printf("%ld\n", after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt);
	return 0;
}

static int transfer(const char *path, int writing, unsigned long offset, unsigned long len, int byte, const char *how)
{
	int fd = open_file(path, O_RDWR | (strstr(how, "direct") ? O_DIRECT : 0));
	char *buffer = mmap(NULL, len + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int flags = strstr(how, "nowait") ? RWF_NOWAIT : 0;
	struct iovec iov = { buffer, len };
	ssize_t n;

	if (buffer == MAP_FAILED)
		fail("mmap");
	memset(buffer, byte, len);
	if (strstr(how, "badbuf"))
		munmap(buffer, len);
	if (strstr(how, "badtail")) {
		/* The last half page of the buffer is not there. */
		iov.iov_base = buffer + PAGE / 2;
		munmap(buffer + len, PAGE);
	}
	n = writing ? pwritev2(fd, &iov, 1, offset, flags) : preadv2(fd, &iov, 1, offset, flags);
	if (n < 0)
		say_error();
	else
		printf("%zd\n", n);
	return 0;
}

static int each(const char *path, int writing, unsigned long first, unsigned long step, unsigned long count,
		unsigned long len)
{
	int fd = open_file(path, O_RDWR | O_DIRECT);
	unsigned long good = 0, bad = 0, other = 0;
	char *buffer = aligned_alloc(PAGE, (len + PAGE - 1) & ~(PAGE - 1));

	if (!buffer)
		fail("memory");
	memset(buffer, 'e', len);
	for (unsigned long i = 0; i < count; i++) {
		off_t at = first + i * step;
		ssize_t n = writing ? pwrite(fd, buffer, len, at) : pread(fd, buffer, len, at);

		if (n == (ssize_t)len)
			good++;
		else if (n < 0 && errno == EIO)
			bad++;
		else
			other++;
	}
	printf("good=%lu bad=%lu other=%lu\n", good, bad, other);
	return 0;
}

/* The port that run-all connects with QEMU's monitor. */
static FILE *open_monitor(void)
{
	char path[64], name[32];

	for (int i = 0; i < 128; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/vport%dp%d/name", i / 16, i % 16);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strncmp(name, "rdax.mon", 8)) {
			char device[64] = "/dev/";

			fclose(file);
			*strrchr(path, '/') = 0;
			strcat(device, strrchr(path, '/') + 1);
			return fdopen(open_file(device, O_RDWR), "r+");
		}
		fclose(file);
	}
	fprintf(stderr, "poison: there is no way to the monitor\n");
	exit(2);
}

/* One command and its answer; NULL when that is an error. */
static char *ask_monitor(FILE *monitor, const char *command)
{
	static char *line;
	static size_t size;

	fprintf(monitor, "%s\n", command);
	fflush(monitor);
	while (getline(&line, &size, monitor) > 0) {
		if (strstr(line, "\"return\":"))
			return line;
		if (strstr(line, "\"error\":"))
			return NULL;
	}
	return NULL;
}

/*
 * /proc/kpageflags shows nothing of device memory, so have QEMU read the struct pages:
 * 64 bytes each, the flags first, at a fixed address (nothing here is randomized).
 */
static int flags(uint64_t phys, unsigned long count)
{
	char command[160], *at, *gap = "";
	uint64_t vmemmap = 0xffffea0000000000ULL;
	FILE *monitor = open_monitor(), *cpuinfo = fopen("/proc/cpuinfo", "r");
	char line[4096];

	while (cpuinfo && fgets(line, sizeof(line), cpuinfo))
		if (strstr(line, " la57"))
			vmemmap = 0xffd4000000000000ULL;
	ask_monitor(monitor, "{\"execute\": \"qmp_capabilities\"}");
	snprintf(command, sizeof(command),
		 "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"x /%lugx %#lx\"}}",
		 count * 8, (unsigned long)(vmemmap + phys / PAGE * 64));
	at = ask_monitor(monitor, command);
	if (!at || !strstr(at, "0x")) {
		printf("no answer: %s\n", at ? at : "error");
		return 1;
	}
	for (unsigned long i = 0; (at = strstr(at, "0x")); i++, at += 2) {
		if (i % 8 || !(strtoull(at, NULL, 16) >> PG_HWPOISON & 1))
			continue;
		printf("%s%lu", gap, i / 8);
		gap = " ";
	}
	printf("%s\n", *gap ? "" : "none");
	return 0;
}

int main(int argc, char **argv)
{
	const char *deed = argc > 2 ? argv[1] : "";
#define IS(name, least) (!strcmp(deed, name) && argc >= (least) + 2)
#define N(i) number(argv[(i) + 1])
#define HOW(i) (argc > (i) + 1 ? argv[(i) + 1] : "")

	catch_sigbus();
	if (IS("fill", 4))
		return fill(argv[2], N(2), N(3), N(4));
	if (IS("verify", 4))
		return verify(argv[2], N(2), N(3), N(4));
	if (IS("pread", 3))
		return transfer(argv[2], 0, N(2), N(3), 0, HOW(4));
	if (IS("pwrite", 4))
		return transfer(argv[2], 1, N(2), N(3), argv[5][0], HOW(5));
	if (IS("each", 5))
		return each(argv[2], 0, N(2), N(3), N(4), N(5));
	if (IS("each-write", 5))
		return each(argv[2], 1, N(2), N(3), N(4), N(5));
	if (IS("flags", 2))
		return flags(N(1), N(2));
	if (IS("phys", 2) || IS("madv", 2) || IS("hw", 2) || IS("touch", 2) || IS("faults", 2))
		map_file(argv[2]);
	if (IS("madv", 2))
		return madv(N(2), argc > 4 ? N(3) : 0);
	if (IS("hw", 2))
		return hw(N(2));
	if (IS("touch", 2))
		return touch(N(2), *HOW(3) == 'w');
	if (IS("faults", 2))
		return faults(N(2));
	if (IS("phys", 2)) {
		printf("%#lx\n", (unsigned long)physical(N(2)));
		return 0;
	}
	fprintf(stderr, "poison: usage: see the head of poison.c\n");
	return 2;
}
