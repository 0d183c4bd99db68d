// SPDX-License-Identifier: GPL-2.0
/*
 * Many connections: ten thousand of them open at once, and a hundred at a time
 * over and over. CONN_MANY in the environment is how many; on a slow machine
 * all are open at once for one of the types only.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "emt_test.h"
#include "emt_conn.h"

#define MANY	10000
#define CLIENTS	8
#define AT_A_TIME	100
/* That part of them on a slow machine. */
#define SLOW_PART	5
#define MAX_MANY	25000
/* File descriptors for other things. */
#define SPARE		300

FIXTURE(many)
{
	struct conn c;
	int count;
};

FIXTURE_VARIANT(many)
{
	int type;
	bool always;	/* all at once on slow machines, too */
};

FIXTURE_VARIANT_ADD(many, stream) { .type = SOCK_STREAM, .always = true };
FIXTURE_VARIANT_ADD(many, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(many)
{
	struct rlimit limit = { MAX_MANY + SPARE, MAX_MANY + SPARE };
	const char *count = getenv("CONN_MANY");

	REQUIRE_CONN(variant->type);
	self->count = count ? atoi(count) : MANY;
	if (setrlimit(RLIMIT_NOFILE, &limit)) {
		ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
		limit.rlim_cur = limit.rlim_max;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	}
	if (self->count + SPARE > limit.rlim_cur) {
		self->count = limit.rlim_cur - SPARE;
		TH_LOG("RLIMIT_NOFILE allows for no more than %d connections", self->count);
	}
	conn_begin(&self->c, variant->type);
	use_all_cpus();
	self->c.listener = conn_listener(&self->c.h[0], variant->type, CONN_PORT, 256);
}

FIXTURE_TEARDOWN(many)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

/* What goes back for what a connection says: the two are told apart by it. */
static unsigned int answer_to(unsigned int question)
{
	return question * 2654435761u + 1;
}

/* Makes @count connections and uses each; then, when told to, uses them again and ends. */
static int client(struct conn *c, unsigned int first, unsigned int count, int go)
{
	int *fd = calloc(count, sizeof(*fd));
	unsigned int i, round, question, answer;
	char byte;

	for (i = 0; i < count; i++)
		fd[i] = conn_client(c);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < count; i++) {
			question = first + i + round;
			if (send(fd[i], &question, sizeof(question), 0) != sizeof(question))
				return 1;
		}
		for (i = 0; i < count; i++) {
			if (recv_all(fd[i], &answer, sizeof(answer)) != sizeof(answer))
				return 2;
			if (answer != answer_to(first + i + round))
				return 3;
		}
		/* All are open now, and stay so until all are. */
		if (!round && read(go, &byte, 1) != 0)
			return 4;
	}
	for (i = 0; i < count; i++) {
		if (i & 1)
			shutdown(fd[i], SHUT_WR);
		close(fd[i]);
	}
	free(fd);
	return 0;
}

/* Answers on @fd. False: it has ended; what is wrong ends the test. */
static bool serve(int fd)
{
	unsigned int question;
	long n = recv(fd, &question, sizeof(question), 0);

	if (!n)
		return false;
	if (n != sizeof(question))
		die("a question of %ld bytes", n);
	question = answer_to(question);
	if (send(fd, &question, sizeof(question), 0) != sizeof(question))
		die("an answer is not sent");
	return true;
}

/* Answers all, on any of the @left connections of @ep, until they have ended. */
static void serve_until_they_end(int ep, int left)
{
	struct epoll_event event[AT_A_TIME];
	int i, n;

	while (left > 0) {
		n = epoll_wait(ep, event, AT_A_TIME, EMT_WAIT_S * 1000);
		if (n <= 0)
			die("%d connections do not end", left);
		for (i = 0; i < n; i++) {
			if (serve(event[i].data.fd))
				continue;
			close(event[i].data.fd);
			left--;
		}
	}
}

TEST_F_TIMEOUT(many, all_at_once, 800)
{
	struct conn *c = &self->c;
	int all = variant->always ? self->count : as_many(self->count, SLOW_PART);
	int i, go[2], served = 0, each = all / CLIENTS, ep = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	int *fd = calloc(all, sizeof(*fd));
	double start = seconds(), opened;
	pid_t pid[CLIENTS];

	ASSERT_EQ(0, pipe(go));
	for (i = 0; i < CLIENTS; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			close(go[1]);
			close(c->listener);
			_exit(client(c, i * each, each, go[0]));
		}
	}
	for (i = 0; i < each * CLIENTS; i++) {
		fd[i] = accept(c->listener, NULL, NULL);
		ASSERT_LE(0, fd[i]) {
			TH_LOG("after %d connections: %s", i, strerror(errno));
		}
		event.data.fd = fd[i];
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &event));
	}
	opened = seconds();
	for (i = 0; i < each * CLIENTS; i++)
		served += serve(fd[i]);
	EXPECT_EQ(each * CLIENTS, served);
	close(go[1]);
	serve_until_they_end(ep, each * CLIENTS);
	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, ends(pid[i]));
	TH_LOG("%d connections: opened in %.2f s, used and closed in %.2f s", each * CLIENTS,
	       opened - start, seconds() - opened);
	close(ep);
	free(fd);
}

TEST_F_TIMEOUT(many, a_hundred_over_and_over, 800)
{
	struct conn *c = &self->c;
	int fd[AT_A_TIME][2], i, round, rounds = as_many(self->count, SLOW_PART) / AT_A_TIME;
	/* With the listener, of which a module has two references. */
	struct conn_left before = conn_left(c->h);
	unsigned int value;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < AT_A_TIME; i++) {
			conn_pair(c, fd[i]);
			value = round * AT_A_TIME + i;
			ASSERT_EQ(sizeof(value), send(fd[i][i & 1], &value, sizeof(value), 0));
		}
		for (i = 0; i < AT_A_TIME; i++) {
			ASSERT_EQ(sizeof(value), recv(fd[i][!(i & 1)], &value, sizeof(value), 0));
			ASSERT_EQ(round * AT_A_TIME + i, value);
			close(fd[i][round & 1]);
			if (i % 3)
				ASSERT_EQ(0, recv(fd[i][!(round & 1)], &value, 1, 0));
			close(fd[i][!(round & 1)]);
		}
	}
	/* What they took is free again. */
	EXPECT_EQ(true, conn_left_nothing(c->h, &before));
}

TEST_HARNESS_MAIN
