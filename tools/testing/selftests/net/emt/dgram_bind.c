// SPDX-License-Identifier: GPL-2.0
/* bind() and getsockname() of EMT datagram sockets. */
#include <arpa/inet.h>
#include <limits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/capability.h>

#include "emt_test.h"

#define LO		1	/* the loopback's index in every namespace */
#define EPHEMERAL_MIN	32768
#define EPHEMERAL_MAX	60999

FIXTURE(bind)
{
	struct host h[2];
	int fd;
};

FIXTURE_SETUP(bind)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->fd = emt_socket(&self->h[0]);
}

FIXTURE_TEARDOWN(bind)
{
	close(self->fd);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

static int bind_len(int fd, const void *addr, socklen_t len)
{
	return bind(fd, addr, len) ? errno : 0;
}

/* Binds a new socket of host @h and closes it: 0 or the errno. */
static int try_bind(const struct host *h, int ifindex, const unsigned char *mac, int port)
{
	struct sockaddr_emt a = emt_addr(ifindex, mac, port);
	int fd = emt_socket(h);
	int err = emt_bind(fd, &a);

	close(fd);
	return err;
}

/*
 * True if getsockname() returns exactly @want, its length, and writes nothing
 * past it.
 */
static bool name_is(int fd, const struct sockaddr_emt *want)
{
	unsigned char buf[128], fresh[128];
	socklen_t len = sizeof(buf);

	memset(buf, 0xaa, sizeof(buf));
	memset(fresh, 0xaa, sizeof(fresh));
	if (getsockname(fd, (struct sockaddr *)buf, &len))
		return false;
	return len == sizeof(*want) && !memcmp(buf, want, sizeof(*want)) &&
	       !memcmp(buf + sizeof(*want), fresh, sizeof(fresh) - sizeof(*want));
}

TEST_F(bind, refuses_an_address_that_is_too_short)
{
	struct sockaddr_emt a = emt_addr(0, NULL, 5000);
	socklen_t len;

	for (len = 0; len < sizeof(a); len++) {
		EXPECT_EQ(EINVAL, bind_len(self->fd, &a, len)) {
			TH_LOG("with a length of %u", len);
		}
	}
	EXPECT_EQ(0, bind_len(self->fd, &a, len));
}

TEST_F(bind, ignores_what_follows_the_address)
{
	unsigned char buf[sizeof(struct sockaddr_storage) + 1];
	struct sockaddr_emt a = emt_addr(0, NULL, 5000);

	memset(buf, 0xff, sizeof(buf));
	memcpy(buf, &a, sizeof(a));
	EXPECT_EQ(EINVAL, bind_len(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, bind_len(self->fd, buf, -1));
	EXPECT_EQ(0, bind_len(self->fd, buf, sizeof(struct sockaddr_storage)));
	EXPECT_EQ(true, name_is(self->fd, &a));
}

TEST_F(bind, refuses_other_families)
{
	static const int families[] = { AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_PACKET,
					AF_EMT - 1, AF_EMT + 1, 0xffff };
	struct sockaddr_emt a = emt_addr(0, NULL, 5000);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(families); i++) {
		a.semt_family = families[i];
		EXPECT_EQ(EAFNOSUPPORT, emt_bind(self->fd, &a)) {
			TH_LOG("with family %d", families[i]);
		}
	}
}

TEST_F(bind, refuses_reserved_bytes_that_are_not_zero)
{
	struct sockaddr_emt a;
	unsigned int i;

	for (i = 0; i < sizeof(a.semt_reserved); i++) {
		a = emt_addr(0, NULL, 5000);
		a.semt_reserved[i] = 1;
		EXPECT_EQ(EINVAL, emt_bind(self->fd, &a));
		a.semt_reserved[i] = 0x80;
		EXPECT_EQ(EINVAL, emt_bind(self->fd, &a));
	}
}

TEST_F(bind, refuses_lengths_that_no_device_has)
{
	struct sockaddr_emt a = emt_addr(self->h[0].ifindex, self->h[0].mac, 5000);
	int halen;

	for (halen = 0; halen <= UCHAR_MAX; halen++) {
		if (halen == ETH_ALEN)
			continue;
		/* 0 is refused too: address bytes follow that it does not cover. */
		a.semt_halen = halen;
		EXPECT_EQ(EINVAL, emt_bind(self->fd, &a)) {
			TH_LOG("with halen %d", halen);
		}
	}
}

TEST_F(bind, refuses_bytes_past_the_address)
{
	struct sockaddr_emt a;
	int i;

	for (i = 0; i < EMT_ADDR_MAX; i++) {
		a = emt_addr(self->h[0].ifindex, NULL, 5000);
		a.semt_addr[i] = 1;
		EXPECT_EQ(EINVAL, emt_bind(self->fd, &a)) {
			TH_LOG("byte %d of no address", i);
		}
	}
	for (i = ETH_ALEN; i < EMT_ADDR_MAX; i++) {
		a = emt_addr(self->h[0].ifindex, self->h[0].mac, 5000);
		a.semt_addr[i] = 1;
		EXPECT_EQ(EINVAL, emt_bind(self->fd, &a)) {
			TH_LOG("byte %d of an address of 6", i);
		}
	}
}

TEST_F(bind, refuses_unmapped_memory)
{
	EXPECT_EQ(EFAULT, bind_len(self->fd, NULL, sizeof(struct sockaddr_emt)));
	EXPECT_EQ(EFAULT, bind_len(self->fd, (void *)8, sizeof(struct sockaddr_emt)));
	EXPECT_EQ(EFAULT, bind_len(self->fd, (void *)(LONG_MAX & ~4095L),
				   sizeof(struct sockaddr_emt)));
}

TEST_F(bind, refuses_interfaces_that_are_not_enabled)
{
	EXPECT_EQ(EINVAL, try_bind(&self->h[0], -1, NULL, 5000));
	EXPECT_EQ(EINVAL, try_bind(&self->h[0], INT_MIN, NULL, 5000));
	EXPECT_EQ(ENODEV, try_bind(&self->h[0], INT_MAX, NULL, 5000));
	EXPECT_EQ(ENODEV, try_bind(&self->h[0], 4711, NULL, 5000));

	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	EXPECT_EQ(ENODEV, try_bind(&self->h[0], self->h[0].ifindex, NULL, 5000));
	EXPECT_EQ(ENODEV, try_bind(&self->h[0], self->h[0].ifindex, self->h[0].mac, 5000));
}

TEST_F(bind, takes_only_the_interfaces_own_address)
{
	int ifindex = self->h[0].ifindex;

	EXPECT_EQ(EADDRNOTAVAIL, try_bind(&self->h[0], ifindex, self->h[1].mac, 5000));
	EXPECT_EQ(EADDRNOTAVAIL, try_bind(&self->h[0], ifindex, emt_bcast, 5000));
	EXPECT_EQ(EADDRNOTAVAIL, try_bind(&self->h[0], ifindex, emt_zero, 5000));
	EXPECT_EQ(EADDRNOTAVAIL, try_bind(&self->h[0], LO, self->h[0].mac, 5000));
	EXPECT_EQ(EADDRNOTAVAIL, try_bind(&self->h[0], 0, self->h[1].mac, 5000));

	EXPECT_EQ(0, try_bind(&self->h[0], ifindex, self->h[0].mac, 5000));
	EXPECT_EQ(0, try_bind(&self->h[0], 0, self->h[0].mac, 5000));
	EXPECT_EQ(0, try_bind(&self->h[0], LO, emt_zero, 5000));
	EXPECT_EQ(0, try_bind(&self->h[0], LO, NULL, 5000));
}

TEST_F(bind, happens_once)
{
	struct sockaddr_emt a = emt_addr(0, NULL, 5000), b = emt_addr(0, NULL, 5001);

	ASSERT_EQ(0, emt_bind(self->fd, &a));
	EXPECT_EQ(EINVAL, emt_bind(self->fd, &a));
	EXPECT_EQ(EINVAL, emt_bind(self->fd, &b));
	EXPECT_EQ(true, name_is(self->fd, &a));
}

TEST_F(bind, is_refused_after_sending_has_bound_the_socket)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
	struct sockaddr_emt a = emt_addr(0, NULL, 5001);

	ASSERT_EQ(1, emt_sendto(self->fd, "x", 1, 0, &to));
	EXPECT_EQ(EINVAL, emt_bind(self->fd, &a));
}

