// SPDX-License-Identifier: GPL-2.0
/* Connections: listening, accepting, and what the sockets are called. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>

#include <linux/capability.h>

#include "emt_test.h"
#include "emt_conn.h"

FIXTURE(setup)
{
	struct conn c;
};

FIXTURE_VARIANT(setup)
{
	int type;
};

FIXTURE_VARIANT_ADD(setup, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(setup, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(setup)
{
	REQUIRE_CONN(variant->type);
	conn_begin(&self->c, variant->type);
}

FIXTURE_TEARDOWN(setup)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

/* Binds to any interface. 0, or the errno. */
static int bind_port(int fd, const struct host *h, int port)
{
	union conn_addr addr = conn_addr(h, h, port);

	if (conn_family == AF_EMT)
		addr.emt = emt_addr(0, NULL, port);
	return bind(fd, &addr.sa, CONN_ALEN) ? errno : 0;
}

TEST_F(setup, socket_is_what_was_asked_for)
{
	int fd = conn_socket(&self->c.h[0], variant->type), pair[2];

	EXPECT_EQ(CONN_FAMILY, sock_get(fd, SO_DOMAIN));
	EXPECT_EQ(variant->type, sock_get(fd, SO_TYPE));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	EXPECT_EQ(0, sock_get(fd, SO_ACCEPTCONN));
	EMT_ONLY();
	EXPECT_EQ(0, sock_get(fd, SO_PROTOCOL));
	EXPECT_ERRNO(EPROTONOSUPPORT, socket(AF_EMT, variant->type, 1));
	EXPECT_ERRNO(EOPNOTSUPP, socketpair(AF_EMT, variant->type, 0, pair));
}

TEST_F(setup, bind_fails_as_for_the_other_types)
{
	const struct host *h = &self->c.h[0];
	struct sockaddr_emt addr;
	int fd, other;

	EMT_ONLY();
	fd = conn_socket(h, variant->type);
	other = conn_socket(h, variant->type);
	EXPECT_ERRNO(EINVAL, bind(fd, (void *)&addr, sizeof(addr) - 1));
	addr = emt_addr(0, NULL, CONN_PORT);
	addr.semt_family = AF_INET;
	EXPECT_EQ(EAFNOSUPPORT, emt_bind(fd, &addr));
	addr = emt_addr(0, NULL, CONN_PORT);
	addr.semt_reserved[2] = 1;
	EXPECT_EQ(EINVAL, emt_bind(fd, &addr));
	addr = emt_addr(9999, NULL, CONN_PORT);
	EXPECT_EQ(ENODEV, emt_bind(fd, &addr));
	addr = emt_addr(h->ifindex, self->c.h[1].mac, CONN_PORT);
	EXPECT_EQ(EADDRNOTAVAIL, emt_bind(fd, &addr));
	addr = emt_addr(h->ifindex, h->mac, CONN_PORT);
	EXPECT_EQ(0, emt_bind(fd, &addr));
	EXPECT_EQ(EADDRINUSE, emt_bind(other, &addr));
	addr = emt_addr(0, NULL, CONN_PORT);
	EXPECT_EQ(EADDRINUSE, emt_bind(other, &addr));
	addr = emt_addr(0, NULL, CONN_PORT + 1);
	EXPECT_EQ(EINVAL, emt_bind(fd, &addr));
	EXPECT_EQ(0, emt_bind(other, &addr));
	fd = conn_socket(h, variant->type);
	cap_drop(CAP_NET_BIND_SERVICE);
	addr = emt_addr(0, NULL, EMT_PORT_RESERVED - 1);
	EXPECT_EQ(EACCES, emt_bind(fd, &addr));
	addr = emt_addr(0, NULL, EMT_PORT_RESERVED);
	EXPECT_EQ(0, emt_bind(fd, &addr));
}

TEST_F(setup, each_type_has_ports_of_its_own)
{
	static const int types[] = { SOCK_DGRAM, SOCK_RDM, SOCK_STREAM, SOCK_SEQPACKET };
	int i;

	EMT_ONLY();
	for (i = 0; i < ARRAY_SIZE(types); i++)
		emt_bound_of(&self->c.h[0], types[i], 0, CONN_PORT);
}

