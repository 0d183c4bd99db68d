// SPDX-License-Identifier: GPL-2.0
/*
 * Readiness of EMT datagram sockets: poll, epoll, shutdown, full buffers, and
 * the loss of a device.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>

#include <linux/sockios.h>

#include "emt_test.h"

#define LO	1	/* the loopback's index in every namespace */

FIXTURE(poll)
{
	struct host h[2];
	int a, b;		/* a is connected to b, port 5000 */
	struct sockaddr_emt to;	/* b as a sees it */
	int epfd;
};

FIXTURE_SETUP(poll)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->a = emt_socket(&self->h[0]);
	self->b = emt_bound(&self->h[1], 0, 5000);
	self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epfd);
}

FIXTURE_TEARDOWN(poll)
{
	close(self->epfd);
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

#define ALL	(POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)

/* What is ready now; POLLERR and POLLHUP come unasked. */
static int ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = ALL };

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents;
}

/* Waits until one of @events is ready; what is, or 0. */
static int wait_ready(int fd, int events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, EMT_WAIT_S * 1000) == 1 ? pfd.revents : 0;
}

static int epoll_ready(int epfd)
{
	struct epoll_event ev;

	return epoll_wait(epfd, &ev, 1, 0) == 1 ? (int)ev.events : 0;
}

#define OUT	(POLLOUT | POLLWRNORM)
#define IN	(POLLIN | POLLRDNORM)

TEST_F(poll, new_socket_is_writable_only)
{
	int fd = emt_socket(&self->h[0]);

	EXPECT_EQ(OUT, ready(fd));
	EXPECT_EQ(OUT, ready(self->a));
	EXPECT_EQ(OUT, ready(self->b));
	close(fd);
}