TEST_F(bind, that_fails_leaves_the_socket_unbound)
{
	struct sockaddr_emt a = emt_addr(0, NULL, 5000), none = emt_addr(0, NULL, 0);
	int other = emt_bound(&self->h[0], 0, 5000);

	EXPECT_EQ(EADDRINUSE, emt_bind(self->fd, &a));
	EXPECT_EQ(true, name_is(self->fd, &none));
	a.semt_port = htons(5001);
	EXPECT_EQ(0, emt_bind(self->fd, &a));
	close(other);
}

TEST_F(bind, is_exclusive_where_interfaces_overlap)
{
	int dev = self->h[0].ifindex;
	int on_any, on_dev;

	on_any = emt_bound(&self->h[0], 0, 5000);
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], 0, NULL, 5000));
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], dev, NULL, 5000));
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], LO, NULL, 5000));
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], 0, self->h[0].mac, 5000));
	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, 5001));
	close(on_any);

	on_dev = emt_bound(&self->h[0], dev, 5000);
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], 0, NULL, 5000));
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], dev, NULL, 5000));
	EXPECT_EQ(EADDRINUSE, try_bind(&self->h[0], dev, self->h[0].mac, 5000));
	EXPECT_EQ(0, try_bind(&self->h[0], LO, NULL, 5000));
	close(on_dev);

	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, 5000));
}

