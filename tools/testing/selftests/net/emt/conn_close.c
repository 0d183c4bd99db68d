// SPDX-License-Identifier: GPL-2.0
/* How connections end: shutdown, close, reset, lingering, and the signal for who writes on. */
#include <signal.h>

#include "emt_test.h"
#include "emt_conn.h"

#define MUCH	300000

FIXTURE(close)
{
	struct conn c;
	int a, b;	/* both ends; a is host 1's */
	unsigned char *buf;	/* MUCH bytes */
};

FIXTURE_VARIANT(close)
{
	int type;
};

FIXTURE_VARIANT_ADD(close, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(close, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(close)
{
	REQUIRE_CONN(variant->type);
	conn_begin_connected(&self->c, variant->type);
	self->a = self->c.fd[1];
	self->b = self->c.fd[0];
	self->buf = malloc(MUCH);
}

FIXTURE_TEARDOWN(close)
{
	EXPECT_EQ(true, conn_end(&self->c));
	free(self->buf);
}

#define HANGUP	(POLLIN | POLLRDHUP | POLLHUP)

/* POSIX has it for records, too. */
#define REQUIRE_SIGPIPE()						\
	do {								\
		if (conn_family == AF_UNIX && variant->type != SOCK_STREAM) \
			SKIP(return, "AF_UNIX signals for streams only"); \
	} while (0)

static sig_atomic_t sigpipes;

static void on_sigpipe(int sig)
{
	(void)sig;
	sigpipes++;
}

TEST_F(close, shutdown_says_what_it_is_given)
{
	EXPECT_ERRNO(EINVAL, shutdown(self->a, 3));
	EXPECT_ERRNO(EINVAL, shutdown(self->a, -1));
	EXPECT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, shutdown(self->a, SHUT_RD));
}

TEST_F(close, the_end_comes_after_the_last_byte)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!pattern_send(self->a, MUCH, 1) || shutdown(self->a, SHUT_WR));
	EXPECT_EQ(true, pattern_recv(self->b, MUCH, 1));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, MSG_DONTWAIT));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, MSG_PEEK));
	EXPECT_EQ(0, ends(pid));
	/* The other direction goes on. */
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, ready(self->b));
	pid = fork();
	if (!pid)
		_exit(!pattern_send(self->b, MUCH, 2));
	EXPECT_EQ(true, pattern_recv(self->a, MUCH, 2));
	EXPECT_EQ(0, ends(pid));
	EXPECT_ERRNO(EAGAIN, recv(self->a, self->buf, 1, MSG_DONTWAIT));
}

TEST_F(close, who_has_shut_writing_writes_no_more)
{
	struct sigaction act = { .sa_handler = on_sigpipe };

	REQUIRE_SIGPIPE();
	sigaction(SIGPIPE, &act, NULL);
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigpipes);
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_DONTWAIT));
	EXPECT_EQ(2, sigpipes);
	EXPECT_ERRNO(EPIPE, write(self->a, "x", 1));
	EXPECT_EQ(3, sigpipes);
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(3, sigpipes);
	EXPECT_EQ(0, sock_get(self->a, SO_ERROR));
}