TEST_F(poll, socket_is_readable_while_datagrams_wait)
{
	char buf[8];

	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(0, send(self->a, "", 0, 0));
	EXPECT_EQ(POLLIN, wait_ready(self->b, POLLIN));
	EXPECT_EQ(IN | OUT, ready(self->b));
	ASSERT_EQ(1, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(IN | OUT, ready(self->b));
	ASSERT_EQ(0, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(OUT, ready(self->b));
}

TEST_F(poll, poller_wakes_when_a_datagram_comes)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(wait_ready(self->b, POLLIN) == POLLIN ? 7 : 1);
	usleep(10000);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(7, WEXITSTATUS(status));
}

TEST_F(poll, epoll_level_triggered_repeats)
{
	struct epoll_event ev = { .events = EPOLLIN };
	char buf[8];

	ASSERT_EQ(0, epoll_ctl(self->epfd, EPOLL_CTL_ADD, self->b, &ev));
	EXPECT_EQ(0, epoll_ready(self->epfd));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(EPOLLIN, wait_ready(self->b, POLLIN));
	EXPECT_EQ(EPOLLIN, epoll_ready(self->epfd));
	EXPECT_EQ(EPOLLIN, epoll_ready(self->epfd));
	ASSERT_EQ(1, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(0, epoll_ready(self->epfd));
}

TEST_F(poll, epoll_edge_triggered_tells_each_arrival_once)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	char buf[8];

	ASSERT_EQ(0, epoll_ctl(self->epfd, EPOLL_CTL_ADD, self->b, &ev));
	EXPECT_EQ(0, epoll_ready(self->epfd));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(POLLIN, wait_ready(self->b, POLLIN));
	EXPECT_EQ(EPOLLIN, epoll_ready(self->epfd));
	EXPECT_EQ(0, epoll_ready(self->epfd));
	/* Another arrival is another edge, though the first was not read. */
	ASSERT_EQ(1, send(self->a, "y", 1, 0));
	EXPECT_EQ(1, epoll_wait(self->epfd, &ev, 1, EMT_WAIT_S * 1000));
	EXPECT_EQ(0, epoll_ready(self->epfd));
	ASSERT_EQ(1, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(0, epoll_ready(self->epfd));
}

TEST_F(poll, shutdown_needs_a_peer_and_a_direction)
{
	EXPECT_ERRNO(ENOTCONN, shutdown(self->b, SHUT_RD));
	EXPECT_ERRNO(ENOTCONN, shutdown(self->b, SHUT_WR));
	EXPECT_ERRNO(ENOTCONN, shutdown(self->b, SHUT_RDWR));
	EXPECT_ERRNO(EINVAL, shutdown(self->a, 3));
	EXPECT_ERRNO(EINVAL, shutdown(self->a, -1));
}

TEST_F(poll, shut_for_writing_sends_no_more_but_hears)
{
	struct sockaddr_emt back = emt_addr(self->h[1].ifindex, self->h[0].mac, emt_port(self->a));
	char buf[8];

	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(-EPIPE, emt_sendto(self->a, "x", 1, 0, NULL));
	EXPECT_EQ(-EPIPE, emt_sendto(self->a, "x", 1, 0, &self->to));
	EXPECT_EQ(0, ready(self->a) & (POLLHUP | POLLRDHUP | POLLIN));
	ASSERT_EQ(2, emt_sendto(self->b, "hi", 2, 0, &back));
	EXPECT_EQ(2, emt_recv(self->a, buf, sizeof(buf), 0));
}

TEST_F(poll, shut_for_reading_gives_what_waits_and_then_ends)
{
	struct sockaddr_emt back = emt_addr(self->h[1].ifindex, self->h[0].mac, emt_port(self->a));
	struct emt_stats before;
	char buf[8];

	ASSERT_EQ(2, emt_sendto(self->b, "hi", 2, 0, &back));
	ASSERT_EQ(POLLIN, wait_ready(self->a, POLLIN));
	ASSERT_EQ(0, shutdown(self->a, SHUT_RD));
	EXPECT_EQ(IN | OUT | POLLRDHUP, ready(self->a));

	before = emt_stats(&self->h[0], self->h[0].ifindex);
	ASSERT_EQ(4, emt_sendto(self->b, "late", 4, 0, &back));
	EXPECT_EQ(true, stats_grew_only(&self->h[0], self->h[0].ifindex, &before,
					STAT(rx_no_socket), 1));

	EXPECT_EQ(2, emt_recv(self->a, buf, sizeof(buf), 0));
	EXPECT_EQ(0, emt_recv(self->a, buf, sizeof(buf), 0));
	EXPECT_EQ(0, emt_recv(self->a, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(IN | OUT | POLLRDHUP, ready(self->a));
	EXPECT_EQ(1, send(self->a, "x", 1, 0));
}

TEST_F(poll, shut_both_ways_hangs_up)
{
	char buf[8];

	ASSERT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP,
		  ready(self->a) & (POLLIN | POLLRDHUP | POLLHUP | POLLERR));
	EXPECT_EQ(0, emt_recv(self->a, buf, sizeof(buf), 0));
	EXPECT_EQ(-EPIPE, emt_sendto(self->a, "x", 1, 0, NULL));
	/* Told even to who asks for nothing. */
	EXPECT_EQ(POLLHUP, wait_ready(self->a, 0));
}

TEST_F(poll, shutdown_wakes_a_blocked_receiver)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		char buf[8];
		ssize_t n = recv(self->a, buf, sizeof(buf), 0);

		_exit(n == 0 ? 7 : 1);
	}
	usleep(10000);
	ASSERT_EQ(0, shutdown(self->a, SHUT_RD));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(7, WEXITSTATUS(status));
}

TEST_F(poll, full_receive_buffer_drops_and_recovers)
{
	struct emt_stats before = emt_stats(&self->h[1], self->h[1].ifindex), after;
	int round, i, got, sent = 500, size = 1000;
	static char buf[1000];

	sock_set(self->b, SO_RCVBUF, 16384);
	for (round = 1; round <= 3; round++) {
		for (i = 0; i < sent; i++)
			ASSERT_EQ(size, send(self->a, buf, size, 0));
		for (got = 0; emt_recv(self->b, buf, size, MSG_DONTWAIT) == size; got++)
			;
		after = emt_stats(&self->h[1], self->h[1].ifindex);
		/* By truesize, so fewer than fit by length, but not hardly any. */
		EXPECT_LE(4, got);
		EXPECT_GE(33, got);
		EXPECT_EQ(got, after.rx_packets - before.rx_packets);
		EXPECT_EQ(sent - got, after.rx_queue_full - before.rx_queue_full);
		before = after;
	}
	ASSERT_EQ(5, send(self->a, "hello", 5, 0));
	EXPECT_EQ(5, emt_recv(self->b, buf, sizeof(buf), 0));
}

TEST_F(poll, full_receive_buffer_of_one_socket_leaves_the_others)
{
	struct sockaddr_emt other = emt_addr(self->h[0].ifindex, self->h[1].mac, 5001);
	int b2 = emt_bound(&self->h[1], 0, 5001), i;
	static char buf[1000];

	sock_set(self->b, SO_RCVBUF, 1);
	for (i = 0; i < 100; i++)
		ASSERT_EQ(sizeof(buf), send(self->a, buf, sizeof(buf), 0));
	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &other));
	EXPECT_EQ(5, emt_recv(b2, buf, sizeof(buf), 0));
	close(b2);
}

