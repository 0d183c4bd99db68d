// SPDX-License-Identifier: GPL-2.0
/* Socket options of connections, and what an accepted socket has of its listener. */
#include <net/if.h>

#include "emt_test.h"
#include "emt_conn.h"

FIXTURE(options)
{
	struct conn c;
	char buf[10000];
};

FIXTURE_VARIANT(options)
{
	int type;
};

FIXTURE_VARIANT_ADD(options, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(options, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(options)
{
	REQUIRE_CONN(variant->type);
	conn_begin_listening(&self->c, variant->type);
}

FIXTURE_TEARDOWN(options)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

static int get_linger(int fd)
{
	struct linger linger = { -1, -1 };
	socklen_t len = sizeof(linger);

	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len))
		die("SO_LINGER");
	return linger.l_onoff ? linger.l_linger : -1;
}

TEST_F(options, an_accepted_socket_has_its_listeners_options)
{
	int fd, listener = self->c.listener;

	NOT_FOR(AF_UNIX);
	sock_set(listener, SO_SNDBUF, 40000);
	sock_set(listener, SO_RCVBUF, 50000);
	sock_set(listener, SO_KEEPALIVE, 1);
	sock_set(listener, SO_MARK, 77);
	sock_set(listener, SO_PRIORITY, 3);
	set_linger(listener, 1, 5);
	conn_client(&self->c);
	fd = accept(listener, NULL, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(80000, sock_get(fd, SO_SNDBUF));
	EXPECT_EQ(100000, sock_get(fd, SO_RCVBUF));
	EXPECT_EQ(1, sock_get(fd, SO_KEEPALIVE));
	EXPECT_EQ(77, sock_get(fd, SO_MARK));
	EXPECT_EQ(5, get_linger(fd));
	if (conn_family == AF_EMT)
		EXPECT_EQ(3, sock_get(fd, SO_PRIORITY));
	/* From then on each has its own. */
	sock_set(fd, SO_KEEPALIVE, 0);
	set_linger(fd, 0, 0);
	EXPECT_EQ(1, sock_get(listener, SO_KEEPALIVE));
	EXPECT_EQ(5, get_linger(listener));
	set_linger(listener, 0, 0);
}

TEST_F(options, lingering_and_keepalive_are_kept)
{
	int fd = conn_socket(&self->c.h[1], variant->type);

	EXPECT_EQ(-1, get_linger(fd));
	set_linger(fd, 1, 7);
	EXPECT_EQ(7, get_linger(fd));
	set_linger(fd, 0, 7);
	EXPECT_EQ(-1, get_linger(fd));
	EXPECT_EQ(0, sock_get(fd, SO_KEEPALIVE));
	sock_set(fd, SO_KEEPALIVE, 1);
	EXPECT_EQ(1, sock_get(fd, SO_KEEPALIVE));
}

TEST_F(options, buffers_are_as_large_as_they_are_made)
{
	int fd = conn_socket(&self->c.h[1], variant->type);

	sock_set(fd, SO_SNDBUF, 50000);
	EXPECT_EQ(100000, sock_get(fd, SO_SNDBUF));
	sock_set(fd, SO_RCVBUF, 50000);
	EXPECT_EQ(100000, sock_get(fd, SO_RCVBUF));
	sock_set(fd, SO_SNDBUFFORCE, 4 << 20);
	EXPECT_EQ(8 << 20, sock_get(fd, SO_SNDBUF));
	sock_set(fd, SO_RCVBUFFORCE, 4 << 20);
	EXPECT_EQ(8 << 20, sock_get(fd, SO_RCVBUF));
	/* As small as can be, it still works. */
	sock_set(fd, SO_SNDBUF, 1);
	sock_set(fd, SO_RCVBUF, 1);
	EXPECT_LT(1, sock_get(fd, SO_SNDBUF));
	EXPECT_LT(1, sock_get(fd, SO_RCVBUF));
}

TEST_F(options, the_smallest_buffers_do)
{
	pid_t pid;
	int i;

	NOT_FOR(AF_UNIX);
	conn_pair(&self->c, self->c.fd);
	for (i = 0; i < 2; i++) {
		sock_set(self->c.fd[i], SO_SNDBUF, 1);
		sock_set(self->c.fd[i], SO_RCVBUF, 1);
	}
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!pattern_send(self->c.fd[1], 200000, 1));
	EXPECT_EQ(true, pattern_recv(self->c.fd[0], 200000, 1));
	EXPECT_EQ(0, ends(pid));
}

