// SPDX-License-Identifier: GPL-2.0
/* How EMT sockets for reliable messages tell what has become of them. */
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/errqueue.h>

#include "emt_test.h"

#define PORT	5000

FIXTURE(errors)
{
	struct host h[2];
	int fd;
	struct sockaddr_emt to;
};

FIXTURE_SETUP(errors)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->fd = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, PORT);
}

FIXTURE_TEARDOWN(errors)
{
	close(self->fd);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

static int option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_EMT, name, &value, sizeof(value)) ? errno : 0;
}

static int value_of(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	if (getsockopt(fd, SOL_EMT, name, &value, &len) || len != sizeof(value))
		return -1;
	return value;
}

static int send_with_cookie(int fd, const struct sockaddr_emt *to, const void *buf, size_t len,
			    __u32 cookie)
{
	char control[CMSG_SPACE(sizeof(cookie))] = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = sizeof(*to),
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_EMT;
	cmsg->cmsg_type = EMT_COOKIE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(cookie));
	memcpy(CMSG_DATA(cmsg), &cookie, sizeof(cookie));
	return sendmsg(fd, &msg, 0) < 0 ? -errno : (int)len;
}

/* Waits until the error queue has something, or an error is reported. */
static bool wait_error(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 1000 * EMT_WAIT_S) == 1 && p.revents & POLLERR;
}

static bool take_event(int fd, struct sock_extended_err *ee, struct sockaddr_emt *name)
{
	char control[512];
	struct msghdr msg = {
		.msg_name = name, .msg_namelen = sizeof(*name),
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;

	if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	if (!(msg.msg_flags & MSG_ERRQUEUE))
		return false;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_EMT || cmsg->cmsg_type != EMT_RECVERR)
			continue;
		memcpy(ee, CMSG_DATA(cmsg), sizeof(*ee));
		/* The address is there as well. */
		return !memcmp(SO_EE_OFFENDER((struct sock_extended_err *)CMSG_DATA(cmsg)), name,
			       sizeof(*name));
	}
	return false;
}

TEST_F(errors, options_have_values_and_bounds)
{
	EXPECT_EQ(0, value_of(self->fd, EMT_RECVERR));
	EXPECT_EQ(0, option(self->fd, EMT_RECVERR, 1));
	EXPECT_EQ(1, value_of(self->fd, EMT_RECVERR));
	EXPECT_EQ(EINVAL, option(self->fd, EMT_RECVERR, 2));
	EXPECT_EQ(0, option(self->fd, EMT_NOTIFY, 1));
	EXPECT_EQ(1, value_of(self->fd, EMT_NOTIFY));
	EXPECT_EQ(10000, value_of(self->fd, EMT_USER_TIMEOUT));
	EXPECT_EQ(EINVAL, option(self->fd, EMT_USER_TIMEOUT, 0));
	EXPECT_EQ(0, option(self->fd, EMT_USER_TIMEOUT, 1234));
	EXPECT_EQ(1234, value_of(self->fd, EMT_USER_TIMEOUT));
	EXPECT_EQ(ENOPROTOOPT, option(self->fd, 99, 1));
	EXPECT_EQ(-1, value_of(self->fd, 99));
}

TEST_F(errors, a_closed_port_refuses)
{
	ASSERT_EQ(3, emt_sendto(self->fd, "abc", 3, 0, &self->to));
	ASSERT_TRUE(wait_error(self->fd));
	EXPECT_EQ(ECONNREFUSED, sock_get(self->fd, SO_ERROR));
	EXPECT_EQ(0, sock_get(self->fd, SO_ERROR));
}

TEST_F(errors, nobody_at_all_is_unreachable)
{
	struct sockaddr_emt nobody = self->to;

	nobody.semt_addr[5] ^= 0x40;
	ASSERT_EQ(0, option(self->fd, EMT_USER_TIMEOUT, 500));
	ASSERT_EQ(3, emt_sendto(self->fd, "abc", 3, 0, &nobody));
	ASSERT_TRUE(wait_error(self->fd));
	EXPECT_EQ(EHOSTUNREACH, sock_get(self->fd, SO_ERROR));
}

TEST_F(errors, a_device_that_is_disabled_ends_what_is_under_way)
{
	struct sockaddr_emt nobody = self->to;

	nobody.semt_addr[5] ^= 0x40;
	ASSERT_EQ(3, emt_sendto(self->fd, "abc", 3, 0, &nobody));
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	ASSERT_TRUE(wait_error(self->fd));
	EXPECT_EQ(ENETDOWN, sock_get(self->fd, SO_ERROR));
	EXPECT_EQ(-ENODEV, emt_sendto(self->fd, "abc", 3, 0, &self->to));
}

TEST_F(errors, the_queue_says_which_message_has_failed)
{
	struct sock_extended_err ee = { 0 };
	struct sockaddr_emt name;

	ASSERT_EQ(0, option(self->fd, EMT_RECVERR, 1));
	ASSERT_EQ(3, send_with_cookie(self->fd, &self->to, "abc", 3, 0xdeadbeef));
	ASSERT_TRUE(wait_error(self->fd));
	ASSERT_TRUE(take_event(self->fd, &ee, &name));
	EXPECT_EQ(ECONNREFUSED, ee.ee_errno);
	EXPECT_EQ(SO_EE_ORIGIN_LOCAL, ee.ee_origin);
	EXPECT_EQ(EMT_EE_FAILED, ee.ee_type);
	EXPECT_EQ(3, ee.ee_info);
	EXPECT_EQ(0xdeadbeef, ee.ee_data);
	EXPECT_EQ(0, memcmp(&name, &self->to, sizeof(name)));
	EXPECT_EQ(ECONNREFUSED, sock_get(self->fd, SO_ERROR));
	EXPECT_FALSE(take_event(self->fd, &ee, &name));
}

TEST_F(errors, a_notice_says_that_a_message_has_arrived)
{
	int peer = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	struct sock_extended_err ee = { 0 };
	struct sockaddr_emt name;
	char buf[8];

	ASSERT_EQ(0, option(self->fd, EMT_NOTIFY, 1));
	ASSERT_EQ(3, send_with_cookie(self->fd, &self->to, "abc", 3, 7));
	ASSERT_TRUE(wait_error(self->fd));
	ASSERT_TRUE(take_event(self->fd, &ee, &name));
	EXPECT_EQ(0, ee.ee_errno);
	EXPECT_EQ(EMT_EE_DELIVERED, ee.ee_type);
	EXPECT_EQ(7, ee.ee_data);
	/* The receiving socket had it before. */
	EXPECT_EQ(3, emt_recv(peer, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, sock_get(self->fd, SO_ERROR));
	close(peer);
}

TEST_F(errors, a_malformed_cookie_is_refused)
{
	char control[CMSG_SPACE(8)] = { 0 };
	struct iovec iov = { "abc", 3 };
	struct msghdr msg = {
		.msg_name = &self->to, .msg_namelen = sizeof(self->to), .msg_iov = &iov,
		.msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_EMT;
	cmsg->cmsg_type = EMT_COOKIE;
	cmsg->cmsg_len = CMSG_LEN(8);
	EXPECT_ERRNO(EINVAL, sendmsg(self->fd, &msg, 0));
}

TEST_HARNESS_MAIN
