// SPDX-License-Identifier: GPL-2.0
/* Readiness of connections: poll, select and epoll, by level and by edge. */
#include <sys/epoll.h>
#include <sys/select.h>

#include "emt_test.h"
#include "emt_conn.h"

FIXTURE(poll)
{
	struct conn c;
	int a, b;	/* both ends; a is host 1's */
	int epfd;
	char buf[100000];
};

FIXTURE_VARIANT(poll)
{
	int type;
};

FIXTURE_VARIANT_ADD(poll, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(poll, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(poll)
{
	REQUIRE_CONN(variant->type);
	conn_begin_connected(&self->c, variant->type);
	self->a = self->c.fd[1];
	self->b = self->c.fd[0];
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epfd);
}

FIXTURE_TEARDOWN(poll)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

static void watch(int epfd, int fd, unsigned int events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

/* The next event's bits; 0: there is none in @ms. */
static int event(int epfd, int ms)
{
	struct epoll_event ev;

	return epoll_wait(epfd, &ev, 1, ms) == 1 ? (int)ev.events : 0;
}

#define WAIT_MS	(EMT_WAIT_S * 1000)
#define ET	((int)EPOLLET)

TEST_F(poll, a_connection_is_writable)
{
	EXPECT_EQ(true, wait_ready_is(self->a, POLLOUT));
	EXPECT_EQ(true, wait_ready_is(self->b, POLLOUT));
	EXPECT_EQ(0, ready(self->c.listener));
}

TEST_F(poll, a_listener_is_readable_while_a_connection_waits)
{
	int fd[2], i;

	for (i = 0; i < 2; i++)
		fd[i] = conn_client(&self->c);
	EXPECT_EQ(POLLIN, wait_ready(self->c.listener, POLLIN | POLLOUT));
	ASSERT_LE(0, accept(self->c.listener, NULL, NULL));
	EXPECT_EQ(POLLIN, wait_ready(self->c.listener, POLLIN | POLLOUT));
	ASSERT_LE(0, accept(self->c.listener, NULL, NULL));
	EXPECT_EQ(0, ready(self->c.listener));
	close(fd[0]);
}

TEST_F(poll, each_connection_is_an_edge)
{
	watch(self->epfd, self->c.listener, EPOLLIN | EPOLLET);
	EXPECT_EQ(0, event(self->epfd, 0));
	conn_client(&self->c);
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	EXPECT_EQ(0, event(self->epfd, 50));
	conn_client(&self->c);
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	ASSERT_LE(0, accept(self->c.listener, NULL, NULL));
	ASSERT_LE(0, accept(self->c.listener, NULL, NULL));
	EXPECT_EQ(0, event(self->epfd, 0));
}

TEST_F(poll, a_poller_wakes_for_a_connection)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(wait_ready(self->c.listener, POLLIN) != POLLIN);
	wait_asleep(pid);
	conn_client(&self->c);
	EXPECT_EQ(0, ends(pid));
}

TEST_F(poll, readable_while_there_is_something_to_read)
{
	watch(self->epfd, self->b, EPOLLIN);
	EXPECT_EQ(0, event(self->epfd, 0));
	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	EXPECT_EQ(EPOLLIN, event(self->epfd, 0));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->b));
	ASSERT_EQ(2, recv(self->b, self->buf, 2, 0));
	EXPECT_EQ(0, event(self->epfd, 0));
	EXPECT_EQ(POLLOUT, ready(self->b));
}

TEST_F(poll, a_part_that_is_left_is_readable)
{
	NOT_FOR(AF_UNIX);
	watch(self->epfd, self->b, EPOLLIN);
	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	ASSERT_EQ(1, recv(self->b, self->buf, 1, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, 0));
	ASSERT_EQ(1, recv(self->b, self->buf, 1, 0));
	EXPECT_EQ(0, event(self->epfd, 0));
}

