// SPDX-License-Identifier: GPL-2.0
/* Reliable messages under way when sockets, devices and namespaces go. */
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/capability.h>

#include "emt_test.h"

#define PORT	5000
#define BIG	(4 << 20)

FIXTURE(life)
{
	struct host h[2];
	int home;
	char *big;
};

FIXTURE_SETUP(life)
{
	REQUIRE_EMT();
	self->home = netns_self();
	hosts_enabled(self->h, 1500);
	self->big = calloc(1, BIG);
}

FIXTURE_TEARDOWN(life)
{
	free(self->big);
	netns_enter(self->home);
	close(self->home);
}

static struct sockaddr_emt other(const struct host h[2], int side)
{
	return emt_addr(h[side].ifindex, h[!side].mac, PORT);
}

static int queued(int fd)
{
	int bytes = -1;

	return ioctl(fd, SIOCOUTQ, &bytes) ? -1 : bytes;
}

/* Fills the receiver, which does not read, and then the sender. */
static void fill(int fd, const struct sockaddr_emt *to, char *big)
{
	int i;

	for (i = 0; i < 1000; i++)
		if (emt_sendto(fd, big, i % 10 ? 1000 : 30000, MSG_DONTWAIT, to) < 0)
			return;
}

static bool wait_for(bool (*done)(void *), void *what)
{
	time_t end = time(NULL) + EMT_WAIT_S;

	while (!done(what)) {
		if (time(NULL) > end)
			return false;
		usleep(10000);
	}
	return true;
}

static bool is_empty(void *fd)
{
	return queued(*(int *)fd) == 0;
}

static bool is_gone(void *name)
{
	return !if_nametoindex(name);
}

TEST_F(life, a_device_is_deleted_with_messages_under_way)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);

	fill(fd, &to, self->big);
	EXPECT_LT(0, queued(fd));
	netns_enter(self->h[0].netns);
	link_del(EMT_DEV);
	EXPECT_EQ(ENETDOWN, sock_get(fd, SO_ERROR));
	EXPECT_EQ(0, queued(fd));
	close(fd);
	close(peer);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(life, a_device_is_disabled_and_enabled_under_traffic)
{
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT), fd, i;
	struct sockaddr_emt to = other(self->h, 0);
	char buf[64];
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		fd = emt_socket_of(&self->h[0], SOCK_RDM);
		for (;;)
			if (emt_sendto(fd, self->big, 20000, 0, &to) < 0)
				usleep(100);
	}
	for (i = 0; i < 30; i++) {
		int side = i & 1;

		ASSERT_LE(0, emt_recv(peer, buf, sizeof(buf), 0));
		while (emt_recv(peer, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			;
		ASSERT_EQ(0, emt_disable(self->h[side].ctl, self->h[side].ifindex));
		ASSERT_EQ(0, emt_enable(self->h[side].ctl, self->h[side].ifindex));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(peer);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(life, a_namespace_ends_within_the_user_timeout)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT), timeout = 1000;
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);

	ASSERT_EQ(0, setsockopt(fd, SOL_EMT, EMT_USER_TIMEOUT, &timeout, sizeof(timeout)));
	fill(fd, &to, self->big);
	/* Nobody answers from now on. */
	netns_enter(self->h[1].netns);
	link_up(EMT_DEV, false);
	close(fd);
	host_free(&self->h[0]);
	/* Its end of the wire takes the other with it. */
	netns_enter(self->h[1].netns);
	EXPECT_EQ(true, wait_for(is_gone, EMT_DEV));
	close(peer);
	host_free(&self->h[1]);
}

TEST_F(life, a_namespace_of_a_receiver_ends_in_mid_message)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);

	sock_set(fd, SO_SNDBUFFORCE, 64 << 20);
	ASSERT_EQ(BIG, emt_sendto(fd, self->big, BIG, MSG_DONTWAIT, &to));
	ASSERT_EQ(BIG, emt_sendto(fd, self->big, BIG, MSG_DONTWAIT, &to));
	close(peer);
	host_free(&self->h[1]);
	netns_enter(self->h[0].netns);
	EXPECT_EQ(true, wait_for(is_gone, EMT_DEV));
	EXPECT_EQ(true, wait_for(is_empty, &fd));
	EXPECT_NE(0, sock_get(fd, SO_ERROR));
	close(fd);
	host_free(&self->h[0]);
}