TEST_F(setup, a_port_is_exclusive_while_it_is_listened_at)
{
	int fd;

	conn_listener(&self->c.h[0], variant->type, CONN_PORT, 1);
	fd = conn_socket(&self->c.h[0], variant->type);
	EXPECT_EQ(EADDRINUSE, bind_port(fd, &self->c.h[0], CONN_PORT));
	EXPECT_EQ(0, bind_port(fd, &self->c.h[0], CONN_PORT + 1));
	EXPECT_EQ(0, listen(fd, 1));
}

TEST_F(setup, a_listeners_port_is_free_when_it_is_closed)
{
	struct conn *c = &self->c;
	int i, old[2], new[2];
	char buf[8];

	for (i = 0; i < 3; i++) {
		c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
		conn_pair(c, new);
		/* What it has accepted lives on beside the one that follows it. */
		if (i) {
			ASSERT_EQ(3, send(old[1], "old", 3, 0));
			ASSERT_EQ(3, recv(old[0], buf, sizeof(buf), 0));
			ASSERT_EQ(4, send(old[0], "back", 4, 0));
			ASSERT_EQ(4, recv(old[1], buf, sizeof(buf), 0));
		}
		memcpy(old, new, sizeof(old));
		close(c->listener);
	}
}

TEST_F(setup, nobody_is_taken_after_a_listener_is_closed)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);
	int fd[2];

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
	conn_pair(c, fd);
	close(c->listener);
	EXPECT_EQ(ECONNREFUSED, conn_connect(conn_socket(&c->h[1], variant->type), &to));
	EXPECT_EQ(1, send(fd[0], "x", 1, 0));
}

TEST_F(setup, listen_binds_a_socket_that_is_not_bound)
{
	struct conn *c = &self->c;
	union conn_addr addr;
	socklen_t len = sizeof(addr);
	int fd = conn_socket(&c->h[0], variant->type);

	NOT_FOR(AF_UNIX);
	ASSERT_EQ(0, listen(fd, 1));
	ASSERT_EQ(0, getsockname(fd, &addr.sa, &len));
	if (conn_family == AF_EMT) {
		EXPECT_LE(32768, ntohs(addr.emt.semt_port));
		EXPECT_GE(60999, ntohs(addr.emt.semt_port));
	}
	addr = conn_addr(&c->h[1], &c->h[0], ntohs(addr.in.sin_port));
	EXPECT_EQ(0, conn_connect(conn_socket(&c->h[1], variant->type), &addr));
	EXPECT_LE(0, accept(fd, NULL, NULL));
}

TEST_F(setup, listening_shows)
{
	int fd = conn_listener(&self->c.h[0], variant->type, CONN_PORT, 1);

	EXPECT_EQ(1, sock_get(fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, listen(fd, 5));
	EXPECT_EQ(1, sock_get(fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, ready(fd));
}

TEST_F(setup, a_listener_neither_sends_nor_receives_nor_connects)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[0], &c->h[1], CONN_PORT);
	int fd = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
	union conn_addr addr;
	socklen_t len = sizeof(addr);
	char buf[8];

	NOT_FOR(AF_UNIX);
	EXPECT_ERRNO(ENOTCONN, recv(fd, buf, sizeof(buf), 0));
	EXPECT_ERRNO(ENOTCONN, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_ERRNO(ENOTCONN, getpeername(fd, &addr.sa, &len));
	EMT_ONLY();
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, 0));
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_DONTWAIT));
	EXPECT_EQ(EOPNOTSUPP, conn_connect(fd, &to));
	EXPECT_EQ(1, sock_get(fd, SO_ACCEPTCONN));
}

TEST_F(setup, who_connects_or_is_connected_does_not_listen)
{
	struct conn *c = &self->c;
	int fd[2], last;

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 0);
	conn_pair(c, fd);
	EXPECT_ERRNO(EINVAL, listen(fd[0], 1));
	EXPECT_ERRNO(EINVAL, listen(fd[1], 1));
	NOT_FOR(AF_UNIX);
	/* One waits to be accepted, the next for room. */
	conn_client(c);
	last = conn_client_start(c);
	EXPECT_ERRNO(EINVAL, listen(last, 1));
}