TEST_F(bind, of_two_namespaces_does_not_collide)
{
	int fd = emt_bound(&self->h[0], 0, 5000);

	EXPECT_EQ(0, try_bind(&self->h[1], 0, NULL, 5000));
	close(fd);
}

TEST_F(bind, stays_exclusive_whatever_reuse_is_asked_for)
{
	struct sockaddr_emt a = emt_addr(0, NULL, 5000);
	int other = emt_socket(&self->h[0]);

	sock_set(self->fd, SO_REUSEADDR, 1);
	sock_set(other, SO_REUSEADDR, 1);
	/* The core may refuse SO_REUSEPORT to a family; then there is none. */
	setsockopt(self->fd, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 }, sizeof(int));
	setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 }, sizeof(int));
	ASSERT_EQ(0, emt_bind(self->fd, &a));
	EXPECT_EQ(EADDRINUSE, emt_bind(other, &a));
	close(other);
}

TEST_F(bind, to_port_0_picks_unused_ephemeral_ports)
{
	static unsigned char used[65536];
	int i, port, fd[200];

	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = emt_bound(&self->h[0], i & 1 ? self->h[0].ifindex : 0, 0);
		port = emt_port(fd[i]);
		EXPECT_LE(EPHEMERAL_MIN, port);
		EXPECT_GE(EPHEMERAL_MAX, port);
		EXPECT_EQ(0, used[port]);
		used[port] = 1;
	}
	for (i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

TEST_F(bind, to_a_reserved_port_needs_the_capability)
{
	cap_drop(CAP_NET_BIND_SERVICE);
	EXPECT_EQ(EACCES, try_bind(&self->h[0], 0, NULL, 1));
	EXPECT_EQ(EACCES, try_bind(&self->h[0], self->h[0].ifindex, NULL, 80));
	EXPECT_EQ(EACCES, try_bind(&self->h[0], 0, NULL, EMT_PORT_RESERVED - 1));
	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, EMT_PORT_RESERVED));
	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, 65535));
	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, 0));
}

TEST_F(bind, to_a_reserved_port_is_allowed_with_the_capability)
{
	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, 1));
	EXPECT_EQ(0, try_bind(&self->h[0], 0, NULL, EMT_PORT_RESERVED - 1));
}

TEST_F(bind, asks_the_user_namespace_that_owns_the_network)
{
	struct sockaddr_emt a = emt_addr(0, NULL, 80);
	int fd;

	if (unshare(CLONE_NEWUSER))
		SKIP(return, "no user namespaces (CONFIG_USER_NS): %s", strerror(errno));

	/* All capabilities, but in a namespace that does not own this network. */
	EXPECT_EQ(EACCES, emt_bind(self->fd, &a));

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	fd = socket(AF_EMT, SOCK_DGRAM, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, emt_bind(fd, &a));
	close(fd);
}

TEST_F(bind, takes_the_interface_of_bindtodevice)
{
	struct sockaddr_emt any = emt_addr(0, NULL, 5000), lo = emt_addr(LO, NULL, 5000);
	struct sockaddr_emt want = emt_addr(self->h[0].ifindex, self->h[0].mac, 5000);

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_BINDTODEVICE, EMT_DEV,
				sizeof(EMT_DEV)));
	EXPECT_EQ(EINVAL, emt_bind(self->fd, &lo));
	ASSERT_EQ(0, emt_bind(self->fd, &any));
	EXPECT_EQ(true, name_is(self->fd, &want));
	EXPECT_EQ(0, try_bind(&self->h[0], LO, NULL, 5000));
}

