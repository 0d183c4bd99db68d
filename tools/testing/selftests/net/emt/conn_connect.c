// SPDX-License-Identifier: GPL-2.0
/* Connections: connect(), and all that can come of it. */
#include <signal.h>

#include "emt_test.h"
#include "emt_conn.h"

FIXTURE(connect)
{
	struct conn c;
	union conn_addr to;	/* the listener, for host 1 */
};

FIXTURE_VARIANT(connect)
{
	int type, other_type;
};

FIXTURE_VARIANT_ADD(connect, stream)
{
	.type = SOCK_STREAM, .other_type = SOCK_SEQPACKET
};

FIXTURE_VARIANT_ADD(connect, seqpacket)
{
	.type = SOCK_SEQPACKET, .other_type = SOCK_STREAM
};

FIXTURE_SETUP(connect)
{
	REQUIRE_CONN(variant->type);
	conn_begin(&self->c, variant->type);
	self->to = conn_addr(&self->c.h[1], &self->c.h[0], CONN_PORT);
}

FIXTURE_TEARDOWN(connect)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

static void listen_on(struct conn *c, int backlog)
{
	c->listener = conn_listener(&c->h[0], c->type, CONN_PORT, backlog);
}

/* A listener that has no room for more. */
static void listen_full(struct conn *c)
{
	listen_on(c, 0);
	conn_client(c);
	usleep(1000);
}

/* True if bytes go both ways. */
static bool talks(int fd, int peer)
{
	char buf[8];

	return send(fd, "one", 3, 0) == 3 && recv(peer, buf, sizeof(buf), 0) == 3 &&
	       send(peer, "four", 4, 0) == 4 && recv(fd, buf, sizeof(buf), 0) == 4;
}

TEST_F(connect, connects_and_talks)
{
	struct conn *c = &self->c;
	int fd, peer;

	listen_on(c, 1);
	fd = conn_socket(&c->h[1], variant->type);
	ASSERT_EQ(0, conn_connect(fd, &self->to));
	peer = accept(c->listener, NULL, NULL);
	ASSERT_LE(0, peer);
	EXPECT_EQ(true, talks(fd, peer));
	EXPECT_EQ(EISCONN, conn_connect(fd, &self->to));
	EXPECT_EQ(EISCONN, conn_connect(fd, &self->to));
	EXPECT_EQ(true, talks(fd, peer));
}

TEST_F(connect, nobody_listens)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type), i;

	for (i = 0; i < 3; i++)
		EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &self->to));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	/* The same socket may try again. */
	listen_on(c, 1);
	ASSERT_EQ(0, conn_connect(fd, &self->to));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, who_is_bound_does_not_listen_yet)
{
	union conn_addr own = conn_addr(&self->c.h[0], &self->c.h[0], CONN_PORT);
	int fd = conn_socket(&self->c.h[1], variant->type);
	int bound = conn_socket(&self->c.h[0], variant->type);

	ASSERT_EQ(0, bind(bound, &own.sa, CONN_ALEN));
	EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &self->to));
	ASSERT_EQ(0, listen(bound, 1));
	EXPECT_EQ(0, conn_connect(fd, &self->to));
}

TEST_F(connect, who_does_not_wait_is_told_by_poll)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);

	NOT_FOR(AF_UNIX);
	listen_on(c, 1);
	set_nonblock(fd, true);
	ASSERT_EQ(EINPROGRESS, conn_connect(fd, &self->to));
	EXPECT_EQ(POLLOUT, wait_ready(fd, POLLOUT));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	set_nonblock(fd, false);
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
	/* One call says that it has worked, as of TCP. */
	EXPECT_EQ(0, conn_connect(fd, &self->to));
	EXPECT_EQ(EISCONN, conn_connect(fd, &self->to));
}