/* 0, or the errno. */
static int set_emt(int fd, int option, int value)
{
	return setsockopt(fd, SOL_EMT, option, &value, sizeof(value)) ? errno : 0;
}

static int get_emt(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_EMT, option, &value, &len) ? -errno : value;
}

TEST_F(options, emts_own_are_checked)
{
	int fd, value = 1;
	socklen_t len;

	EMT_ONLY();
	fd = conn_socket(&self->c.h[1], variant->type);
	EXPECT_EQ(0, get_emt(fd, EMT_NODELAY));
	EXPECT_EQ(0, set_emt(fd, EMT_NODELAY, 1));
	EXPECT_EQ(1, get_emt(fd, EMT_NODELAY));
	EXPECT_EQ(EINVAL, set_emt(fd, EMT_NODELAY, 2));
	EXPECT_EQ(EINVAL, set_emt(fd, EMT_NODELAY, -1));
	EXPECT_EQ(1, get_emt(fd, EMT_NODELAY));
	EXPECT_EQ(0, set_emt(fd, EMT_NODELAY, 0));
	EXPECT_EQ(0, get_emt(fd, EMT_NODELAY));

	EXPECT_EQ(10000, get_emt(fd, EMT_USER_TIMEOUT));
	EXPECT_EQ(0, set_emt(fd, EMT_USER_TIMEOUT, 1234));
	EXPECT_EQ(1234, get_emt(fd, EMT_USER_TIMEOUT));
	EXPECT_EQ(EINVAL, set_emt(fd, EMT_USER_TIMEOUT, 0));
	EXPECT_EQ(1234, get_emt(fd, EMT_USER_TIMEOUT));

	/* Those of messages. */
	EXPECT_EQ(ENOPROTOOPT, set_emt(fd, EMT_RECVERR, 1));
	EXPECT_EQ(ENOPROTOOPT, set_emt(fd, EMT_NOTIFY, 1));
	EXPECT_EQ(-ENOPROTOOPT, get_emt(fd, EMT_RECVERR));
	EXPECT_EQ(-ENOPROTOOPT, get_emt(fd, EMT_NOTIFY));
	EXPECT_EQ(ENOPROTOOPT, set_emt(fd, 99, 1));
	EXPECT_EQ(-ENOPROTOOPT, get_emt(fd, 99));

	EXPECT_ERRNO(EINVAL, setsockopt(fd, SOL_EMT, EMT_NODELAY, &value, 3));
	EXPECT_ERRNO(EFAULT, setsockopt(fd, SOL_EMT, EMT_NODELAY, NULL, 4));
	len = sizeof(value);
	EXPECT_ERRNO(EFAULT, getsockopt(fd, SOL_EMT, EMT_NODELAY, NULL, &len));
	/* And it is of connections. */
	fd = emt_socket_of(&self->c.h[1], SOCK_RDM);
	EXPECT_EQ(ENOPROTOOPT, set_emt(fd, EMT_NODELAY, 1));
}

TEST_F(options, small_writes_arrive_with_and_without_delay)
{
	int delay, i, n;

	conn_pair(&self->c, self->c.fd);
	for (delay = 0; delay < 2; delay++) {
		if (conn_family == AF_EMT)
			ASSERT_EQ(0, set_emt(self->c.fd[1], EMT_NODELAY, !delay));
		for (i = 0; i < 100; i++)
			ASSERT_EQ(1, send(self->c.fd[1], "x", 1, 0));
		for (i = 0; i < 100; i += n) {
			n = recv(self->c.fd[0], self->buf, 100, 0);
			ASSERT_LT(0, n);
		}
		EXPECT_EQ(100, i);
		/* A single one is not kept waiting for more. */
		ASSERT_EQ(1, send(self->c.fd[1], "x", 1, 0));
		ASSERT_EQ(1, recv(self->c.fd[0], self->buf, 100, 0));
	}
}

