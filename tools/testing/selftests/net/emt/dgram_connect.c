// SPDX-License-Identifier: GPL-2.0
/*
 * Destinations of EMT datagrams: connect() and getpeername(), the addresses
 * that a send call refuses, and the choice of the interface.
 */
#include <arpa/inet.h>
#include <limits.h>

#include "emt_test.h"

#define LO	1	/* the loopback's index in every namespace */

FIXTURE(dest)
{
	struct host h[2];
	int a, b;	/* a socket of each host, b's bound to port 5000 */
	struct sockaddr_emt to;	/* b as a sees it */
};

FIXTURE_SETUP(dest)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->b = emt_bound(&self->h[1], 0, 5000);
	self->a = emt_socket(&self->h[0]);
	self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
}

FIXTURE_TEARDOWN(dest)
{
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* A second wire on host 0, enabled; the index of its end. */
static int second_wire(struct host *h, const char *name)
{
	static const unsigned char mac[2][ETH_ALEN] = { { 2, 0, 0, 0, 1, 1 },
							{ 2, 0, 0, 0, 1, 2 } };
	int ifindex;

	netns_enter(h[0].netns);
	link_add_veth(name, mac[0], name, mac[1], h[1].netns, 1500);
	link_up(name, true);
	ifindex = link_index(name);
	errno = emt_enable(h[0].ctl, ifindex);
	if (errno)
		die("enable the second wire");
	return ifindex;
}

/* What connect() and sendto() on new sockets say of @to; -1 if they differ. */
static int errno_of(const struct host *h, const struct sockaddr_emt *to)
{
	int fd = emt_socket(h), by_connect, by_sendto;

	by_connect = emt_connect(fd, to);
	close(fd);
	fd = emt_socket(h);
	by_sendto = emt_sendto(fd, "x", 1, 0, to);
	by_sendto = by_sendto == 1 ? 0 : -by_sendto;
	close(fd);
	if (by_connect == by_sendto)
		return by_connect;
	fprintf(stderr, "# connect: %s, sendto: %s\n", strerror(by_connect),
		strerror(by_sendto));
	return -1;
}

static bool peer_is(int fd, const struct sockaddr_emt *want)
{
	unsigned char buf[128], fresh[128];
	socklen_t len = sizeof(buf);

	memset(buf, 0xaa, sizeof(buf));
	memset(fresh, 0xaa, sizeof(fresh));
	if (getpeername(fd, (struct sockaddr *)buf, &len))
		return false;
	return len == sizeof(*want) && !memcmp(buf, want, sizeof(*want)) &&
	       !memcmp(buf + sizeof(*want), fresh, sizeof(fresh) - sizeof(*want));
}

TEST_F(dest, too_short_is_refused)
{
	socklen_t len;

	for (len = 0; len < sizeof(self->to); len++) {
		EXPECT_ERRNO(EINVAL, connect(self->a, (void *)&self->to, len));
		EXPECT_ERRNO(EINVAL, sendto(self->a, "x", 1, 0, (void *)&self->to, len));
	}
}

TEST_F(dest, longer_than_needed_is_taken)
{
	unsigned char buf[sizeof(struct sockaddr_storage) + 1];

	memset(buf, 0xff, sizeof(buf));
	memcpy(buf, &self->to, sizeof(self->to));
	EXPECT_ERRNO(EINVAL, connect(self->a, (void *)buf, sizeof(buf)));
	EXPECT_ERRNO(EINVAL, sendto(self->a, "x", 1, 0, (void *)buf, sizeof(buf)));
	EXPECT_EQ(1, sendto(self->a, "x", 1, 0, (void *)buf, sizeof(buf) - 1));
	EXPECT_EQ(0, connect(self->a, (void *)buf, sizeof(buf) - 1));
	EXPECT_EQ(true, peer_is(self->a, &self->to));
}

TEST_F(dest, of_another_family_is_refused)
{
	struct sockaddr_emt to = self->to;

	to.semt_family = AF_INET;
	EXPECT_EQ(EAFNOSUPPORT, errno_of(&self->h[0], &to));
	to.semt_family = 0xffff;
	EXPECT_EQ(EAFNOSUPPORT, errno_of(&self->h[0], &to));
	to.semt_family = AF_UNSPEC;
	EXPECT_EQ(-EAFNOSUPPORT, emt_sendto(self->a, "x", 1, 0, &to));
}

TEST_F(dest, that_is_malformed_is_refused)
{
	struct sockaddr_emt to;
	int i;

	for (i = 0; i < sizeof(to.semt_reserved); i++) {
		to = self->to;
		to.semt_reserved[i] = 1;
		EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	}
	for (i = 0; i <= UCHAR_MAX; i++) {
		to = self->to;
		to.semt_halen = i;
		if (i != ETH_ALEN)
			EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	}
	for (i = ETH_ALEN; i < EMT_ADDR_MAX; i++) {
		to = self->to;
		to.semt_addr[i] = 0x80;
		EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	}
	to = self->to;
	to.semt_ifindex = -1;
	EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
}

TEST_F(dest, that_names_no_endpoint_is_refused)
{
	static const unsigned char multicast[ETH_ALEN] = { 1, 0, 0x5e, 0, 0, 1 };
	struct sockaddr_emt to;

	to = emt_addr(self->h[0].ifindex, NULL, 5000);
	EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	to = emt_addr(self->h[0].ifindex, self->h[1].mac, 0);
	EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	to = emt_addr(self->h[0].ifindex, multicast, 5000);
	EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	to = emt_addr(self->h[0].ifindex, emt_zero, 5000);
	EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	to = emt_addr(0, emt_zero, 5000);
	EXPECT_EQ(EINVAL, errno_of(&self->h[0], &to));
	to = emt_addr(LO, emt_zero, 5000);
	EXPECT_EQ(0, errno_of(&self->h[0], &to));
}

TEST_F(dest, in_unmapped_memory_is_refused)
{
	EXPECT_ERRNO(EFAULT, connect(self->a, (void *)8, sizeof(self->to)));
	EXPECT_ERRNO(EFAULT, sendto(self->a, "x", 1, 0, (void *)8, sizeof(self->to)));
}

TEST_F(dest, that_is_refused_binds_nothing)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, self->h[1].mac, 0);

	EXPECT_EQ(EINVAL, emt_connect(self->a, &to));
	EXPECT_EQ(-EINVAL, emt_sendto(self->a, "x", 1, 0, &to));
	EXPECT_EQ(0, emt_port(self->a));
}

