// SPDX-License-Identifier: GPL-2.0
/*
 * Socket options that act on each datagram: timestamps, marks, priorities,
 * overflow counts, filters; and control messages.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>

#include "emt_test.h"

#define LO	1	/* the loopback's index in every namespace */

FIXTURE(options)
{
	struct host h[2];
	int a, b;	/* a is connected to b, port 5000 */
};

FIXTURE_VARIANT(options)
{
	bool wire;
};

FIXTURE_VARIANT_ADD(options, wire) { .wire = true };
FIXTURE_VARIANT_ADD(options, loopback) { .wire = false };

FIXTURE_SETUP(options)
{
	struct sockaddr_emt to;

	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->a = emt_socket(&self->h[0]);
	self->b = emt_bound(&self->h[variant->wire], 0, 5000);
	to = variant->wire ? emt_addr(self->h[0].ifindex, self->h[1].mac, 5000) :
			     emt_addr(LO, emt_zero, 5000);
	ASSERT_EQ(0, emt_connect(self->a, &to));
}

FIXTURE_TEARDOWN(options)
{
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* A received message with its control messages. */
struct message {
	_Alignas(8) char control[1024];
	struct msghdr hdr;
	struct iovec iov;
	char data[2048];
};

static int message_recv(int fd, struct message *m, int flags)
{
	memset(m, 0, sizeof(*m));
	m->iov = (struct iovec){ m->data, sizeof(m->data) };
	m->hdr.msg_iov = &m->iov;
	m->hdr.msg_iovlen = 1;
	m->hdr.msg_control = m->control;
	m->hdr.msg_controllen = sizeof(m->control);
	return recvmsg(fd, &m->hdr, flags);
}

/* The data of the control message of that type, at least @len bytes, or NULL. */
static void *message_control(struct message *m, int level, int type, size_t len)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(&m->hdr); c; c = CMSG_NXTHDR(&m->hdr, c))
		if (c->cmsg_level == level && (type < 0 || c->cmsg_type == type) &&
		    c->cmsg_len >= CMSG_LEN(len))
			return CMSG_DATA(c);
	return NULL;
}

/* Sends "x" on @fd with one control message. */
static int send_control(int fd, int level, int type, const void *data, size_t len)
{
	_Alignas(8) char control[128] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr hdr = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = CMSG_SPACE(len),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	return sendmsg(fd, &hdr, 0) < 0 ? -errno : 1;
}

static bool is_now(long long sec)
{
	long long now = time(NULL);

	return sec <= now + 1 && sec >= now - EMT_WAIT_S;
}

TEST_F(options, nothing_is_told_that_was_not_asked_for)
{
	struct message m;

	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(1, message_recv(self->b, &m, 0));
	EXPECT_EQ(0, m.hdr.msg_controllen);
	EXPECT_EQ(0, m.hdr.msg_flags);
}

TEST_F(options, arrival_time_is_told)
{
	struct timespec *ns;
	struct timeval *us;
	struct message m;

	sock_set(self->b, SO_TIMESTAMP, 1);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(1, message_recv(self->b, &m, 0));
	us = message_control(&m, SOL_SOCKET, SO_TIMESTAMP, sizeof(*us));
	ASSERT_NE(NULL, us);
	EXPECT_EQ(true, is_now(us->tv_sec));

	sock_set(self->b, SO_TIMESTAMPNS, 1);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(1, message_recv(self->b, &m, 0));
	ns = message_control(&m, SOL_SOCKET, SO_TIMESTAMPNS, sizeof(*ns));
	ASSERT_NE(NULL, ns);
	EXPECT_EQ(true, is_now(ns->tv_sec));
}