/*
 * Makes the host's device pass one packet in ten seconds; false if that cannot
 * be had. By netem's slots: its rate and delay take packets from their socket.
 */
static bool slow_device(struct host *h)
{
	netns_enter(h->netns);
	return !system("tc qdisc add dev " EMT_DEV " root netem slot 10s 10s packets 1");
}

/* Frees what the device still held. */
static bool fast_device(struct host *h)
{
	netns_enter(h->netns);
	return !system("tc qdisc del dev " EMT_DEV " root");
}

TEST_F(poll, full_send_buffer_pushes_back_and_drains)
{
	struct timeval tv = { .tv_usec = 50000 };
	static char buf[1000];
	int n, outq, last, i;

	if (!slow_device(&self->h[0]))
		SKIP(return, "no slow device: tc and CONFIG_NET_SCH_NETEM are needed");
	sock_set(self->a, SO_SNDBUF, 10000);
	for (i = 0; i < 1000; i++) {
		n = emt_sendto(self->a, buf, sizeof(buf), MSG_DONTWAIT, NULL);
		if (n < 0)
			break;
	}
	EXPECT_EQ(-EAGAIN, n);
	EXPECT_LE(2, i);
	EXPECT_GE(40, i);
	EXPECT_EQ(0, ready(self->a) & OUT);
	ASSERT_EQ(0, ioctl(self->a, SIOCOUTQ, &outq));
	EXPECT_LE(i / 2 * (int)sizeof(buf), outq);

	/* A blocking send gives up after its timeout, still with EAGAIN. */
	ASSERT_EQ(0, setsockopt(self->a, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	EXPECT_EQ(-EAGAIN, emt_sendto(self->a, buf, sizeof(buf), 0, NULL));

	/* Once the device lets go of them, it is writable. */
	ASSERT_EQ(true, fast_device(&self->h[0]));
	EXPECT_EQ(POLLOUT, wait_ready(self->a, POLLOUT));
	EXPECT_EQ(sizeof(buf), emt_sendto(self->a, buf, sizeof(buf), MSG_DONTWAIT, NULL));
	last = time(NULL) + EMT_WAIT_S;
	do {
		ASSERT_EQ(0, ioctl(self->a, SIOCOUTQ, &outq));
		usleep(1000);
	} while (outq && time(NULL) < last);
	EXPECT_EQ(0, outq);
}

TEST_F(poll, blocked_sender_wakes_when_there_is_room)
{
	static char buf[1000];
	int status;
	pid_t pid;

	if (!slow_device(&self->h[0]))
		SKIP(return, "no slow device: tc and CONFIG_NET_SCH_NETEM are needed");
	sock_set(self->a, SO_SNDBUF, 10000);
	while (emt_sendto(self->a, buf, sizeof(buf), MSG_DONTWAIT, NULL) > 0)
		;
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(send(self->a, buf, sizeof(buf), 0) == sizeof(buf) ? 7 : 1);
	usleep(10000);
	ASSERT_EQ(true, fast_device(&self->h[0]));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(7, WEXITSTATUS(status));
}

TEST_F(poll, queueing_discipline_that_drops_is_enobufs)
{
	struct emt_stats before, after;
	static char buf[1000];
	int i, n = 0;

	netns_enter(self->h[0].netns);
	if (system("tc qdisc add dev " EMT_DEV " root netem slot 10s 10s packets 1 limit 2"))
		SKIP(return, "no slow device: tc and CONFIG_NET_SCH_NETEM are needed");
	before = emt_stats(&self->h[0], self->h[0].ifindex);
	for (i = 0; i < 10 && n >= 0; i++)
		n = emt_sendto(self->a, buf, sizeof(buf), MSG_DONTWAIT, NULL);
	EXPECT_EQ(-ENOBUFS, n);
	after = emt_stats(&self->h[0], self->h[0].ifindex);
	EXPECT_EQ(1, after.tx_errors - before.tx_errors);
	EXPECT_EQ(i - 1, after.tx_packets - before.tx_packets);
}

/* A socket bound to exactly the device of host 0. */
static int bound_to_device(struct host *h)
{
	return emt_bound(h, h->ifindex, 6000);
}

TEST_F(poll, lost_device_is_an_error_told_once)
{
	int fd = bound_to_device(&self->h[0]), any = emt_bound(&self->h[0], 0, 6001);

	netns_enter(self->h[0].netns);
	link_del(EMT_DEV);
	EXPECT_EQ(POLLERR, wait_ready(fd, 0));
	EXPECT_EQ(ENETDOWN, sock_get(fd, SO_ERROR));
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	EXPECT_EQ(OUT, ready(fd));
	EXPECT_EQ(-ENODEV, emt_sendto(fd, "x", 1, 0, &self->to));

	/* Who is bound to every interface goes on with those that are left. */
	EXPECT_EQ(0, sock_get(any, SO_ERROR));
	EXPECT_EQ(-ENODEV, emt_sendto(self->a, "x", 1, 0, NULL));
	close(fd);
	close(any);
}

TEST_F(poll, disabled_device_wakes_a_blocked_receiver)
{
	int fd = bound_to_device(&self->h[0]), status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		char buf[8];
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		_exit(n < 0 ? errno : 200);
	}
	usleep(10000);
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(ENETDOWN, WEXITSTATUS(status));
	close(fd);
}

TEST_F(poll, device_that_moves_away_is_lost)
{
	int fd = bound_to_device(&self->h[0]), ns = netns_new();
	char name[64];
	socklen_t len = sizeof(name);

	netns_enter(self->h[0].netns);
	link_move(EMT_DEV, ns);
	EXPECT_EQ(POLLERR, wait_ready(fd, 0));
	EXPECT_EQ(ENETDOWN, sock_get(fd, SO_ERROR));
	/* The binding stays, and so does the port. */
	ASSERT_EQ(0, getsockname(fd, (void *)name, &len));
	EXPECT_EQ(6000, emt_port(fd));
	close(fd);
	close(ns);
}

TEST_F(poll, device_that_goes_down_is_not_lost)
{
	int fd = bound_to_device(&self->h[0]);

	netns_enter(self->h[0].netns);
	link_up(EMT_DEV, false);
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	EXPECT_EQ(-ENETDOWN, emt_sendto(fd, "x", 1, 0, &self->to));
	link_up(EMT_DEV, true);
	EXPECT_EQ(1, emt_sendto(fd, "x", 1, 0, &self->to));
	EXPECT_EQ(1, emt_recv(self->b, &(char){ 0 }, 1, 0));
	close(fd);
}

TEST_HARNESS_MAIN