TEST_F(setup, who_does_not_listen_does_not_accept)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[0], variant->type);

	EXPECT_ERRNO(EINVAL, accept(fd, NULL, NULL));
	ASSERT_EQ(0, bind_port(fd, &c->h[0], CONN_PORT + 1));
	EXPECT_ERRNO(EINVAL, accept(fd, NULL, NULL));
	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
	conn_pair(c, c->fd);
	EXPECT_ERRNO(EINVAL, accept(c->fd[0], NULL, NULL));
	EXPECT_ERRNO(EINVAL, accept(c->fd[1], NULL, NULL));
}

TEST_F(setup, accept_waits_as_long_as_it_may)
{
	struct conn *c = &self->c;
	struct call call;
	double start;

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
	set_timeout(c->listener, SO_RCVTIMEO, 50);
	start = seconds();
	EXPECT_ERRNO(EAGAIN, accept(c->listener, NULL, NULL));
	EXPECT_LE(0.04, seconds() - start);
	set_nonblock(c->listener, true);
	EXPECT_ERRNO(EAGAIN, accept(c->listener, NULL, NULL));
	set_nonblock(c->listener, false);
	set_timeout(c->listener, SO_RCVTIMEO, 0);
	call_start(&call, do_accept, c->listener);
	EXPECT_EQ(true, call_waits(&call));
	conn_client(c);
	EXPECT_LE(0, call_end(&call));
}

TEST_F(setup, accept4_sets_flags)
{
	struct conn *c = &self->c;
	int fd;

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 4);
	conn_client(c);
	conn_client(c);
	EXPECT_ERRNO(EINVAL, accept4(c->listener, NULL, NULL, 1));
	fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_NE(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_NE(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_ERRNO(EAGAIN, recv(fd, &fd, 1, 0));
	/* They are not those of the listener. */
	set_nonblock(c->listener, true);
	fd = accept(c->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(variant->type, sock_get(fd, SO_TYPE));
	EXPECT_EQ(CONN_FAMILY, sock_get(fd, SO_DOMAIN));
	EXPECT_EQ(0, sock_get(fd, SO_ACCEPTCONN));
}

TEST_F(setup, connections_are_accepted_in_the_order_of_their_arrival)
{
	struct conn *c = &self->c;
	int i, fd;
	char byte;

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 10);
	for (i = 0; i < 10; i++) {
		fd = conn_client(c);
		byte = i;
		ASSERT_EQ(1, send(fd, &byte, 1, 0));
	}
	for (i = 0; i < 10; i++) {
		fd = accept(c->listener, NULL, NULL);
		ASSERT_LE(0, fd);
		ASSERT_EQ(1, recv(fd, &byte, 1, 0));
		EXPECT_EQ(i, byte);
	}
}

/* How many of the connections have been made, a moment later. */
static int connected(const int *fd, int count)
{
	int i, n = 0;

	usleep(50000);
	for (i = 0; i < count; i++)
		n += ready(fd[i]) == POLLOUT;
	return n;
}

/* How many connections host 0 has, besides the @before sockets, once it has @count of them. */
static long served(const struct conn *c, long before, long count)
{
	double end = seconds() + EMT_WAIT_S;

	while (conn_left(c->h).sockets[0][0] - before < count && seconds() < end)
		usleep(10000);
	usleep(50000);
	return conn_left(c->h).sockets[0][0] - before;
}

#define BACKLOG	3
#define CLIENTS	9

TEST_F(setup, as_many_wait_as_there_is_room_for_and_the_others_follow)
{
	struct conn *c = &self->c;
	int fd[CLIENTS], i, got;
	long before;

	NOT_FOR(AF_UNIX);
	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, BACKLOG);
	before = conn_left(c->h).sockets[0][0];
	for (i = 0; i < CLIENTS; i++)
		fd[i] = conn_client_start(c);
	for (i = 0; i <= BACKLOG; i++)
		ASSERT_EQ(POLLOUT, wait_ready(fd[i], POLLOUT));
	EXPECT_EQ(BACKLOG + 1, connected(fd, CLIENTS));
	/* Each that is accepted makes room for one; TCP shakes hands with more. */
	NOT_FOR(AF_INET);
	EXPECT_EQ(BACKLOG + 1, served(c, before, BACKLOG + 1));
	got = accept(c->listener, NULL, NULL);
	ASSERT_LE(0, got);
	for (i = 0; i < 20 * EMT_WAIT_S && connected(fd, CLIENTS) < BACKLOG + 2; i++)
		;
	EXPECT_LE(BACKLOG + 2, connected(fd, CLIENTS));
	/*
	 * Those that try again together may all be answered before the first has
	 * its place. The others of them are connected then, but not served.
	 */
	EXPECT_EQ(BACKLOG + 2, served(c, before, BACKLOG + 2));
	/* In the end all are. */
	for (i = 1; i < CLIENTS; i++)
		ASSERT_LE(0, accept(c->listener, NULL, NULL));
	for (i = 0; i < CLIENTS; i++) {
		EXPECT_EQ(POLLOUT, wait_ready(fd[i], POLLOUT));
		EXPECT_EQ(0, sock_get(fd[i], SO_ERROR));
	}
}