TEST_F(dest, broadcast_needs_the_option)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);

	EXPECT_EQ(EACCES, errno_of(&self->h[0], &to));
	sock_set(self->a, SO_BROADCAST, 1);
	EXPECT_EQ(1, emt_sendto(self->a, "x", 1, 0, &to));
	EXPECT_EQ(0, emt_connect(self->a, &to));
	sock_set(self->a, SO_BROADCAST, 0);
	EXPECT_EQ(-EACCES, emt_sendto(self->a, "x", 1, 0, NULL));
}

TEST_F(dest, without_interface_is_the_only_one)
{
	struct sockaddr_emt to = emt_addr(0, self->h[1].mac, 5000);
	char buf[8];

	ASSERT_EQ(2, emt_sendto(self->a, "hi", 2, 0, &to));
	EXPECT_EQ(2, emt_recv(self->b, buf, sizeof(buf), 0));
	ASSERT_EQ(0, emt_connect(self->a, &to));
	EXPECT_EQ(true, peer_is(self->a, &self->to));
}

TEST_F(dest, without_interface_fails_where_none_is_enabled)
{
	struct sockaddr_emt to = emt_addr(0, self->h[1].mac, 5000);

	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	EXPECT_EQ(ENODEV, errno_of(&self->h[0], &to));
}

TEST_F(dest, without_interface_is_unreachable_where_several_are_enabled)
{
	struct sockaddr_emt to = emt_addr(0, self->h[1].mac, 5000);
	int other = second_wire(self->h, "emt1");

	EXPECT_EQ(EHOSTUNREACH, errno_of(&self->h[0], &to));
	EXPECT_EQ(0, errno_of(&self->h[0], &self->to));
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, other));
	EXPECT_EQ(0, errno_of(&self->h[0], &to));
}

TEST_F(dest, without_interface_is_the_one_the_socket_is_bound_to)
{
	struct sockaddr_emt to = emt_addr(0, self->h[1].mac, 5000);
	int fd, other = second_wire(self->h, "emt1");
	char buf[8];

	fd = emt_bound(&self->h[0], self->h[0].ifindex, 6000);
	ASSERT_EQ(2, emt_sendto(fd, "hi", 2, 0, &to));
	EXPECT_EQ(2, emt_recv(self->b, buf, sizeof(buf), 0));
	ASSERT_EQ(0, emt_connect(fd, &to));
	EXPECT_EQ(true, peer_is(fd, &self->to));
	to.semt_ifindex = other;
	EXPECT_EQ(-EINVAL, emt_sendto(fd, "hi", 2, 0, &to));
	EXPECT_EQ(EINVAL, emt_connect(fd, &to));
	close(fd);

	ASSERT_EQ(0, setsockopt(self->a, SOL_SOCKET, SO_BINDTODEVICE, EMT_DEV,
				sizeof(EMT_DEV)));
	EXPECT_EQ(-EINVAL, emt_sendto(self->a, "ho", 2, 0, &to));
	to.semt_ifindex = 0;
	ASSERT_EQ(2, emt_sendto(self->a, "ho", 2, 0, &to));
	EXPECT_EQ(2, emt_recv(self->b, buf, sizeof(buf), 0));
}