TEST_F(close, the_signal_ends_who_does_not_expect_it)
{
	int status;
	pid_t pid;

	REQUIRE_SIGPIPE();
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		signal(SIGPIPE, SIG_DFL);
		send(self->a, "x", 1, MSG_NOSIGNAL);
		send(self->a, "x", 1, 0);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(true, WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

TEST_F(close, who_has_shut_reading_reads_what_there_is)
{
	ASSERT_EQ(5, send(self->a, "early", 5, 0));
	ASSERT_EQ(true, wait_inq(self->b, 5));
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	/* AF_UNIX throws it away; TCP does not tell the other end. */
	NOT_FOR(AF_UNIX);
	EXPECT_EQ(5, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, MSG_DONTWAIT));
	EXPECT_EQ(2, send(self->b, "ok", 2, 0));
	EXPECT_EQ(2, recv(self->a, self->buf, MUCH, 0));
}

/* Sends until it fails, which it must at last, and not with anything else. */
static bool comes_to_epipe(int fd, bool reset_first)
{
	double end = seconds() + EMT_WAIT_S;

	while (seconds() < end) {
		if (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
			usleep(1000);
		else if (errno == ECONNRESET && reset_first)
			reset_first = false;
		else
			return errno == EPIPE;
	}
	fprintf(stderr, "# it does not come to EPIPE, but %s\n", strerror(errno));
	return false;
}

TEST_F(close, who_writes_to_one_that_has_shut_reading_is_told)
{
	struct sigaction act = { .sa_handler = on_sigpipe };

	NOT_FOR(AF_INET);
	REQUIRE_SIGPIPE();
	sigaction(SIGPIPE, &act, NULL);
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	EXPECT_EQ(true, comes_to_epipe(self->a, false));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigpipes);
	/* The other direction goes on, and its end is an ordinary one. */
	EXPECT_EQ(2, send(self->b, "ok", 2, 0));
	EXPECT_EQ(2, recv(self->a, self->buf, MUCH, 0));
	close(self->b);
	EXPECT_EQ(0, recv(self->a, self->buf, MUCH, 0));
}

TEST_F(close, who_waits_to_write_is_woken_when_the_other_end_has_shut_reading)
{
	struct call call;

	NOT_FOR(AF_INET);
	call_start(&call, do_send_much, self->a);
	EXPECT_EQ(true, call_waits(&call));
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	EXPECT_EQ(-EPIPE, call_end(&call));
}

TEST_F(close, shut_both_ways_is_over_for_both)
{
	ASSERT_EQ(5, send(self->a, "there", 5, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(0, recv(self->a, self->buf, MUCH, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(5, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
	NOT_FOR(AF_INET);
	EXPECT_EQ(true, comes_to_epipe(self->b, false));
}

TEST_F(close, shutdown_wakes_its_own_reader_and_writer)
{
	struct call call;

	set_timeout(self->b, SO_RCVTIMEO, 0);
	call_start(&call, do_recv, self->b);
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	EXPECT_EQ(0, call_end(&call));
	call_start(&call, do_send_much, self->b);
	ASSERT_EQ(0, shutdown(self->b, SHUT_WR));
	EXPECT_EQ(-EPIPE, call_end(&call));
}

TEST_F(close, what_was_sent_arrives_after_the_sender_is_closed)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!pattern_send(self->a, MUCH, 1));
	close(self->a);
	EXPECT_EQ(true, pattern_recv(self->b, MUCH, 1));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, ends(pid));
	EXPECT_EQ(true, comes_to_epipe(self->b, true));
}

TEST_F(close, close_does_not_wait)
{
	double start;
	long sent;

	/* More than the receiver has room for is under way. */
	sock_set(self->b, SO_RCVBUF, 30000);
	sent = fill(self->a, 1000);
	start = seconds();
	close(self->a);
	EXPECT_GE(2, seconds() - start);
	usleep(20000);
	while (sent > 0) {
		int n = recv(self->b, self->buf, MUCH, 0);

		ASSERT_LT(0, n) {
			TH_LOG("%ld bytes are missing", sent);
		}
		sent -= n;
	}
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
}

TEST_F(close, the_end_of_a_process_is_that_of_its_sockets)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->b);
		if (!pattern_send(self->a, 50000, 1))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(self->a);
	EXPECT_EQ(true, pattern_recv(self->b, 50000, 1));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
	waitpid(pid, NULL, 0);
}

TEST_F(close, the_end_wakes_who_waits_for_bytes)
{
	struct call call;

	set_timeout(self->b, SO_RCVTIMEO, 0);
	call_start(&call, do_recv, self->b);
	close(self->a);
	EXPECT_EQ(0, call_end(&call));
}

/* How @fd learns that it was reset: once, and then it is just over. */
#define EXPECT_RESET(fd_)						\
	do {								\
		int fd__ = (fd_);					\
									\
		EXPECT_EQ(POLLERR | POLLHUP, wait_ready(fd__, 0));	\
		EXPECT_EQ(HANGUP | POLLERR, ready(fd__) & ~POLLOUT);	\
		EXPECT_ERRNO(ECONNRESET, recv(fd__, self->buf, MUCH, 0)); \
		EXPECT_EQ(0, recv(fd__, self->buf, MUCH, 0));		\
		EXPECT_ERRNO(EPIPE, send(fd__, "x", 1, MSG_NOSIGNAL));	\
		EXPECT_EQ(0, sock_get(fd__, SO_ERROR));			\
		EXPECT_EQ(HANGUP, ready(fd__) & ~POLLOUT);		\
	} while (0)

TEST_F(close, bytes_that_nobody_read_are_a_reset)
{
	ASSERT_EQ(5, send(self->a, "lost!", 5, 0));
	ASSERT_EQ(true, wait_inq(self->b, 5));
	close(self->b);
	EXPECT_RESET(self->a);
}

TEST_F(close, bytes_that_come_too_late_are_a_reset_or_not_wanted)
{
	int n;

	sock_set(self->a, SO_SNDBUF, 100000);
	fill(self->a, 1000);
	/* Some of it is with a, still. */
	close(self->b);
	EXPECT_NE(0, wait_ready(self->a, 0) & POLLERR);
	n = sock_get(self->a, SO_ERROR);
	EXPECT_EQ(ECONNRESET, n);
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
}

TEST_F(close, a_reset_is_told_by_so_error)
{
	ASSERT_EQ(5, send(self->a, "lost!", 5, 0));
	ASSERT_EQ(true, wait_inq(self->b, 5));
	close(self->b);
	EXPECT_NE(0, wait_ready(self->a, 0) & POLLERR);
	EXPECT_EQ(ECONNRESET, sock_get(self->a, SO_ERROR));
	EXPECT_EQ(0, sock_get(self->a, SO_ERROR));
	EXPECT_EQ(0, recv(self->a, self->buf, MUCH, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
}

TEST_F(close, a_reset_is_told_by_send)
{
	struct sigaction act = { .sa_handler = on_sigpipe };

	NOT_FOR(AF_UNIX);
	sigaction(SIGPIPE, &act, NULL);
	ASSERT_EQ(5, send(self->a, "lost!", 5, 0));
	ASSERT_EQ(true, wait_inq(self->b, 5));
	close(self->b);
	EXPECT_NE(0, wait_ready(self->a, 0) & POLLERR);
	EXPECT_ERRNO(ECONNRESET, send(self->a, "x", 1, 0));
	EXPECT_EQ(0, sigpipes);
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigpipes);
	EXPECT_EQ(0, recv(self->a, self->buf, MUCH, 0));
}

TEST_F(close, a_linger_of_no_time_is_a_reset)
{
	NOT_FOR(AF_UNIX);
	set_linger(self->b, 1, 0);
	close(self->b);
	EXPECT_RESET(self->a);
}

TEST_F(close, a_reset_wakes_who_waits)
{
	struct call call;
	int fd[2];

	NOT_FOR(AF_UNIX);
	set_timeout(self->a, SO_RCVTIMEO, 0);
	set_linger(self->b, 1, 0);
	call_start(&call, do_recv, self->a);
	close(self->b);
	EXPECT_EQ(-ECONNRESET, call_end(&call));
	conn_pair(&self->c, fd);
	call_start(&call, do_send_much, fd[1]);
	close(fd[0]);
	EXPECT_EQ(-ECONNRESET, call_end(&call));
}

TEST_F(close, who_lingers_waits_as_long_as_it_may)
{
	double start;

	NOT_FOR(AF_UNIX);
	sock_set(self->b, SO_RCVBUF, 30000);
	fill(self->a, 1000);
	set_linger(self->a, 1, 1);
	start = seconds();
	close(self->a);
	start = seconds() - start;
	EXPECT_EQ(true, start > 0.9 && start < EMT_WAIT_S) {
		TH_LOG("it took %.2f s", start);
	}
}

static long do_close(int fd)
{
	return close(fd);
}

TEST_F(close, who_lingers_waits_until_the_other_end_has_all)
{
	double start = seconds();
	struct call call;
	long sent;
	int n;

	NOT_FOR(AF_UNIX);
	sock_set(self->b, SO_RCVBUF, 30000);
	sent = fill(self->a, 1000);
	set_linger(self->a, 1, 10 * EMT_WAIT_S);
	call_start(&call, do_close, self->a);
	EXPECT_EQ(true, call_waits(&call));
	/* Not that it is read, only that its socket has it. */
	while (sent > 10000) {
		n = recv(self->b, self->buf, MUCH, 0);
		ASSERT_LT(0, n);
		sent -= n;
	}
	EXPECT_EQ(0, call_end(&call));
	EXPECT_GE(5 * EMT_WAIT_S, seconds() - start);
	while (sent > 0) {
		n = recv(self->b, self->buf, MUCH, 0);
		ASSERT_LT(0, n);
		sent -= n;
	}
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
}

TEST_F(close, who_lingers_for_nothing_does_not_wait)
{
	double start;

	ASSERT_EQ(5, send(self->a, "there", 5, 0));
	if (conn_family != AF_UNIX)
		ASSERT_EQ(true, wait_sent(self->a));
	set_linger(self->a, 1, EMT_WAIT_S);
	start = seconds();
	close(self->a);
	/* Unread as it is. */
	EXPECT_GE(EMT_WAIT_S / 2, seconds() - start);
	EXPECT_EQ(5, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
}

TEST_F(close, both_close_at_once)
{
	int i, fd[2];

	for (i = 0; i < 30; i++) {
		conn_pair(&self->c, fd);
		ASSERT_EQ(1, send(fd[i & 1], "x", 1, 0));
		ASSERT_EQ(1, recv(fd[!(i & 1)], self->buf, 1, 0));
		if (i % 3)
			shutdown(fd[0], SHUT_WR);
		close(fd[i & 1]);
		close(fd[!(i & 1)]);
	}
}

TEST_F(close, an_end_may_stay_half_open)
{
	/* A is only written to, for long after it has said its last. */
	ASSERT_EQ(7, send(self->a, "request", 7, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(7, recv(self->b, self->buf, MUCH, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, MUCH, 0));
	usleep(100000);
	EXPECT_EQ(6, send(self->b, "answer", 6, 0));
	EXPECT_EQ(6, recv(self->a, self->buf, MUCH, 0));
	close(self->b);
	EXPECT_EQ(0, recv(self->a, self->buf, MUCH, 0));
	EXPECT_EQ(0, sock_get(self->a, SO_ERROR));
}

TEST_F(close, who_was_connected_does_not_connect_again)
{
	union conn_addr to = conn_addr(&self->c.h[1], &self->c.h[0], CONN_PORT);

	EMT_ONLY();
	ASSERT_EQ(0, shutdown(self->a, SHUT_RDWR));
	close(self->b);
	EXPECT_EQ(EISCONN, conn_connect(self->a, &to));
	/* And still knows its peer's name. */
	EXPECT_ERRNO(EINVAL, listen(self->a, 1));
}

TEST_HARNESS_MAIN