TEST_F(options, arrival_time_is_told_by_so_timestamping)
{
	struct scm_timestamping *ts;
	struct message m;

	sock_set(self->b, SO_TIMESTAMPING,
		 SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(1, message_recv(self->b, &m, 0));
	ts = message_control(&m, SOL_SOCKET, SO_TIMESTAMPING, sizeof(*ts));
	ASSERT_NE(NULL, ts);
	EXPECT_EQ(true, is_now(ts->ts[0].tv_sec));
}

/* Waits for one transmit timestamp; returns its id, or -1 if it is malformed. */
static long tx_timestamp(int fd)
{
	struct pollfd pfd = { .fd = fd };
	struct sock_extended_err *ee;
	struct scm_timestamping *ts;
	struct message m;

	if (poll(&pfd, 1, EMT_WAIT_S * 1000) != 1 || !(pfd.revents & POLLERR)) {
		fprintf(stderr, "# no timestamp came\n");
		return -1;
	}
	if (message_recv(fd, &m, MSG_ERRQUEUE) < 0) {
		fprintf(stderr, "# MSG_ERRQUEUE: %s\n", strerror(errno));
		return -1;
	}
	ee = message_control(&m, SOL_EMT, -1, sizeof(*ee));
	ts = message_control(&m, SOL_SOCKET, SO_TIMESTAMPING, sizeof(*ts));
	if (!ee || !ts || !(m.hdr.msg_flags & MSG_ERRQUEUE)) {
		fprintf(stderr, "# error %p, timestamp %p, flags %#x\n", ee, ts,
			m.hdr.msg_flags);
		return -1;
	}
	if (ee->ee_errno != ENOMSG || ee->ee_origin != SO_EE_ORIGIN_TIMESTAMPING ||
	    !is_now(ts->ts[0].tv_sec)) {
		fprintf(stderr, "# errno %u, origin %u, second %ld\n", ee->ee_errno,
			ee->ee_origin, (long)ts->ts[0].tv_sec);
		return -1;
	}
	return ee->ee_data;
}

TEST_F(options, departure_time_comes_on_the_error_queue)
{
	struct message m;
	int i;

	sock_set(self->a, SO_TIMESTAMPING,
		 SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
		 SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, send(self->a, "x", 1, 0));
		EXPECT_EQ(i, tx_timestamp(self->a));
	}
	EXPECT_EQ(-1, message_recv(self->a, &m, MSG_ERRQUEUE));
	EXPECT_EQ(EAGAIN, errno);

	/* The error queue is no error of the socket. */
	EXPECT_EQ(0, sock_get(self->a, SO_ERROR));
	EXPECT_EQ(1, send(self->a, "x", 1, 0));
}

TEST_F(options, departure_time_is_asked_for_by_control_message)
{
	unsigned int flags = SOF_TIMESTAMPING_TX_SOFTWARE;

	sock_set(self->a, SO_TIMESTAMPING,
		 SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY);
	ASSERT_EQ(1, send_control(self->a, SOL_SOCKET, SO_TIMESTAMPING, &flags,
				  sizeof(flags)));
	EXPECT_LE(0, tx_timestamp(self->a));
}

TEST_F(options, control_messages_of_other_levels_are_ignored)
{
	int value = 1;

	EXPECT_EQ(1, send_control(self->a, SOL_EMT, 1, &value, sizeof(value)));
	EXPECT_EQ(1, emt_recv(self->b, &(char){ 0 }, 1, 0));
	EXPECT_EQ(1, send_control(self->a, 0, 1, &value, sizeof(value)));
	EXPECT_EQ(1, emt_recv(self->b, &(char){ 0 }, 1, 0));
}

TEST_F(options, control_messages_of_the_socket_level_are_checked)
{
	int value = 1;

	EXPECT_EQ(-EINVAL, send_control(self->a, SOL_SOCKET, 0x7000, &value, sizeof(value)));
	EXPECT_EQ(-EINVAL, send_control(self->a, SOL_SOCKET, SO_MARK, &value, 1));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, &(char){ 0 }, 1, MSG_DONTWAIT));
}

/*
 * The value that the next datagram brings for @option, or -1. Marks and
 * priorities are the host's own affair: a wire brings 0.
 */
static long brought(int fd, int option)
{
	unsigned int *value;
	struct message m;

	if (message_recv(fd, &m, 0) != 1)
		return -1;
	value = message_control(&m, SOL_SOCKET, option, sizeof(*value));
	return value ? *value : -1;
}