TEST_F(dest, on_an_interface_not_enabled_is_refused)
{
	struct sockaddr_emt to = self->to;

	to.semt_ifindex = INT_MAX;
	EXPECT_EQ(ENODEV, errno_of(&self->h[0], &to));
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	EXPECT_EQ(ENODEV, errno_of(&self->h[0], &self->to));
}

TEST_F(dest, on_an_interface_that_is_down_is_refused)
{
	link_up(EMT_DEV, false);
	EXPECT_EQ(-ENETDOWN, emt_sendto(self->a, "x", 1, 0, &self->to));
	link_up(EMT_DEV, true);
	EXPECT_EQ(1, emt_sendto(self->a, "x", 1, 0, &self->to));
}

TEST_F(dest, is_needed_by_a_socket_without_peer)
{
	struct msghdr msg = { 0 };

	EXPECT_ERRNO(EDESTADDRREQ, send(self->a, "x", 1, 0));
	EXPECT_ERRNO(EDESTADDRREQ, write(self->a, "x", 1));
	EXPECT_ERRNO(EDESTADDRREQ, sendmsg(self->a, &msg, 0));
	EXPECT_EQ(0, emt_port(self->a));
}

TEST_F(dest, connect_binds_to_an_ephemeral_port_of_every_interface)
{
	struct sockaddr_emt name;
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	ASSERT_EQ(0, getsockname(self->a, (void *)&name, &len));
	EXPECT_LE(32768, ntohs(name.semt_port));
	EXPECT_GE(60999, ntohs(name.semt_port));
	EXPECT_EQ(0, name.semt_ifindex);
	EXPECT_EQ(0, name.semt_halen);
}

TEST_F(dest, connect_keeps_the_port_that_was_bound)
{
	int fd = emt_bound(&self->h[0], 0, 6000);

	ASSERT_EQ(0, emt_connect(fd, &self->to));
	EXPECT_EQ(6000, emt_port(fd));
	close(fd);
}

TEST_F(dest, connect_may_be_repeated)
{
	struct sockaddr_emt other = emt_addr(self->h[0].ifindex, self->h[1].mac, 5001);
	int port;

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	port = emt_port(self->a);
	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	ASSERT_EQ(0, emt_connect(self->a, &other));
	EXPECT_EQ(true, peer_is(self->a, &other));
	EXPECT_EQ(port, emt_port(self->a));
}

TEST_F(dest, connect_that_fails_keeps_the_peer)
{
	struct sockaddr_emt bad = emt_addr(self->h[0].ifindex, self->h[1].mac, 0);

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	EXPECT_EQ(EINVAL, emt_connect(self->a, &bad));
	EXPECT_EQ(true, peer_is(self->a, &self->to));
}

TEST_F(dest, connect_to_af_unspec_dissolves_the_association)
{
	unsigned short unspec = AF_UNSPEC;
	unsigned char buf[20] = { 0 };

	/* On a socket without peer nothing happens, and nothing is bound. */
	EXPECT_EQ(0, connect(self->a, (void *)&unspec, sizeof(unspec)));
	EXPECT_EQ(0, emt_port(self->a));
	EXPECT_ERRNO(EINVAL, connect(self->a, (void *)&unspec, 1));

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	EXPECT_EQ(0, connect(self->a, (void *)&unspec, sizeof(unspec)));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->a, (void *)buf, &(socklen_t){ 20 }));
	EXPECT_ERRNO(EDESTADDRREQ, send(self->a, "x", 1, 0));
	EXPECT_NE(0, emt_port(self->a));

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	EXPECT_EQ(0, connect(self->a, (void *)buf, sizeof(buf)));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->a, (void *)buf, &(socklen_t){ 20 }));
}

