// SPDX-License-Identifier: GPL-2.0
/*
 * Failures against file systems that come and go:
 *
 *   stress ROUNDS DISK NDDEVICE PFNS SEED
 *
 * DISK (/dev/pmem0) has two partitions with XFS, each with a file "victim" of PAGES
 * pages, whose page frames are listed in PFNS.  A process on the second CPU reports
 * failures of these without a pause, in an order that SEED gives.  One on the first CPU does ROUNDS rounds of mount
 * both, write, read through a mapping, unmount, and at times delete and add the
 * partitions, or unbind NDDEVICE from nd_pmem, also under the mounts, and bind it.
 *
 * Most of it may fail: that is what failures are for.  It has to come to its end, and
 * afterwards, when nothing fails any more, everything has to work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 16
#define PARTS 2
#define DRIVER "/sys/bus/nd/drivers/nd_pmem/"

static const char *disk, *device;
static struct {
	volatile int stop;
	volatile unsigned long injected, refused;
} *shared;
static unsigned long mounts, failed_mounts, wrote, failed_writes, partitioned, busy, unbound, killed;
static struct blkpg_partition partition[PARTS];
static volatile sig_atomic_t touching;
static sigjmp_buf escape;

static void fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(2);
}

static void on_sigbus(int signal)
{
	(void)signal;
	killed++;
	if (touching)
		siglongjmp(escape, 1);
}

static void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* With one CPU they take turns. */
	if (sched_setaffinity(0, sizeof(set), &set) && errno != EINVAL)
		fail("sched_setaffinity");
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), rc = 0;

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) < 0)
		rc = -1;
	close(fd);
	return rc;
}

static void inject(const char *list, unsigned int seed)
{
	static char address[PARTS * PAGES][32];
	int count = 0, fd;
	FILE *file = fopen(list, "r");

	if (!file)
		fail(list);
	while (count < PARTS * PAGES && fscanf(file, "%31s", address[count]) == 1)
		count++;
	if (!count)
		fail("no addresses");
	fclose(file);
	/*
	 * Not hwpoison/corrupt-pfn: that looks at the struct page without keeping it, and
	 * oopses when the device is just going.
	 */
	fd = open("/sys/devices/system/memory/hard_offline_page", O_WRONLY);
	if (fd < 0)
		fail("hard_offline_page");
	srandom(seed);
	while (!shared->stop) {
		const char *which = address[random() % count];

		/* Nobody is home while it is unbound; that costs a try, and tells nothing. */
		if (write(fd, which, strlen(which)) < 0)
			shared->refused++;
		else
			shared->injected++;
	}
}

static const char *part_path(int part)
{
	static char path[PARTS][64];

	snprintf(path[part], sizeof(path[part]), "%sp%d", disk, part + 1);
	return path[part];
}

static const char *mount_point(int part)
{
	return part ? "/mnt/stress2" : "/mnt/stress1";
}

/* The partitions, as they are. */
static void learn_partitions(void)
{
	for (int part = 0; part < PARTS; part++) {
		const char *name = strrchr(disk, '/') + 1;
		static const char *const key[] = { "start", "size" };
		unsigned long long value[2];

		for (int i = 0; i < 2; i++) {
			char path[128];
			FILE *file;

			snprintf(path, sizeof(path), "/sys/block/%s/%sp%d/%s", name, name, part + 1, key[i]);
			file = fopen(path, "r");
			if (!file || fscanf(file, "%llu", &value[i]) != 1)
				fail(path);
			fclose(file);
		}
		partition[part].pno = part + 1;
		partition[part].start = value[0] * 512;
		partition[part].length = value[1] * 512;
	}
}

static void repartition(void)
{
	int fd = open(disk, O_RDONLY);

	if (fd < 0)
		return;
	for (int op = BLKPG_DEL_PARTITION; op >= BLKPG_ADD_PARTITION; op--) {
		for (int part = 0; part < PARTS; part++) {
			struct blkpg_ioctl_arg arg = {
				.op = op,
				.datalen = sizeof(partition[part]),
				.data = &partition[part],
			};

			if (!ioctl(fd, BLKPG, &arg))
				partitioned++;
			else
				busy++;
		}
	}
	close(fd);
}

