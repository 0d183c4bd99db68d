// SPDX-License-Identifier: GPL-2.0
/*
 * What round trips between two hosts cost, messages one way, and connections,
 * for EMT and for what else a program could use on the same wire. Prints
 * nanoseconds for each; on an emulator whose clock counts instructions, that is
 * instructions. Beside them is how many frames the hosts gave to the wire, which
 * shows who went another way, and for how much of the time neither ran, which is
 * waiting and not work.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emt_family.h"

#define WARMUP	200
/* Sockets that send to one. */
#define PEERS	64
/* Messages that any socket has room for, so that who would lose some does not. */
#define BURST	64

/**
 * struct run - a measurement under way
 * @f: what is measured
 * @end: the sockets of the hosts
 * @peer: of the second host, if there are many
 * @accepted: what is waited for with these; -1: @end[0] alone receives from all
 * @token: a pipe by which side 0 tells how far it is
 * @paced: messages go out in bursts
 * @len: bytes of a message
 */
struct run {
	const struct family *f;
	struct end end[2];
	struct end peer[PEERS];
	int accepted;
	int token[2];
	bool paced;
	size_t len;
};

static bool two_cpus;

static void put(const struct run *r, const struct end *end, char *buf, int number)
{
	const struct sockaddr *to = end->to_len ? &end->to.sa : NULL;

	buf[0] = number;
	if (sendto(end->fd, buf, r->len, 0, to, end->to_len) != r->len)
		die("%s: send", r->f->name);
}

/* The next message, whole; its number. */
static unsigned char take(const struct run *r, int fd, char *buf)
{
	ssize_t got = 0, n;

	/* A stream may bring it in pieces. */
	do {
		n = recv(fd, buf + got, r->len - got, r->f->listens ? MSG_WAITALL : 0);
		if (n <= 0)
			die("%s: receive", r->f->name);
		got += n;
	} while (got < r->len && r->f->listens);
	if (got != r->len)
		die("%s: received %zd bytes of %zu", r->f->name, got, r->len);
	return buf[0];
}

/* What was sent has come: nothing else, nothing twice, in order unless none is promised. */
static void check(const struct run *r, unsigned char number, int wanted, int *apart)
{
	*apart += number - (unsigned char)wanted;
	if (*apart && !r->f->unordered)
		die("%s: received message %d for %d", r->f->name, number, (unsigned char)wanted);
}

/* Side 1 waits until side 0 has come to the same place. */
static void meet(const struct run *r, int side)
{
	char token = 0;

	if (side ? read(r->token[0], &token, 1) != 1 : write(r->token[1], &token, 1) != 1)
		die("%s: the other side has ended", r->f->name);
}

/* After each burst the sender waits until the receiver has all of it. */
static void pace(const struct run *r, int side, int i)
{
	if (i % BURST == BURST - 1)
		meet(r, side);
}

static void round_trips(const struct run *r, int side, char *buf, int count)
{
	int apart = 0;

	for (int i = 0; i < count; i++) {
		if (!side)
			put(r, &r->end[0], buf, i);
		check(r, take(r, r->end[side].fd, buf), i, &apart);
		if (side)
			put(r, &r->end[1], buf, i);
	}
	if (apart)
		die("%s: messages were lost, or came twice", r->f->name);
}

static void one_way(const struct run *r, int side, char *buf, int count)
{
	int apart = 0;

	for (int i = 0; i < count; i++) {
		if (side)
			put(r, &r->end[1], buf, i);
		else
			check(r, take(r, r->end[0].fd, buf), i, &apart);
		if (r->paced)
			pace(r, side, i);
	}
	if (apart)
		die("%s: messages were lost, or came twice", r->f->name);
}

/* Of many: each sends one message, again and again; the order of arrival is not said. */
static void many_to_one(const struct run *r, int side, char *buf, int count)
{
	struct epoll_event ready[PEERS];
	int i, n, taken = 0;

	for (i = 0; side && i < count; i++) {
		put(r, &r->peer[i % PEERS], buf, 0);
		pace(r, side, i);
	}
	while (!side && taken < count) {
		n = 1;
		if (r->accepted >= 0)
			n = epoll_wait(r->accepted, ready, PEERS, -1);
		if (n < 0)
			die("epoll_wait");
		for (i = 0; i < n; i++) {
			take(r, r->accepted < 0 ? r->end[0].fd : ready[i].data.fd, buf);
			pace(r, side, taken++);
		}
	}
}