TEST_F(connect, who_does_not_wait_may_ask_again)
{
	struct conn *c = &self->c;
	double end = seconds() + EMT_WAIT_S;
	int fd, i, err;

	NOT_FOR(AF_UNIX);
	listen_full(c);
	fd = conn_client_start(c);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(EALREADY, conn_connect(fd, &self->to));
	EXPECT_EQ(0, ready(fd));
	ASSERT_LE(0, accept(c->listener, NULL, NULL));
	do {
		usleep(1000);
		err = conn_connect(fd, &self->to);
	} while (err == EALREADY && seconds() < end);
	EXPECT_EQ(0, err);
	EXPECT_EQ(EISCONN, conn_connect(fd, &self->to));
	set_nonblock(fd, false);
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, who_does_not_wait_is_told_of_a_refusal_once)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);

	NOT_FOR(AF_UNIX);
	set_nonblock(fd, true);
	ASSERT_EQ(EINPROGRESS, conn_connect(fd, &self->to));
	EXPECT_NE(0, wait_ready(fd, POLLOUT) & POLLERR);
	EXPECT_EQ(ECONNREFUSED, sock_get(fd, SO_ERROR));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	listen_on(c, 1);
	set_nonblock(fd, false);
	/* TCP tells that it failed once more. */
	if (conn_family == AF_INET)
		conn_connect(fd, &self->to);
	EXPECT_EQ(0, conn_connect(fd, &self->to));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, connect_itself_tells_of_a_refusal_as_well)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);

	NOT_FOR(AF_UNIX);
	set_nonblock(fd, true);
	ASSERT_EQ(EINPROGRESS, conn_connect(fd, &self->to));
	EXPECT_NE(0, wait_ready(fd, POLLOUT) & POLLERR);
	EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &self->to));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	listen_on(c, 1);
	set_nonblock(fd, false);
	EXPECT_EQ(0, conn_connect(fd, &self->to));
}

TEST_F(connect, waiting_has_its_time)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);
	double start;

	NOT_FOR(AF_UNIX);
	listen_full(c);
	set_timeout(fd, SO_SNDTIMEO, 100);
	start = seconds();
	EXPECT_EQ(EINPROGRESS, conn_connect(fd, &self->to));
	EXPECT_LE(0.08, seconds() - start);
	start = seconds();
	EXPECT_EQ(EALREADY, conn_connect(fd, &self->to));
	EXPECT_LE(0.08, seconds() - start);
	/* The attempt goes on. */
	ASSERT_LE(0, accept(c->listener, NULL, NULL));
	EXPECT_EQ(POLLOUT, wait_ready(fd, POLLOUT));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

static union conn_addr to_addr;

static long do_connect(int fd)
{
	errno = conn_connect(fd, &to_addr);
	return errno ? -1 : 0;
}

static void nothing(int sig)
{
	(void)sig;
}

TEST_F(connect, a_signal_interrupts_the_call_but_not_the_attempt)
{
	struct sigaction act = { .sa_handler = nothing };
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);
	struct call call;

	NOT_FOR(AF_UNIX);
	sigaction(SIGUSR1, &act, NULL);
	listen_full(c);
	to_addr = self->to;
	call_start(&call, do_connect, fd);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(-EINTR, call_end(&call));
	set_nonblock(fd, true);
	EXPECT_EQ(EALREADY, conn_connect(fd, &self->to));
	set_nonblock(fd, false);
	ASSERT_LE(0, accept(c->listener, NULL, NULL));
	EXPECT_EQ(POLLOUT, wait_ready(fd, POLLOUT));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, a_call_that_is_restarted_waits_on)
{
	struct sigaction act = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);
	struct call call;

	NOT_FOR(AF_UNIX);
	sigaction(SIGUSR1, &act, NULL);
	listen_full(c);
	to_addr = self->to;
	call_start(&call, do_connect, fd);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(true, call_waits(&call));
	ASSERT_LE(0, accept(c->listener, NULL, NULL));
	EXPECT_EQ(0, call_end(&call));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, a_blocked_call_is_let_in_when_there_is_room)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);
	struct call call;

	listen_full(c);
	to_addr = self->to;
	call_start(&call, do_connect, fd);
	EXPECT_EQ(true, call_waits(&call));
	ASSERT_LE(0, accept(c->listener, NULL, NULL));
	EXPECT_EQ(0, call_end(&call));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, who_waits_for_room_is_refused_when_the_listener_goes)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[1], variant->type);
	struct call call;

	listen_full(c);
	to_addr = self->to;
	call_start(&call, do_connect, fd);
	close(c->listener);
	EXPECT_EQ(-ECONNREFUSED, call_end(&call));
}

TEST_F(connect, who_gives_up_is_not_taken_for_a_connection)
{
	struct conn *c = &self->c;
	int i, fd, peer;

	NOT_FOR(AF_UNIX);
	listen_on(c, 0);
	fd = conn_client(c);
	for (i = 0; i < 5; i++)
		close(conn_client_start(c));
	peer = accept(c->listener, NULL, NULL);
	ASSERT_LE(0, peer);
	EXPECT_EQ(true, talks(fd, peer));
	/* What still comes of the others, if anything does, is over at once. */
	set_timeout(c->listener, SO_RCVTIMEO, 200);
	while ((peer = accept(c->listener, NULL, NULL)) >= 0) {
		EXPECT_GE(0, recv(peer, &i, sizeof(i), 0));
		close(peer);
	}
	set_timeout(c->listener, SO_RCVTIMEO, EMT_WAIT_S * 1000);
	conn_pair(c, c->fd);
	EXPECT_EQ(true, talks(c->fd[1], c->fd[0]));
}