TEST_F(poll, each_arrival_is_an_edge)
{
	watch(self->epfd, self->b, EPOLLIN | EPOLLET);
	EXPECT_EQ(0, event(self->epfd, 0));
	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	EXPECT_EQ(0, event(self->epfd, 50));
	/* Though the first was not read. */
	ASSERT_EQ(1, send(self->a, "b", 1, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	EXPECT_EQ(0, event(self->epfd, 50));
	while (recv(self->b, self->buf, 1, MSG_DONTWAIT) == 1)
		;
	EXPECT_EQ(0, event(self->epfd, 0));
	ASSERT_EQ(1, send(self->a, "c", 1, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
}

TEST_F(poll, one_shot_is_one_event)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };

	watch(self->epfd, self->b, EPOLLIN | EPOLLONESHOT);
	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	ASSERT_EQ(1, send(self->a, "b", 1, 0));
	EXPECT_EQ(0, event(self->epfd, 50));
	ASSERT_EQ(0, epoll_ctl(self->epfd, EPOLL_CTL_MOD, self->b, &ev));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
}

TEST_F(poll, select_tells_the_same)
{
	struct timeval none = { 0 };
	fd_set in, out;

	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	ASSERT_EQ(POLLIN, wait_ready(self->b, POLLIN));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(self->a, &in);
	FD_SET(self->b, &in);
	FD_SET(self->a, &out);
	FD_SET(self->c.listener, &out);
	EXPECT_EQ(2, select(FD_SETSIZE, &in, &out, NULL, &none));
	EXPECT_NE(0, FD_ISSET(self->b, &in));
	EXPECT_NE(0, FD_ISSET(self->a, &out));
}

TEST_F(poll, a_full_socket_is_not_writable_until_there_is_room)
{
	long sent;

	watch(self->epfd, self->a, EPOLLOUT | EPOLLET);
	EXPECT_EQ(EPOLLOUT, event(self->epfd, WAIT_MS));
	sock_set(self->a, SO_SNDBUF, 30000);
	sock_set(self->b, SO_RCVBUF, 30000);
	sent = fill(self->a, 1000);
	while (event(self->epfd, 0))
		;
	EXPECT_EQ(0, ready(self->a) & POLLOUT);
	EXPECT_EQ(0, event(self->epfd, 50));
	while (sent > 0) {
		int n = recv(self->b, self->buf, sizeof(self->buf), 0);

		ASSERT_LT(0, n);
		sent -= n;
	}
	EXPECT_EQ(EPOLLOUT, event(self->epfd, WAIT_MS));
	EXPECT_EQ(POLLOUT, wait_ready(self->a, POLLOUT));
	EXPECT_EQ(100, send(self->a, self->buf, 100, MSG_DONTWAIT));
}

TEST_F(poll, the_end_of_one_direction_is_readable_and_no_hangup)
{
	watch(self->epfd, self->b, EPOLLIN | EPOLLRDHUP | EPOLLET);
	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP, event(self->epfd, WAIT_MS));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, ready(self->b));
	ASSERT_EQ(1, recv(self->b, self->buf, 1, 0));
	/* The end itself is readable. */
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, ready(self->b));
	EXPECT_EQ(0, event(self->epfd, 50));
	/* For who has ended it, the other direction is as it was. */
	EXPECT_EQ(0, ready(self->a) & (POLLIN | POLLRDHUP | POLLHUP | POLLERR));
}

TEST_F(poll, who_waits_for_the_end_only_is_told)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(wait_ready(self->b, POLLRDHUP) != POLLRDHUP);
	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	wait_asleep(pid);
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, ends(pid));
}

TEST_F(poll, who_has_shut_reading_is_at_the_end)
{
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLOUT, ready(self->b));
}

TEST_F(poll, both_directions_over_is_a_hangup)
{
	watch(self->epfd, self->a, EPOLLET);
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, event(self->epfd, 50));
	ASSERT_EQ(0, shutdown(self->b, SHUT_WR));
	/* Told to who asked for nothing. */
	EXPECT_EQ(EPOLLHUP, event(self->epfd, WAIT_MS));
	EXPECT_EQ(POLLHUP, wait_ready(self->b, 0));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP, ready(self->a) & ~POLLOUT);
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP, ready(self->b) & ~POLLOUT);
}

TEST_F(poll, shut_both_ways_is_a_hangup_for_oneself)
{
	ASSERT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(true, wait_ready(self->a, 0) == POLLHUP);
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP, ready(self->a) & ~POLLOUT);
	EXPECT_NE(0, wait_ready(self->b, POLLRDHUP) & POLLRDHUP);
}

TEST_F(poll, what_was_closed_has_ended_for_the_other)
{
	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	close(self->a);
	EXPECT_NE(0, wait_ready(self->b, POLLRDHUP) & POLLRDHUP);
	EXPECT_EQ(POLLIN | POLLRDHUP, ready(self->b) & (POLLIN | POLLRDHUP | POLLERR));
	EXPECT_EQ(1, recv(self->b, self->buf, 10, 0));
	EXPECT_EQ(0, recv(self->b, self->buf, 10, 0));
}