TEST_F(dest, of_one_send_may_differ_from_the_peer)
{
	struct sockaddr_emt other = emt_addr(self->h[0].ifindex, self->h[1].mac, 5001);
	int b2 = emt_bound(&self->h[1], 0, 5001);
	char buf[8];

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	ASSERT_EQ(3, emt_sendto(self->a, "two", 3, 0, &other));
	ASSERT_EQ(4, send(self->a, "peer", 4, 0));
	EXPECT_EQ(3, emt_recv(b2, buf, sizeof(buf), 0));
	EXPECT_EQ(4, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(true, peer_is(self->a, &self->to));
	close(b2);
}

TEST_F(dest, getpeername_needs_a_peer)
{
	unsigned char buf[32], fresh[32];
	socklen_t len = sizeof(buf), room;

	EXPECT_ERRNO(ENOTCONN, getpeername(self->a, (void *)buf, &len));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->b, (void *)buf, &len));
	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	memset(fresh, 0xaa, sizeof(fresh));
	for (room = 0; room <= sizeof(self->to); room++) {
		memset(buf, 0xaa, sizeof(buf));
		len = room;
		ASSERT_EQ(0, getpeername(self->a, (void *)buf, &len));
		EXPECT_EQ(sizeof(self->to), len);
		EXPECT_EQ(0, memcmp(buf, &self->to, room));
		EXPECT_EQ(0, memcmp(buf + room, fresh, sizeof(buf) - room));
	}
}

TEST_F(dest, connected_socket_hears_only_its_peer)
{
	struct emt_stats before;
	struct sockaddr_emt b, back;
	int other = emt_bound(&self->h[0], 0, 6001);
	int a = emt_bound(&self->h[0], 0, 6000);
	char buf[8];

	/* b is connected to a's port 6000; 6001 of the same host is a stranger. */
	b = emt_addr(self->h[1].ifindex, self->h[0].mac, 6000);
	ASSERT_EQ(0, emt_connect(self->b, &b));
	before = emt_stats(&self->h[1], self->h[1].ifindex);
	ASSERT_EQ(3, emt_sendto(other, "not", 3, 0, &self->to));
	EXPECT_EQ(true, stats_grew_only(&self->h[1], self->h[1].ifindex, &before,
					STAT(rx_no_socket), 1));
	ASSERT_EQ(4, emt_sendto(a, "peer", 4, 0, &self->to));
	EXPECT_EQ(4, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));

	/* Dissolved, it hears everyone again. */
	back = emt_addr(0, NULL, 0);
	back.semt_family = AF_UNSPEC;
	ASSERT_EQ(0, connect(self->b, (void *)&back, sizeof(back)));
	ASSERT_EQ(3, emt_sendto(other, "now", 3, 0, &self->to));
	EXPECT_EQ(3, emt_recv(self->b, buf, sizeof(buf), 0));
	close(a);
	close(other);
}

TEST_F(dest, connected_socket_does_not_hear_its_peers_port_elsewhere)
{
	struct sockaddr_emt peer = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000), to;
	struct emt_stats before;
	int a = emt_bound(&self->h[0], 0, 6000), lo = emt_bound(&self->h[0], LO, 5000);

	ASSERT_EQ(0, emt_connect(a, &peer));
	before = emt_stats(&self->h[0], LO);
	to = emt_addr(LO, emt_zero, 6000);
	ASSERT_EQ(1, emt_sendto(lo, "x", 1, 0, &to));
	EXPECT_EQ(true, stats_grew_only(&self->h[0], LO, &before, STAT(rx_no_socket), 1));
	EXPECT_EQ(-EAGAIN, emt_recv(a, &(char){ 0 }, 1, MSG_DONTWAIT));
	close(a);
	close(lo);
}

TEST_F(dest, bindtodevice_restricts_what_a_bound_socket_hears)
{
	struct sockaddr_emt to;
	struct emt_stats before;
	int fd = emt_bound(&self->h[0], 0, 6000);
	char buf[8];

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, EMT_DEV, sizeof(EMT_DEV)));
	before = emt_stats(&self->h[0], LO);
	to = emt_addr(LO, emt_zero, 6000);
	ASSERT_EQ(1, emt_sendto(self->a, "x", 1, 0, &to));
	EXPECT_EQ(true, stats_grew_only(&self->h[0], LO, &before, STAT(rx_no_socket), 1));
	to = emt_addr(self->h[1].ifindex, self->h[0].mac, 6000);
	ASSERT_EQ(4, emt_sendto(self->b, "wire", 4, 0, &to));
	EXPECT_EQ(4, emt_recv(fd, buf, sizeof(buf), 0));
	to = emt_addr(LO, emt_zero, 6000);
	EXPECT_EQ(-EINVAL, emt_sendto(fd, "x", 1, 0, &to));
	close(fd);
}

TEST_F(dest, option_set_after_connecting_restricts_sending)
{
	int fd = emt_socket(&self->h[0]);

	ASSERT_EQ(0, emt_connect(fd, &self->to));
	EXPECT_EQ(1, send(fd, "x", 1, 0));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")));
	EXPECT_EQ(-EINVAL, emt_sendto(fd, "x", 1, 0, NULL));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 1));
	EXPECT_EQ(1, send(fd, "x", 1, 0));
	close(fd);
}

TEST_HARNESS_MAIN
