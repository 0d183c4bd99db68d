// SPDX-License-Identifier: GPL-2.0
/* Making EMT datagram sockets, what they do not do, and their options. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "emt_test.h"

FIXTURE(socket)
{
	struct host h;
	int fd;
};

FIXTURE_SETUP(socket)
{
	REQUIRE_EMT();
	host_new(&self->h);
	self->fd = emt_socket(&self->h);
}

FIXTURE_TEARDOWN(socket)
{
	close(self->fd);
	host_free(&self->h);
}

TEST_F(socket, refuses_a_protocol_number)
{
	EXPECT_ERRNO(EPROTONOSUPPORT, socket(AF_EMT, SOCK_DGRAM, 1));
	EXPECT_ERRNO(EPROTONOSUPPORT, socket(AF_EMT, SOCK_DGRAM, 17));
	EXPECT_ERRNO(EPROTONOSUPPORT, socket(AF_EMT, SOCK_DGRAM, 255));
}

TEST_F(socket, refuses_types_it_does_not_have)
{
	EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_EMT, SOCK_RAW, 0));
	EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_EMT, SOCK_DCCP, 0));
	EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_EMT, SOCK_PACKET, 0));
	EXPECT_ERRNO(EINVAL, socket(AF_EMT, SOCK_PACKET + 1, 0));
}

TEST_F(socket, honours_the_flags_of_the_type)
{
	int fd = socket(AF_EMT, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ASSERT_LE(0, fd);
	EXPECT_EQ(O_NONBLOCK, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_ERRNO(EAGAIN, recv(fd, &(char){ 0 }, 1, 0));
	close(fd);
}

TEST_F(socket, needs_no_privilege)
{
	int fd;

	/* Root squashed to nobody: all capabilities go with the user id. */
	ASSERT_EQ(0, setuid(65534));
	fd = socket(AF_EMT, SOCK_DGRAM, 0);
	ASSERT_LE(0, fd);
	close(fd);
}

TEST_F(socket, does_not_do_what_needs_a_connection)
{
	int fds[2];

	EXPECT_ERRNO(EOPNOTSUPP, socketpair(AF_EMT, SOCK_DGRAM, 0, fds));
	EXPECT_ERRNO(EOPNOTSUPP, listen(self->fd, 1));
	EXPECT_ERRNO(EOPNOTSUPP, accept(self->fd, NULL, NULL));
}

TEST_F(socket, cannot_be_mapped)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, 0);

	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(ENODEV, errno);
}

TEST_F(socket, says_what_it_is)
{
	EXPECT_EQ(AF_EMT, sock_get(self->fd, SO_DOMAIN));
	EXPECT_EQ(SOCK_DGRAM, sock_get(self->fd, SO_TYPE));
	EXPECT_EQ(0, sock_get(self->fd, SO_PROTOCOL));
	EXPECT_EQ(0, sock_get(self->fd, SO_ACCEPTCONN));
	EXPECT_EQ(0, sock_get(self->fd, SO_ERROR));
}

TEST_F(socket, has_no_options_of_its_own_yet)
{
	socklen_t len = sizeof(int);
	int opt, value = 1;

	for (opt = 0; opt < 16; opt++) {
		EXPECT_ERRNO(ENOPROTOOPT,
			     setsockopt(self->fd, SOL_EMT, opt, &value, sizeof(value)));
		EXPECT_ERRNO(ENOPROTOOPT,
			     getsockopt(self->fd, SOL_EMT, opt, &value, &len));
	}
	EXPECT_ERRNO(ENOPROTOOPT,
		     setsockopt(self->fd, SOL_EMT, -1, &value, sizeof(value)));
	EXPECT_EQ(1, value);
	EXPECT_EQ(sizeof(int), len);
}

TEST_F(socket, refuses_options_of_other_levels)
{
	socklen_t len = sizeof(int);
	int value = 1;

	/* SOL_IP, SOL_TCP, SOL_UDP, SOL_TIPC */
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, 0, 1, &value, sizeof(value)));
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, 6, 1, &value, sizeof(value)));
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, 17, 1, &value, sizeof(value)));
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, 271, 1, &value, sizeof(value)));
	EXPECT_ERRNO(ENOPROTOOPT, getsockopt(self->fd, 0, 1, &value, &len));
	EXPECT_ERRNO(ENOPROTOOPT, getsockopt(self->fd, 271, 1, &value, &len));
}