TEST_F(poll, a_reset_is_an_error_and_a_hangup)
{
	watch(self->epfd, self->a, EPOLLIN | EPOLLRDHUP | EPOLLET);
	ASSERT_EQ(1, send(self->a, "a", 1, 0));
	ASSERT_EQ(true, wait_inq(self->b, 1));
	close(self->b);
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP, event(self->epfd, WAIT_MS));
	EXPECT_EQ(0, event(self->epfd, 50));
	/* The error goes when it is told, the rest stays. */
	EXPECT_EQ(ECONNRESET, sock_get(self->a, SO_ERROR));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP, ready(self->a) & ~POLLOUT);
}

TEST_F(poll, a_connection_that_is_made_is_an_edge)
{
	int i, fd;

	NOT_FOR(AF_UNIX);
	for (i = 0; i < 3; i++) {
		union conn_addr to = conn_addr(&self->c.h[1], &self->c.h[0], CONN_PORT);

		fd = conn_socket(&self->c.h[1], variant->type);
		set_nonblock(fd, true);
		ASSERT_EQ(EINPROGRESS, conn_connect(fd, &to));
		watch(self->epfd, fd, EPOLLOUT | EPOLLIN | EPOLLET);
		EXPECT_EQ(EPOLLOUT, event(self->epfd, WAIT_MS));
		EXPECT_EQ(0, event(self->epfd, 20));
		EXPECT_EQ(0, sock_get(fd, SO_ERROR));
		ASSERT_LE(0, accept(self->c.listener, NULL, NULL));
	}
}

TEST_F(poll, a_connection_that_is_refused_is_an_error)
{
	union conn_addr to = conn_addr(&self->c.h[1], &self->c.h[0], CONN_PORT + 1);
	int fd = conn_socket(&self->c.h[1], variant->type);

	NOT_FOR(AF_UNIX);
	set_nonblock(fd, true);
	ASSERT_EQ(EINPROGRESS, conn_connect(fd, &to));
	watch(self->epfd, fd, EPOLLOUT | EPOLLET);
	EXPECT_EQ(EPOLLOUT | EPOLLERR | EPOLLHUP, event(self->epfd, WAIT_MS));
	EXPECT_EQ(ECONNREFUSED, sock_get(fd, SO_ERROR));
	EXPECT_EQ(0, ready(fd) & POLLERR);
}

TEST_F(poll, who_connects_is_neither_readable_nor_writable)
{
	int fd, i;

	NOT_FOR(AF_UNIX);
	ASSERT_EQ(0, listen(self->c.listener, 0));
	conn_client(&self->c);
	fd = conn_client_start(&self->c);
	watch(self->epfd, fd, EPOLLIN | EPOLLOUT | EPOLLET);
	EXPECT_EQ(0, event(self->epfd, 50));
	for (i = 0; i < 2; i++)
		ASSERT_LE(0, accept(self->c.listener, NULL, NULL));
	EXPECT_EQ(EPOLLOUT, event(self->epfd, WAIT_MS));
}

TEST_F(poll, readable_when_as_much_is_there_as_is_wanted)
{
	if (variant->type != SOCK_STREAM)
		SKIP(return, "a record is readable at once");
	NOT_FOR(AF_UNIX);
	sock_set(self->b, SO_RCVLOWAT, 1000);
	watch(self->epfd, self->b, EPOLLIN | EPOLLRDHUP | EPOLLET);
	ASSERT_EQ(400, send(self->a, self->buf, 400, 0));
	ASSERT_EQ(true, wait_inq(self->b, 400));
	EXPECT_EQ(0, ready(self->b) & POLLIN);
	EXPECT_EQ(0, event(self->epfd, 50));
	ASSERT_EQ(600, send(self->a, self->buf, 600, 0));
	EXPECT_EQ(EPOLLIN, event(self->epfd, WAIT_MS));
	ASSERT_EQ(1, recv(self->b, self->buf, 1, 0));
	EXPECT_EQ(0, ready(self->b) & POLLIN);
	/* Or as much as there will be. */
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP, event(self->epfd, WAIT_MS));
	EXPECT_EQ(999, recv(self->b, self->buf, sizeof(self->buf), 0));
}

TEST_F(poll, a_listener_that_was_shut_wakes_its_poller)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!(wait_ready(self->c.listener, POLLIN) & (POLLIN | POLLHUP)));
	wait_asleep(pid);
	ASSERT_EQ(0, shutdown(self->c.listener, SHUT_RDWR));
	EXPECT_EQ(0, ends(pid));
}

TEST_HARNESS_MAIN