#define TIMEOUT_MS	600

TEST_F(connect, nobody_is_there)
{
	struct sockaddr_emt to = self->to.emt;
	struct conn *c = &self->c;
	int fd, i;
	double start;

	EMT_ONLY();
	to.semt_addr[5] ^= 0x55;
	fd = conn_socket(&c->h[1], variant->type);
	set_user_timeout(fd, TIMEOUT_MS);
	for (i = 0; i < 2; i++) {
		start = seconds();
		EXPECT_EQ(EHOSTUNREACH, emt_connect(fd, &to));
		EXPECT_LE(TIMEOUT_MS / 1000. * 0.7, seconds() - start);
		EXPECT_GE(TIMEOUT_MS / 1000. * 3 + 5, seconds() - start);
	}
	set_nonblock(fd, true);
	ASSERT_EQ(EINPROGRESS, emt_connect(fd, &to));
	EXPECT_NE(0, wait_ready(fd, POLLOUT) & POLLERR);
	EXPECT_EQ(EHOSTUNREACH, sock_get(fd, SO_ERROR));
	set_nonblock(fd, false);
	listen_on(c, 1);
	EXPECT_EQ(0, conn_connect(fd, &self->to));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
}

TEST_F(connect, nobody_speaks_emt_there)
{
	struct conn *c = &self->c;
	int fd;

	EMT_ONLY();
	ASSERT_EQ(0, emt_disable(c->h[0].ctl, c->h[0].ifindex));
	fd = conn_socket(&c->h[1], variant->type);
	set_user_timeout(fd, TIMEOUT_MS);
	EXPECT_EQ(EHOSTUNREACH, conn_connect(fd, &self->to));
}

TEST_F(connect, addresses_are_checked)
{
	struct conn *c = &self->c;
	struct sockaddr_emt to;
	int fd, i;

	EMT_ONLY();
	fd = conn_socket(&c->h[1], variant->type);
	to = self->to.emt;
	EXPECT_ERRNO(EINVAL, connect(fd, (void *)&to, sizeof(to) - 1));
	to.semt_family = AF_INET;
	EXPECT_EQ(EAFNOSUPPORT, emt_connect(fd, &to));
	to.semt_family = AF_UNSPEC;
	EXPECT_EQ(EOPNOTSUPP, emt_connect(fd, &to));
	EXPECT_ERRNO(EOPNOTSUPP, connect(fd, (void *)&to, sizeof(to.semt_family)));
	to = self->to.emt;
	to.semt_port = 0;
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	to = self->to.emt;
	to.semt_halen = 0;
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	for (i = 0; i < 3; i++) {
		to = self->to.emt;
		to.semt_reserved[i] = 1;
		EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	}
	to = self->to.emt;
	to.semt_addr[6] = 1;
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	to = self->to.emt;
	to.semt_ifindex = 9999;
	EXPECT_EQ(ENODEV, emt_connect(fd, &to));
	to.semt_ifindex = -1;
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	to = self->to.emt;
	to.semt_addr[0] |= 1;
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	memset(to.semt_addr, 0xff, ETH_ALEN);
	EXPECT_EQ(EOPNOTSUPP, emt_connect(fd, &to));
	sock_set(fd, SO_BROADCAST, 1);
	EXPECT_EQ(EOPNOTSUPP, emt_connect(fd, &to));
	/* None of that is the end of the socket. */
	listen_on(c, 1);
	EXPECT_EQ(0, conn_connect(fd, &self->to));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
	to.semt_family = AF_UNSPEC;
	EXPECT_EQ(EOPNOTSUPP, emt_connect(fd, &to));
}

TEST_F(connect, the_interface_need_not_be_named)
{
	struct conn *c = &self->c;
	struct sockaddr_emt to = self->to.emt, name;
	socklen_t len = sizeof(name);
	int fd;

	EMT_ONLY();
	listen_on(c, 1);
	fd = conn_socket(&c->h[1], variant->type);
	to.semt_ifindex = 0;
	ASSERT_EQ(0, emt_connect(fd, &to));
	EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
	ASSERT_EQ(0, getpeername(fd, (void *)&name, &len));
	EXPECT_EQ(c->h[1].ifindex, name.semt_ifindex);
	ASSERT_EQ(0, emt_disable(c->h[1].ctl, c->h[1].ifindex));
	fd = conn_socket(&c->h[1], variant->type);
	EXPECT_EQ(ENODEV, emt_connect(fd, &to));
}