TEST_F(setup, a_larger_backlog_lets_more_in)
{
	struct conn *c = &self->c;
	int fd[2];

	NOT_FOR(AF_UNIX);
	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 0);
	fd[0] = conn_client_start(c);
	ASSERT_EQ(POLLOUT, wait_ready(fd[0], POLLOUT));
	fd[1] = conn_client_start(c);
	EXPECT_EQ(1, connected(fd, 2));
	ASSERT_EQ(0, listen(c->listener, 1));
	EXPECT_EQ(POLLOUT, wait_ready(fd[1], POLLOUT));
	EXPECT_EQ(0, sock_get(fd[1], SO_ERROR));
}

TEST_F(setup, shutdown_of_a_listener_wakes_who_accepts)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);
	static const int how[] = { SHUT_RD, SHUT_RDWR };
	struct call call;
	int i;

	for (i = 0; i < ARRAY_SIZE(how); i++) {
		c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
		set_timeout(c->listener, SO_RCVTIMEO, 0);
		call_start(&call, do_accept, c->listener);
		ASSERT_EQ(0, shutdown(c->listener, how[i]));
		EXPECT_EQ(-EINVAL, call_end(&call));
		EXPECT_EQ(ECONNREFUSED, conn_connect(conn_socket(&c->h[1], variant->type), &to));
		close(c->listener);
	}
}

TEST_F(setup, a_listener_that_is_closed_resets_who_was_not_accepted)
{
	struct conn *c = &self->c;
	int fd[3], i;
	char byte;

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 3);
	for (i = 0; i < 3; i++)
		fd[i] = conn_client(c);
	ASSERT_EQ(1, send(fd[1], "x", 1, 0));
	close(c->listener);
	for (i = 0; i < 3; i++) {
		EXPECT_NE(0, wait_ready(fd[i], POLLIN) & POLLHUP);
		EXPECT_ERRNO(ECONNRESET, recv(fd[i], &byte, 1, 0));
	}
}

TEST_F(setup, who_was_shut_out_by_shutdown_is_reset)
{
	struct conn *c = &self->c;
	char byte;
	int fd;

	NOT_FOR(AF_UNIX);
	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 3);
	fd = conn_client(c);
	ASSERT_EQ(0, shutdown(c->listener, SHUT_RDWR));
	EXPECT_NE(0, wait_ready(fd, POLLIN) & POLLHUP);
	EXPECT_ERRNO(ECONNRESET, recv(fd, &byte, 1, 0));
}