TEST_F(options, more_is_waited_for_if_there_will_be)
{
	int a, b;

	if (variant->type != SOCK_STREAM)
		SKIP(return, "bytes without boundaries");
	NOT_FOR(AF_UNIX);
	conn_pair(&self->c, self->c.fd);
	a = self->c.fd[1];
	b = self->c.fd[0];
	ASSERT_EQ(10, send(a, self->buf, 10, MSG_MORE));
	ASSERT_EQ(10, send(a, self->buf, 10, MSG_MORE));
	usleep(20000);
	EXPECT_EQ(0, inq(b));
	ASSERT_EQ(10, send(a, self->buf, 10, 0));
	ASSERT_EQ(POLLIN, wait_ready(b, POLLIN));
	EXPECT_EQ(30, recv(b, self->buf, sizeof(self->buf), 0));

	/* Full packets do not wait, only what is left of them. */
	ASSERT_EQ(5000, send(a, self->buf, 5000, MSG_MORE));
	ASSERT_EQ(POLLIN, wait_ready(b, POLLIN));
	EXPECT_LE(3000, recv(b, self->buf, sizeof(self->buf), 0));
	ASSERT_EQ(1, send(a, self->buf, 1, 0));
	ASSERT_EQ(true, wait_sent(a));
	EXPECT_LE(1, recv(b, self->buf, sizeof(self->buf), MSG_DONTWAIT));

	/* The end flushes. */
	ASSERT_EQ(10, send(a, self->buf, 10, MSG_MORE));
	ASSERT_EQ(0, shutdown(a, SHUT_WR));
	ASSERT_EQ(true, wait_inq(b, 10));
	EXPECT_EQ(10, recv(b, self->buf, sizeof(self->buf), 0));
	EXPECT_EQ(0, recv(b, self->buf, sizeof(self->buf), 0));
}

TEST_F(options, closing_sends_what_more_was_waited_for)
{
	conn_pair(&self->c, self->c.fd);
	ASSERT_EQ(10, send(self->c.fd[1], self->buf, 10, MSG_MORE));
	close(self->c.fd[1]);
	EXPECT_EQ(10, recv(self->c.fd[0], self->buf, sizeof(self->buf), 0));
	EXPECT_EQ(0, recv(self->c.fd[0], self->buf, sizeof(self->buf), 0));
}

TEST_F(options, not_delaying_sends_what_more_was_waited_for)
{
	int a, b;

	if (variant->type != SOCK_STREAM)
		SKIP(return, "bytes without boundaries");
	EMT_ONLY();
	conn_pair(&self->c, self->c.fd);
	a = self->c.fd[1];
	b = self->c.fd[0];
	ASSERT_EQ(10, send(a, self->buf, 10, MSG_MORE));
	ASSERT_EQ(1, send(a, self->buf, 1, MSG_DONTWAIT));
	ASSERT_EQ(true, wait_inq(b, 11));
	/* MSG_MORE is asked for by the write, whatever the option. */
	ASSERT_EQ(0, set_emt(a, EMT_NODELAY, 1));
	ASSERT_EQ(10, send(a, self->buf, 10, MSG_MORE));
	usleep(20000);
	EXPECT_EQ(11, inq(b));
	ASSERT_EQ(1, send(a, self->buf, 1, 0));
	ASSERT_EQ(true, wait_inq(b, 22));
}

static int bind_device(int fd, const char *name)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name) + 1) ? errno : 0;
}