/* Side 1 connects, side 0 accepts and closes, which side 1 waits for to close as well. */
static void connects(const struct run *r, int side, char *buf, int count)
{
	struct place at = { .f = r->f, .far = true };
	union address to;
	socklen_t to_len = r->f->address(&at, &to);
	int fd;

	for (int i = 0; i < count; i++) {
		fd = side ? family_socket(r->f) : accept(r->end[0].fd, NULL, NULL);
		if (fd < 0)
			die("%s: accept", r->f->name);
		if (side && connect(fd, &to.sa, to_len))
			die("%s: connect", r->f->name);
		/* TIPC has no other word for the end. */
		if (side && recv(fd, buf, 1, 0) != 0 &&
		    (errno != ECONNRESET || r->f->domain != AF_TIPC))
			die("%s: no end of a connection", r->f->name);
		close(fd);
	}
}

/* What is measured, and how it is asked for. */
enum mode { ROUND_TRIPS, ONE_WAY, BULK, CONNECTS, MANY_TO_ONE };

static const struct {
	const char *name;
	void (*run)(const struct run *r, int side, char *buf, int count);
	size_t len;
} modes[] = {
	[ROUND_TRIPS] = { "roundtrip", round_trips, 100 },
	[ONE_WAY] = { "oneway", one_way, 100 },
	[BULK] = { "bulk", one_way, 65536 },
	[CONNECTS] = { "connects", connects, 1 },
	[MANY_TO_ONE] = { "peers", many_to_one, 100 },
};

/* NULL, or why this family cannot be measured so. */
static const char *unfit(const struct family *f, enum mode how, size_t len)
{
	static char why[64];

	if (how == BULK && f->lossy)
		return "loses what the receiver has no room for";
	if (how == CONNECTS && !f->listens)
		return "has no connections";
	if (!f->most || len <= f->most)
		return family_missing(f);
	snprintf(why, sizeof(why), "a message has at most %zu bytes", f->most);
	return why;
}

/* PEERS sockets of one host that reach one of the other, or a connection for each. */
static void gather(struct run *r)
{
	struct epoll_event in = { .events = EPOLLIN };
	int i;

	r->end[0].fd = family_bound(r->f, 0, 0);
	r->accepted = -1;
	if (r->f->listens)
		r->accepted = epoll_create1(0);
	for (i = 0; i < PEERS; i++) {
		if (!r->f->listens) {
			r->peer[i].fd = family_bound(r->f, 1, 1 + i);
			family_reach(r->f, &r->peer[i], 1, 0);
			continue;
		}
		in.data.fd = family_join(r->f, r->end[0].fd, &r->peer[i]);
		if (epoll_ctl(r->accepted, EPOLL_CTL_ADD, in.data.fd, &in))
			die("epoll_ctl");
	}
}

static void prepare(struct run *r, enum mode how)
{
	if (pipe(r->token))
		die("pipe");
	if (how == MANY_TO_ONE) {
		gather(r);
	} else if (how == CONNECTS) {
		/* The first connection shows that the listener can be reached. */
		r->end[0].fd = family_bound(r->f, 0, 0);
		close(family_join(r->f, r->end[0].fd, &r->end[1]));
		close(r->end[1].fd);
	} else {
		family_pair(r->f, r->end);
	}
}

static double clock_now(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		die("a clock");
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* How long this process and that one have had a CPU. */
static double busy(pid_t other)
{
	clockid_t clock;

	if (clock_getcpuclockid(other, &clock))
		die("the clock of another process");
	return clock_now(CLOCK_PROCESS_CPUTIME_ID) + clock_now(clock);
}

/* Frames that both hosts have given to the wire so far. */
static unsigned long long wire_frames(void)
{
	unsigned long long sum = 0, frames;
	char line[512];
	FILE *file;

	for (int side = 0; side < 2; side++) {
		netns_enter(hosts[side].netns);
		file = fopen("/proc/thread-self/net/dev", "r");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, " " EMT_DEV ": %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu",
				   &frames) == 1)
				sum += frames;
		if (!file || fclose(file))
			die("/proc/net/dev");
	}
	return sum;
}

static void use_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("there is no CPU %d", cpu);
}

/*
 * Tells an emulator that watches where instructions go, by one that does nothing,
 * that what is measured begins or ends.
 */
static void mark(bool begin)
{
#ifdef __x86_64__
	if (begin)
		asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 'E', 'M', 'T', 1" ::: "memory");
	else
		asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 'E', 'M', 'T', 0" ::: "memory");
#endif
}