static void bind_device(const char *how)
{
	char path[64];

	snprintf(path, sizeof(path), "%s%s", DRIVER, how);
	if (put(path, device))
		fail(path);
	unbound++;
}

static int use(int part)
{
	static char data[PAGES * PAGE];
	char path[64], *mapping;
	int fd;
	volatile int good = 0;

	snprintf(path, sizeof(path), "%s/victim", mount_point(part));
	fd = open(path, O_RDWR);
	if (fd < 0) {
		failed_writes++;
		return 0;
	}
	memset(data, 'a' + part, sizeof(data));
	if (pwrite(fd, data, sizeof(data), 0) == (ssize_t)sizeof(data)) {
		wrote++;
		good = 1;
	} else {
		failed_writes++;
	}
	mapping = mmap(NULL, sizeof(data), PROT_READ, MAP_SHARED, fd, 0);
	if (mapping != MAP_FAILED) {
		touching = 1;
		if (sigsetjmp(escape, 1))
			good = 0;
		else
			for (unsigned int page = 0; page < PAGES; page++)
				if (((volatile char *)mapping)[page * PAGE] != 'a' + part)
					good = 0;
		touching = 0;
		munmap(mapping, sizeof(data));
	}
	close(fd);
	return good;
}

static int mount_part(int part)
{
	if (mount(part_path(part), mount_point(part), "xfs", 0, "dax=always")) {
		failed_mounts++;
		return 0;
	}
	mounts++;
	return 1;
}

static void one_round(unsigned long number)
{
	int mounted[PARTS], under = number % 8 == 3;

	for (int part = 0; part < PARTS; part++)
		mounted[part] = mount_part(part);
	for (int part = 0; part < PARTS; part++)
		if (mounted[part])
			use(part);
	if (under)
		bind_device("unbind");
	for (int part = 0; part < PARTS; part++)
		if (mounted[part] && umount(mount_point(part)))
			fail("umount");
	if (number % 8 == 7)
		bind_device("unbind");
	if (under || number % 8 == 7)
		bind_device("bind");
	else if (number % 4 == 1)
		repartition();
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };
	unsigned long rounds;
	pid_t injector;
	int status, good = 0;

	if (argc != 6) {
		fprintf(stderr, "stress: usage: see the head of stress.c\n");
		return 2;
	}
	rounds = strtoul(argv[1], NULL, 0);
	disk = argv[2];
	device = argv[3];
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("mmap");
	learn_partitions();
	for (int part = 0; part < PARTS; part++)
		mkdir(mount_point(part), 0755);

	injector = fork();
	if (injector < 0)
		fail("fork");
	if (!injector) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		on_cpu(1);
		inject(argv[4], strtoul(argv[5], NULL, 0));
		return 0;
	}
	on_cpu(0);
	sigaction(SIGBUS, &action, NULL);
	for (unsigned long number = 0; number < rounds; number++) {
		one_round(number);
		if (number % 100 == 99 || number + 1 == rounds) {
			printf("%lu rounds: %lu failures reported (%lu refused), %lu SIGBUS;",
			       number + 1, shared->injected, shared->refused, killed);
			printf(" mounted %lu (not %lu), written %lu (not %lu),", mounts, failed_mounts,
			       wrote, failed_writes);
			printf(" partitions %lu (busy %lu), binds and unbinds %lu\n", partitioned, busy,
			       unbound);
			fflush(stdout);
		}
		if (waitpid(injector, &status, WNOHANG) == injector) {
			printf("the injector ended with %#x\n", status);
			return 1;
		}
	}
	shared->stop = 1;
	if (waitpid(injector, &status, 0) != injector || status) {
		printf("the injector ended with %#x\n", status);
		return 1;
	}

	/* Peace: all is written anew, and good. */
	repartition();
	for (int part = 0; part < PARTS; part++) {
		if (!mount_part(part)) {
			printf("%s cannot be mounted in the end: %s\n", part_path(part), strerror(errno));
			continue;
		}
		good += use(part);
		if (umount(mount_point(part)))
			fail("umount");
	}
	printf("%lu rounds, %d of %d file systems good, %s\n", rounds, good, PARTS,
	       mounts > rounds ? "mostly mounted" : "hardly ever mounted");
	return good != PARTS;
}