TEST_F(life, what_was_sent_before_closing_arrives)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT), i;
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);
	char *buf = malloc(300000);

	sock_set(fd, SO_SNDBUFFORCE, 4 << 20);
	for (i = 0; i < 5; i++)
		ASSERT_EQ(300000, emt_sendto(fd, self->big, 300000, 0, &to));
	close(fd);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(300000, emt_recv(peer, buf, 300000, 0));
	free(buf);
	close(peer);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(life, a_receiver_that_closes_refuses_what_is_under_way)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);
	struct pollfd p = { .fd = fd };

	fill(fd, &to, self->big);
	EXPECT_LT(0, queued(fd));
	close(peer);
	EXPECT_EQ(1, poll(&p, 1, 1000 * EMT_WAIT_S));
	EXPECT_EQ(POLLERR, p.revents & POLLERR);
	EXPECT_EQ(ECONNREFUSED, sock_get(fd, SO_ERROR));
	EXPECT_EQ(true, wait_for(is_empty, &fd));
	close(fd);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(life, a_peer_can_be_asked_about)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);
	struct emt_peerreq req = { .ifindex = self->h[0].ifindex, .halen = ETH_ALEN };
	char buf[8];

	memcpy(req.addr, self->h[1].mac, ETH_ALEN);
	EXPECT_ERRNO(ENOENT, ioctl(fd, SIOCEMTGETPEER, &req));
	ASSERT_EQ(3, emt_sendto(fd, "abc", 3, 0, &to));
	ASSERT_EQ(3, emt_recv(peer, buf, sizeof(buf), 0));
	EXPECT_EQ(true, wait_for(is_empty, &fd));
	ASSERT_EQ(0, ioctl(fd, SIOCEMTGETPEER, &req));
	EXPECT_EQ(EMT_PEER_OPEN, req.state);
	EXPECT_LT(0, req.rtt);
	EXPECT_GT(30ull * 1000 * 1000 * 1000, req.rtt);
	EXPECT_LT(0, req.age);
	EXPECT_GE(req.age, req.silence);
	EXPECT_EQ(0, req.tx_messages + req.tx_waiting + req.tx_parked + req.rx_messages);
	fill(fd, &to, self->big);
	ASSERT_EQ(0, ioctl(fd, SIOCEMTGETPEER, &req));
	EXPECT_LT(0, req.tx_messages + req.tx_parked);
	req.halen = 5;
	EXPECT_ERRNO(EINVAL, ioctl(fd, SIOCEMTGETPEER, &req));
	req.halen = ETH_ALEN;
	req.reserved[1] = 1;
	EXPECT_ERRNO(EINVAL, ioctl(fd, SIOCEMTGETPEER, &req));
	req.reserved[1] = 0;
	req.ifindex = 9999;
	EXPECT_ERRNO(ENODEV, ioctl(fd, SIOCEMTGETPEER, &req));
	EXPECT_ERRNO(EFAULT, ioctl(fd, SIOCEMTGETPEER, NULL));
	close(fd);
	close(peer);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(life, messages_can_be_limited)
{
	int fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sockaddr_emt to = other(self->h, 0);
	struct emt_limits limits;
	struct pollfd p = { .fd = fd };

	ASSERT_EQ(0, ioctl(fd, SIOCEMTGETLIMITS, &limits));
	EXPECT_EQ(16 << 20, limits.max_message);
	EXPECT_EQ(0, limits.reserved);
	limits.max_message = 0;
	EXPECT_ERRNO(EINVAL, ioctl(fd, SIOCEMTSETLIMITS, &limits));
	limits.max_message = (1 << 30) + 1;
	EXPECT_ERRNO(EINVAL, ioctl(fd, SIOCEMTSETLIMITS, &limits));
	limits.max_message = 10000;
	limits.reserved = 1;
	EXPECT_ERRNO(EINVAL, ioctl(fd, SIOCEMTSETLIMITS, &limits));
	limits.reserved = 0;
	/* The receiver's limit, and then the sender's. */
	ASSERT_EQ(0, ioctl(peer, SIOCEMTSETLIMITS, &limits));
	ASSERT_EQ(10001, emt_sendto(fd, self->big, 10001, 0, &to));
	EXPECT_EQ(1, poll(&p, 1, 1000 * EMT_WAIT_S));
	EXPECT_EQ(EMSGSIZE, sock_get(fd, SO_ERROR));
	ASSERT_EQ(0, ioctl(fd, SIOCEMTSETLIMITS, &limits));
	EXPECT_EQ(-EMSGSIZE, emt_sendto(fd, self->big, 10001, 0, &to));
	EXPECT_EQ(10000, emt_sendto(fd, self->big, 10000, 0, &to));
	EXPECT_EQ(10000, emt_recv(peer, self->big, BIG, 0));
	cap_drop(CAP_NET_ADMIN);
	EXPECT_ERRNO(EPERM, ioctl(fd, SIOCEMTSETLIMITS, &limits));
	close(fd);
	close(peer);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_HARNESS_MAIN