TEST_F(socket, keeps_the_generic_options_it_is_given)
{
	struct timeval tv = { .tv_sec = 3, .tv_usec = 0 };
	struct linger linger = { .l_onoff = 1, .l_linger = 5 };
	socklen_t len;

	sock_set(self->fd, SO_BROADCAST, 1);
	EXPECT_EQ(1, sock_get(self->fd, SO_BROADCAST));
	sock_set(self->fd, SO_PRIORITY, 5);
	EXPECT_EQ(5, sock_get(self->fd, SO_PRIORITY));
	sock_set(self->fd, SO_MARK, 0x1234);
	EXPECT_EQ(0x1234, sock_get(self->fd, SO_MARK));
	sock_set(self->fd, SO_SNDBUF, 20000);
	EXPECT_EQ(40000, sock_get(self->fd, SO_SNDBUF));
	sock_set(self->fd, SO_RCVBUF, 30000);
	EXPECT_EQ(60000, sock_get(self->fd, SO_RCVBUF));
	sock_set(self->fd, SO_SNDBUFFORCE, 10000000);
	EXPECT_EQ(20000000, sock_get(self->fd, SO_SNDBUF));
	sock_set(self->fd, SO_RCVBUFFORCE, 10000000);
	EXPECT_EQ(20000000, sock_get(self->fd, SO_RCVBUF));

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	memset(&tv, 0, sizeof(tv));
	len = sizeof(tv);
	ASSERT_EQ(0, getsockopt(self->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len));
	EXPECT_EQ(3, tv.tv_sec);

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	memset(&linger, 0, sizeof(linger));
	len = sizeof(linger);
	ASSERT_EQ(0, getsockopt(self->fd, SOL_SOCKET, SO_LINGER, &linger, &len));
	EXPECT_EQ(5, linger.l_linger);
}

TEST_F(socket, closes_at_once_in_spite_of_linger)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 1000 };
	struct sockaddr_emt to;
	int fd = emt_bound(&self->h, 0, 5000);

	to = emt_addr(link_index("lo"), emt_zero, 5000);
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	ASSERT_EQ(5, emt_sendto(fd, "hello", 5, 0, &to));
	EXPECT_EQ(0, close(fd));
}

TEST_F(socket, frees_its_port_when_closed)
{
	int i, fd;

	for (i = 0; i < 100; i++) {
		fd = emt_bound(&self->h, 0, 5000);
		close(fd);
	}
}

TEST_F(socket, keeps_its_port_until_the_last_copy_is_closed)
{
	struct sockaddr_emt a = emt_addr(0, NULL, 5000);
	int one, two, other;

	one = emt_bound(&self->h, 0, 5000);
	two = dup(one);
	ASSERT_LE(0, two);
	close(one);
	other = emt_socket(&self->h);
	EXPECT_EQ(EADDRINUSE, emt_bind(other, &a));
	close(two);
	EXPECT_EQ(0, emt_bind(other, &a));
	close(other);
}

TEST_F(socket, reports_unknown_ioctls)
{
	int value;

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, 0x54ff, &value));
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, SIOCPROTOPRIVATE + 15, &value));
}

TEST_F(socket, closed_while_datagrams_wait_leaves_nothing_behind)
{
	struct sockaddr_emt to;
	int i, fd;

	to = emt_addr(link_index("lo"), emt_zero, 5000);
	for (i = 0; i < 50; i++) {
		fd = emt_bound(&self->h, 0, 5000);
		ASSERT_EQ(5, emt_sendto(fd, "hello", 5, 0, &to));
		ASSERT_EQ(5, emt_sendto(fd, "again", 5, 0, &to));
		close(fd);
	}
	/* A new owner of the port does not inherit what was queued. */
	fd = emt_bound(&self->h, 0, 5000);
	EXPECT_EQ(-EAGAIN, emt_recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT));
	close(fd);
}

TEST_HARNESS_MAIN