TEST_F(connect, the_other_type_is_refused)
{
	struct conn *c = &self->c;
	int fd;

	EMT_ONLY();
	listen_on(c, 1);
	fd = conn_socket(&c->h[1], variant->other_type);
	EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &self->to));
	/* Each type has its listener at the same port. */
	conn_listener(&c->h[0], variant->other_type, CONN_PORT, 1);
	EXPECT_EQ(0, conn_connect(fd, &self->to));
	conn_pair(c, c->fd);
	EXPECT_EQ(true, talks(c->fd[1], c->fd[0]));
}

TEST_F(connect, a_host_connects_to_itself)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[0], &c->h[0], CONN_PORT);
	int fd = conn_socket(&c->h[0], variant->type), peer;

	listen_on(c, 1);
	ASSERT_EQ(0, conn_connect(fd, &to));
	peer = accept(c->listener, NULL, NULL);
	EXPECT_EQ(true, talks(fd, peer));
	close(fd);
	EXPECT_EQ(0, recv(peer, &to, sizeof(to), 0));
	if (conn_family == AF_EMT) {
		to.emt = emt_addr(1, emt_zero, CONN_PORT);
		fd = conn_socket(&c->h[0], variant->type);
		ASSERT_EQ(0, conn_connect(fd, &to));
		EXPECT_EQ(true, talks(fd, accept(c->listener, NULL, NULL)));
	}
	close(c->listener);
	EXPECT_EQ(ECONNREFUSED, conn_connect(conn_socket(&c->h[0], variant->type), &to));
}

TEST_F(connect, both_hosts_connect_to_each_other)
{
	struct conn *c = &self->c;
	int listener = conn_listener(&c->h[1], variant->type, CONN_PORT, 5);
	union conn_addr back = conn_addr(&c->h[0], &c->h[1], CONN_PORT);
	int fd[2], i;

	listen_on(c, 5);
	for (i = 0; i < 5; i++) {
		fd[0] = conn_socket(&c->h[0], variant->type);
		fd[1] = conn_client(c);
		ASSERT_EQ(0, conn_connect(fd[0], &back));
		EXPECT_EQ(true, talks(fd[1], accept(c->listener, NULL, NULL)));
		EXPECT_EQ(true, talks(fd[0], accept(listener, NULL, NULL)));
	}
}

TEST_F(connect, a_bound_socket_keeps_its_port)
{
	struct conn *c = &self->c;
	struct sockaddr_emt own = emt_addr(0, NULL, 7777), from;
	socklen_t len = sizeof(from);
	int fd, i;

	EMT_ONLY();
	listen_on(c, 1);
	for (i = 0; i < 3; i++) {
		fd = conn_socket(&c->h[1], variant->type);
		ASSERT_EQ(0, emt_bind(fd, &own));
		ASSERT_EQ(0, conn_connect(fd, &self->to));
		EXPECT_EQ(7777, emt_port(fd));
		c->fd[0] = accept(c->listener, (void *)&from, &len);
		EXPECT_EQ(true, talks(fd, c->fd[0]));
		EXPECT_EQ(htons(7777), from.semt_port);
		/* As soon as it is all over, another may have it. */
		close(c->fd[0]);
		EXPECT_EQ(0, recv(fd, &from, 1, 0));
		close(fd);
	}
}

TEST_F(connect, a_socket_is_not_its_own_peer)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[1], &c->h[1], 7777);
	int fd;

	EMT_ONLY();
	fd = emt_bound_of(&c->h[1], variant->type, 0, 7777);
	EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &to));
}

TEST_F(connect, who_never_connected_neither_sends_nor_receives)
{
	int fd = conn_socket(&self->c.h[1], variant->type);
	char buf[8];

	NOT_FOR(AF_UNIX);
	EXPECT_ERRNO(ENOTCONN, recv(fd, buf, sizeof(buf), 0));
	EXPECT_ERRNO(ENOTCONN, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_ERRNO(ENOTCONN, shutdown(fd, SHUT_RDWR));
	EMT_ONLY();
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, 0));
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_DONTWAIT));
	EXPECT_ERRNO(ENOTCONN, sendto(fd, "x", 1, 0, &self->to.sa, CONN_ALEN));
	/* A refusal does not change that. */
	EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &self->to));
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, 0));
	EXPECT_ERRNO(ENOTCONN, recv(fd, buf, sizeof(buf), 0));
}

TEST_HARNESS_MAIN