TEST_F(options, a_listener_may_be_bound_to_a_device)
{
	struct conn *c = &self->c;
	char name[IFNAMSIZ] = "";
	socklen_t len = sizeof(name);
	union conn_addr to;
	int fd;

	NOT_FOR(AF_UNIX);
	ASSERT_EQ(0, bind_device(c->listener, EMT_DEV));
	conn_client(c);
	fd = accept(c->listener, NULL, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	EXPECT_STREQ(EMT_DEV, name);
	/* Not over another. */
	if (conn_family == AF_EMT)
		to.emt = emt_addr(1, emt_zero, CONN_PORT);
	else
		to = (union conn_addr){ .in = { AF_INET, htons(CONN_PORT),
						{ htonl(INADDR_LOOPBACK) } } };
	EXPECT_EQ(ECONNREFUSED, conn_connect(conn_socket(&c->h[0], variant->type), &to));
	ASSERT_EQ(0, bind_device(c->listener, ""));
	EXPECT_EQ(0, conn_connect(conn_socket(&c->h[0], variant->type), &to));
}

TEST_F(options, a_client_may_be_bound_to_a_device)
{
	struct conn *c = &self->c;
	struct sockaddr_emt to;
	int fd;

	EMT_ONLY();
	to = emt_addr(0, c->h[0].mac, CONN_PORT);
	fd = conn_socket(&c->h[1], variant->type);
	ASSERT_EQ(0, bind_device(fd, "lo"));
	to.semt_ifindex = c->h[1].ifindex;
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	fd = conn_socket(&c->h[1], variant->type);
	ASSERT_EQ(0, bind_device(fd, EMT_DEV));
	to.semt_ifindex = 0;
	EXPECT_EQ(0, emt_connect(fd, &to));
}

TEST_F(options, a_listener_may_be_bound_to_an_interface)
{
	struct conn *c = &self->c;
	struct sockaddr_emt own, to = emt_addr(1, emt_zero, CONN_PORT);
	int fd, other;

	EMT_ONLY();
	close(c->listener);
	own = emt_addr(c->h[0].ifindex, NULL, CONN_PORT);
	c->listener = conn_socket(&c->h[0], variant->type);
	ASSERT_EQ(0, emt_bind(c->listener, &own));
	ASSERT_EQ(0, listen(c->listener, 4));
	conn_pair(c, c->fd);
	fd = conn_socket(&c->h[0], variant->type);
	EXPECT_EQ(ECONNREFUSED, emt_connect(fd, &to));
	/* The same port at another interface is another listener. */
	own.semt_ifindex = 1;
	other = conn_socket(&c->h[0], variant->type);
	ASSERT_EQ(0, emt_bind(other, &own));
	ASSERT_EQ(0, listen(other, 1));
	EXPECT_EQ(0, emt_connect(fd, &to));
	EXPECT_LE(0, accept(other, NULL, NULL));
	set_nonblock(c->listener, true);
	EXPECT_ERRNO(EAGAIN, accept(c->listener, NULL, NULL));
}

TEST_F(options, others_are_those_of_any_socket)
{
	int fd = conn_socket(&self->c.h[1], variant->type), n;
	struct timeval tv;
	socklen_t len = sizeof(tv);

	set_timeout(fd, SO_SNDTIMEO, 1500);
	ASSERT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len));
	EXPECT_EQ(1, tv.tv_sec);
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(fd, SOL_SOCKET, 9999, &(int){ 1 }, sizeof(int)));
	EXPECT_EQ(1, sock_get(fd, SO_RCVLOWAT));
	sock_set(fd, SO_RCVLOWAT, 10);
	EXPECT_EQ(10, sock_get(fd, SO_RCVLOWAT));
	sock_set(fd, SO_RCVLOWAT, 0);
	EXPECT_EQ(1, sock_get(fd, SO_RCVLOWAT));
	EMT_ONLY();
	/* Nothing has begun. */
	EXPECT_EQ(0, inq(fd));
	EXPECT_EQ(0, outq(fd));
	EXPECT_ERRNO(EINVAL, ioctl(self->c.listener, SIOCINQ, &n));
}

TEST_F(options, there_is_no_zerocopy)
{
	EMT_ONLY();
	conn_pair(&self->c, self->c.fd);
	EXPECT_ERRNO(EOPNOTSUPP, setsockopt(self->c.fd[1], SOL_SOCKET, SO_ZEROCOPY,
					    &(int){ 1 }, sizeof(int)));
	/* The flag alone changes nothing. */
	EXPECT_EQ(3, send(self->c.fd[1], "abc", 3, MSG_ZEROCOPY));
	EXPECT_EQ(3, recv(self->c.fd[0], self->buf, sizeof(self->buf), 0));
	EXPECT_ERRNO(EAGAIN, recv(self->c.fd[1], self->buf, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
}

TEST_HARNESS_MAIN