TEST_F(options, mark_goes_with_the_datagram)
{
	unsigned int mark = 0x2222;

	sock_set(self->b, SO_RCVMARK, 1);
	sock_set(self->a, SO_MARK, 0x1111);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(variant->wire ? 0 : 0x1111, brought(self->b, SO_MARK));
	ASSERT_EQ(1, send_control(self->a, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	EXPECT_EQ(variant->wire ? 0 : 0x2222, brought(self->b, SO_MARK));
}

TEST_F(options, priority_goes_with_the_datagram)
{
	unsigned int prio = 3;

	if (setsockopt(self->b, SOL_SOCKET, SO_RCVPRIORITY, &(int){ 1 }, sizeof(int)))
		SKIP(return, "SO_RCVPRIORITY: %s", strerror(errno));
	sock_set(self->a, SO_PRIORITY, 5);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(variant->wire ? 0 : 5, brought(self->b, SO_PRIORITY));
	ASSERT_EQ(1, send_control(self->a, SOL_SOCKET, SO_PRIORITY, &prio, sizeof(prio)));
	EXPECT_EQ(variant->wire ? 0 : 3, brought(self->b, SO_PRIORITY));
}

TEST_F(options, lost_datagrams_are_told)
{
	struct host *h = &self->h[variant->wire];
	int ifindex = variant->wire ? h->ifindex : LO;
	struct emt_stats before, after;
	unsigned int *lost = NULL;
	static char buf[1400];
	struct message m;
	int i, sent = 200, got = 0;

	sock_set(self->b, SO_RCVBUF, 1);
	sock_set(self->b, SO_RXQ_OVFL, 1);
	before = emt_stats(h, ifindex);
	for (i = 0; i < sent; i++)
		ASSERT_EQ(sizeof(buf), send(self->a, buf, sizeof(buf), 0));
	while (message_recv(self->b, &m, MSG_DONTWAIT) > 0)
		got++;
	EXPECT_LT(0, got);
	EXPECT_GT(sent, got);
	after = emt_stats(h, ifindex);
	EXPECT_EQ(got, after.rx_packets - before.rx_packets);
	EXPECT_EQ(sent - got, after.rx_queue_full - before.rx_queue_full);

	/* The next to arrive carries the count. */
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(1, message_recv(self->b, &m, 0));
	lost = message_control(&m, SOL_SOCKET, SO_RXQ_OVFL, sizeof(*lost));
	ASSERT_NE(NULL, lost);
	EXPECT_EQ(sent - got, *lost);
}

/* Accepts a datagram whose first payload byte is 'y'. */
static void filter_on_y(int fd)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		die("SO_ATTACH_FILTER");
}

TEST_F(options, filter_sees_the_payload_and_rejects)
{
	struct host *h = &self->h[variant->wire];
	int ifindex = variant->wire ? h->ifindex : LO;
	struct emt_stats before;
	char buf[8];

	filter_on_y(self->b);
	before = emt_stats(h, ifindex);
	ASSERT_EQ(2, send(self->a, "no", 2, 0));
	EXPECT_EQ(true, stats_grew_only(h, ifindex, &before, STAT(rx_filtered), 1));
	/* An empty datagram has no first byte: the load fails, which rejects. */
	before = emt_stats(h, ifindex);
	ASSERT_EQ(0, send(self->a, "", 0, 0));
	EXPECT_EQ(true, stats_grew_only(h, ifindex, &before, STAT(rx_filtered), 1));
	ASSERT_EQ(3, send(self->a, "yes", 3, 0));
	EXPECT_EQ(3, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp(buf, "yes", 3));

	ASSERT_EQ(0, setsockopt(self->b, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 },
				sizeof(int)));
	ASSERT_EQ(2, send(self->a, "no", 2, 0));
	EXPECT_EQ(2, emt_recv(self->b, buf, sizeof(buf), 0));
}

TEST_F(options, filter_may_shorten_the_datagram)
{
	struct sock_filter insns[] = { BPF_STMT(BPF_RET | BPF_K, 2) };
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };
	char buf[8];

	ASSERT_EQ(0, setsockopt(self->b, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
	ASSERT_EQ(5, send(self->a, "hello", 5, 0));
	EXPECT_EQ(2, emt_recv(self->b, buf, sizeof(buf), MSG_TRUNC));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, emt_recv(self->b, buf, sizeof(buf), MSG_TRUNC));
}

TEST_HARNESS_MAIN