TEST_F(bind, refuses_bindtodevice_to_a_device_not_enabled)
{
	struct sockaddr_emt any = emt_addr(0, NULL, 5000);

	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_BINDTODEVICE, EMT_DEV,
				sizeof(EMT_DEV)));
	EXPECT_EQ(ENODEV, emt_bind(self->fd, &any));
}

TEST_F(bind, is_named_by_getsockname_in_full)
{
	struct sockaddr_emt none = emt_addr(0, NULL, 0), a;
	int fd;

	EXPECT_EQ(true, name_is(self->fd, &none));

	/* To every interface: no address, even when one was checked. */
	a = emt_addr(0, self->h[0].mac, 5000);
	ASSERT_EQ(0, emt_bind(self->fd, &a));
	a = emt_addr(0, NULL, 5000);
	EXPECT_EQ(true, name_is(self->fd, &a));

	/* To one: its address, even when none was given. */
	fd = emt_bound(&self->h[0], self->h[0].ifindex, 5001);
	a = emt_addr(self->h[0].ifindex, self->h[0].mac, 5001);
	EXPECT_EQ(true, name_is(fd, &a));
	close(fd);

	fd = emt_bound(&self->h[0], LO, 5002);
	a = emt_addr(LO, emt_zero, 5002);
	EXPECT_EQ(true, name_is(fd, &a));
	close(fd);
}

TEST_F(bind, is_named_with_the_devices_present_address)
{
	static const unsigned char mac[ETH_ALEN] = { 2, 0, 0, 9, 9, 9 };
	struct sockaddr_emt a;
	int fd = emt_bound(&self->h[0], self->h[0].ifindex, 5001);

	link_set_mac(EMT_DEV, mac);
	a = emt_addr(self->h[0].ifindex, mac, 5001);
	EXPECT_EQ(true, name_is(fd, &a));

	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	a = emt_addr(self->h[0].ifindex, NULL, 5001);
	EXPECT_EQ(true, name_is(fd, &a));
	close(fd);
}

TEST_F(bind, is_named_as_far_as_there_is_room)
{
	struct sockaddr_emt want = emt_addr(self->h[0].ifindex, self->h[0].mac, 5000);
	int fd = emt_bound(&self->h[0], self->h[0].ifindex, 5000);
	unsigned char buf[32], fresh[32];
	socklen_t len, room;

	memset(fresh, 0xaa, sizeof(fresh));
	for (room = 0; room <= sizeof(want); room++) {
		memset(buf, 0xaa, sizeof(buf));
		len = room;
		ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)buf, &len));
		EXPECT_EQ(sizeof(want), len);
		EXPECT_EQ(0, memcmp(buf, &want, room));
		EXPECT_EQ(0, memcmp(buf + room, fresh, sizeof(buf) - room));
	}
	len = -1;
	EXPECT_ERRNO(EINVAL, getsockname(fd, (struct sockaddr *)buf, &len));
	len = sizeof(buf);
	EXPECT_ERRNO(EFAULT, getsockname(fd, (struct sockaddr *)8, &len));
	EXPECT_ERRNO(EFAULT, getsockname(fd, (struct sockaddr *)buf, (socklen_t *)8));
	close(fd);
}

TEST_F_TIMEOUT(bind, fails_when_the_ephemeral_ports_are_used_up, 600)
{
	int n = EPHEMERAL_MAX - EPHEMERAL_MIN + 1, i;
	struct rlimit files = { n + 100, n + 100 };
	struct sockaddr_emt a = emt_addr(0, NULL, 0);
	time_t start = time(NULL);
	int *fd = calloc(n, sizeof(*fd));

	ASSERT_NE(NULL, fd);
	if (setrlimit(RLIMIT_NOFILE, &files))
		SKIP(return, "cannot open %d sockets: %s", n, strerror(errno));
	for (i = 0; i < n; i++) {
		fd[i] = socket(AF_EMT, SOCK_DGRAM, 0);
		if (fd[i] < 0)
			SKIP(return, "only %d of %d sockets can be open: %s", i, n,
			     strerror(errno));
		ASSERT_EQ(0, emt_bind(fd[i], &a));
		if (i == 2000 && time(NULL) - start > 4)
			SKIP(return, "%d sockets take minutes on this kernel", n);
	}
	EXPECT_EQ(EADDRINUSE, emt_bind(self->fd, &a));
	close(fd[1234]);
	EXPECT_EQ(0, emt_bind(self->fd, &a));
	for (i = 0; i < n; i++)
		if (i != 1234)
			close(fd[i]);
	free(fd);
}

TEST_HARNESS_MAIN