/* In a process of its own, since what is open when a family has been measured ends with it. */
static void measure(const struct family *f, enum mode how, size_t len, int count)
{
	static struct run r;
	int warmup = count < WARMUP ? count : WARMUP, status;
	unsigned long long frames;
	char *buf = calloc(1, len);
	double start, took, ran;
	pid_t child;

	/* Whole bursts. */
	if (how == MANY_TO_ONE || how == ONE_WAY) {
		warmup = (warmup + BURST - 1) / BURST * BURST;
		count = (count + BURST - 1) / BURST * BURST;
	}
	r = (struct run){ .f = f, .len = len };
	/* Where the receiver's room does not stop the sender; in bulk that is what is measured. */
	r.paced = how == ONE_WAY && (f->lossy || f->unordered);
	prepare(&r, how);
	/* What the one before has left is taken away by then, not while the clock runs. */
	usleep(500000);
	child = fork();
	if (child < 0)
		die("fork");
	if (two_cpus)
		use_cpu(!child);
	if (!child) {
		modes[how].run(&r, 1, buf, warmup);
		meet(&r, 1);
		modes[how].run(&r, 1, buf, count);
		meet(&r, 1);
		_exit(0);
	}
	modes[how].run(&r, 0, buf, warmup);
	frames = wire_frames();
	ran = busy(child);
	mark(true);
	start = clock_now(CLOCK_MONOTONIC);
	meet(&r, 0);
	modes[how].run(&r, 0, buf, count);
	took = clock_now(CLOCK_MONOTONIC) - start;
	mark(false);
	ran = busy(child) - ran;
	frames = wire_frames() - frames;
	meet(&r, 0);
	if (waitpid(child, &status, 0) != child || status)
		die("%s: the sender has failed", f->name);
	printf("%-12s %6zu B %12.1f ns %8.2f frames %6.1f%% idle\n", f->name, len, took / count,
	       (double)frames / count, 100 * (1 - ran / took / (1 + two_cpus)));
}

/* True if it was measured, or there is a reason why it cannot be, which is printed. */
static bool measure_apart(const struct family *f, enum mode how, size_t len, int count)
{
	const char *why = unfit(f, how, len);
	int status;
	pid_t pid;

	if (why)
		printf("%-12s %6zu B            - # %s\n", f->name, len, why);
	fflush(stdout);
	if (why)
		return true;
	pid = fork();
	if (!pid) {
		/* A peer that died leaves us waiting for it. */
		alarm(240);
		measure(f, how, len, count);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	if (status)
		printf("%-12s %6zu B FAILED\n", f->name, len);
	return !status;
}

static bool wanted(const struct family *f, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(f->name, names[i]))
			return true;
	return count <= 0;
}

int main(int argc, char **argv)
{
	enum mode how = ROUND_TRIPS;
	int rounds, i, side, seen = 0;
	char command[64];
	bool good = true;
	size_t len;

	if (argc > 1 && !strcmp(argv[1], "-2")) {
		two_cpus = true;
		argv++;
		argc--;
	}
	for (i = 0; i < ARRAY_SIZE(modes) && argc > 1; i++) {
		if (strcmp(argv[1], modes[i].name))
			continue;
		how = i;
		argv++;
		argc--;
		break;
	}
	len = argc > 1 ? strtoul(argv[1], NULL, 0) : modes[how].len;
	rounds = argc > 2 ? atoi(argv[2]) : 2000;
	for (i = 0; i < nr_families; i++)
		seen += wanted(&families[i], argv + 3, argc - 3);
	if (!len || rounds < 1 || (argc > 3 && seen != argc - 3)) {
		fprintf(stderr, "usage: emtrtt [-2] [MODE] [BYTES [ROUNDS [FAMILY...]]]\n"
			"  -2     the two hosts on a CPU each\n"
			"  MODE   roundtrip, oneway, bulk, connects or peers (%d of them to one)\n"
			"  FAMILY", PEERS);
		for (i = 0; i < nr_families; i++)
			fprintf(stderr, "%s \"%s\"", i ? "," : "", families[i].name);
		fprintf(stderr, "\n");
		return 2;
	}
	hosts_enabled(hosts, 1500);
	for (side = 0; side < 2; side++) {
		netns_enter(hosts[side].netns);
		snprintf(command, sizeof(command), "ip addr add 10.0.0.%d/24 dev %s",
			 side + 1, EMT_DEV);
		if (system(command))
			die("%s failed", command);
	}
	for (i = 0; i < nr_families; i++)
		if (wanted(&families[i], argv + 3, argc - 3))
			good &= measure_apart(&families[i], how, len, rounds);
	return !good;
}