TEST_F(setup, what_was_sent_before_it_was_accepted_is_there)
{
	struct conn *c = &self->c;
	char buf[16];
	int fd;

	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 3);
	fd = conn_client(c);
	ASSERT_EQ(5, send(fd, "early", 5, 0));
	/* Also if it has gone already. */
	close(fd);
	fd = accept(c->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(5, recv(fd, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp("early", buf, 5));
	EXPECT_EQ(0, recv(fd, buf, sizeof(buf), 0));
}

/* Whether a name is exactly this, all bytes of it. */
static bool is_name(const void *got, socklen_t len, const struct sockaddr_emt *want)
{
	return len == sizeof(*want) && !memcmp(got, want, sizeof(*want));
}

TEST_F(setup, sockets_are_called_what_they_are)
{
	struct conn *c = &self->c;
	const struct host *a = &c->h[0], *b = &c->h[1];
	struct sockaddr_emt want;
	unsigned char got[64];
	socklen_t len;
	int fd, port;

	EMT_ONLY();
	c->listener = conn_listener(a, variant->type, CONN_PORT, 1);
	want = emt_addr(0, NULL, CONN_PORT);
	memset(got, 0xaa, len = sizeof(got));
	ASSERT_EQ(0, getsockname(c->listener, (void *)got, &len));
	EXPECT_EQ(true, is_name(got, len, &want));

	fd = conn_socket(b, variant->type);
	want = emt_addr(0, NULL, 0);
	memset(got, 0xaa, len = sizeof(got));
	ASSERT_EQ(0, getsockname(fd, (void *)got, &len));
	EXPECT_EQ(true, is_name(got, len, &want));

	want = emt_addr(b->ifindex, a->mac, CONN_PORT);
	ASSERT_EQ(0, emt_connect(fd, &want));
	memset(got, 0xaa, len = sizeof(got));
	ASSERT_EQ(0, getpeername(fd, (void *)got, &len));
	EXPECT_EQ(true, is_name(got, len, &want));
	port = emt_port(fd);
	EXPECT_LE(32768, port);
	want = emt_addr(b->ifindex, b->mac, port);
	memset(got, 0xaa, len = sizeof(got));
	ASSERT_EQ(0, getsockname(fd, (void *)got, &len));
	EXPECT_EQ(true, is_name(got, len, &want));

	want = emt_addr(a->ifindex, b->mac, port);
	memset(got, 0xaa, len = sizeof(got));
	fd = accept(c->listener, (void *)got, &len);
	ASSERT_LE(0, fd);
	EXPECT_EQ(true, is_name(got, len, &want));
	memset(got, 0xaa, len = sizeof(got));
	ASSERT_EQ(0, getpeername(fd, (void *)got, &len));
	EXPECT_EQ(true, is_name(got, len, &want));
	want = emt_addr(a->ifindex, a->mac, CONN_PORT);
	memset(got, 0xaa, len = sizeof(got));
	ASSERT_EQ(0, getsockname(fd, (void *)got, &len));
	EXPECT_EQ(true, is_name(got, len, &want));
}

TEST_F(setup, names_are_cut_to_the_room_there_is)
{
	struct conn *c = &self->c;
	unsigned char got[64];
	socklen_t len = 5;
	int fd;

	NOT_FOR(AF_UNIX);
	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 1);
	conn_client(c);
	memset(got, 0xaa, sizeof(got));
	fd = accept(c->listener, (void *)got, &len);
	ASSERT_LE(0, fd);
	EXPECT_EQ(CONN_ALEN, len);
	EXPECT_EQ(0xaa, got[5]);
	memset(got, 0xaa, sizeof(got));
	len = 3;
	ASSERT_EQ(0, getpeername(fd, (void *)got, &len));
	EXPECT_EQ(CONN_ALEN, len);
	EXPECT_EQ(0xaa, got[3]);
	len = -1;
	EXPECT_ERRNO(EINVAL, getsockname(fd, (void *)got, &len));
}

TEST_F(setup, who_has_no_peer_has_no_name_for_it)
{
	struct conn *c = &self->c;
	int fd = conn_socket(&c->h[0], variant->type);
	union conn_addr addr;
	socklen_t len = sizeof(addr);

	EXPECT_ERRNO(ENOTCONN, getpeername(fd, &addr.sa, &len));
	ASSERT_EQ(0, bind_port(fd, &c->h[0], CONN_PORT));
	EXPECT_ERRNO(ENOTCONN, getpeername(fd, &addr.sa, &len));
	ASSERT_EQ(0, listen(fd, 1));
	EXPECT_ERRNO(ENOTCONN, getpeername(fd, &addr.sa, &len));
}

TEST_HARNESS_MAIN
