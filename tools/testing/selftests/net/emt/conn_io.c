// SPDX-License-Identifier: GPL-2.0
/* Connections of SOCK_STREAM: how bytes are sent and received. */
#include <signal.h>
#include <sys/uio.h>

#include "emt_test.h"
#include "emt_conn.h"

#define LONG	1048576

FIXTURE(io)
{
	struct conn c;
	int a, b;	/* both ends of a connection */
	unsigned char *out, *in;	/* LONG bytes each; out is a pattern */
};

FIXTURE_VARIANT(io)
{
	bool wire;
};

FIXTURE_VARIANT_ADD(io, wire) { .wire = true };
FIXTURE_VARIANT_ADD(io, one_host) { .wire = false };

FIXTURE_SETUP(io)
{
	struct conn *c = &self->c;
	union conn_addr to;

	REQUIRE_CONN(SOCK_STREAM);
	conn_begin_listening(c, SOCK_STREAM);
	if (variant->wire) {
		conn_pair(c, c->fd);
	} else {
		to = conn_addr(&c->h[0], &c->h[0], CONN_PORT);
		c->fd[1] = conn_socket(&c->h[0], SOCK_STREAM);
		ASSERT_EQ(0, conn_connect(c->fd[1], &to));
		c->fd[0] = accept(c->listener, NULL, NULL);
		ASSERT_LE(0, c->fd[0]);
		set_timeout(c->fd[0], SO_RCVTIMEO, EMT_WAIT_S * 1000);
	}
	self->a = c->fd[1];
	self->b = c->fd[0];
	self->out = malloc(LONG);
	self->in = calloc(1, LONG);
	pattern_at(self->out, LONG, 0, 1);
}

FIXTURE_TEARDOWN(io)
{
	EXPECT_EQ(true, conn_end(&self->c));
	free(self->out);
	free(self->in);
}

TEST_F(io, bytes_arrive_in_order)
{
	pid_t pid = CHILD(pattern_send(self->a, LONG, 1));

	EXPECT_EQ(true, pattern_recv(self->b, LONG, 1));
	EXPECT_EQ(0, ends(pid));
	pid = CHILD(pattern_send(self->b, LONG, 2));
	EXPECT_EQ(true, pattern_recv(self->a, LONG, 2));
	EXPECT_EQ(0, ends(pid));
}

TEST_F(io, both_directions_go_at_once)
{
	pid_t pid[3];
	int i;

	pid[0] = CHILD(pattern_send(self->a, LONG, 1));
	pid[1] = CHILD(pattern_send(self->b, LONG, 2));
	pid[2] = CHILD(pattern_recv(self->b, LONG, 1));
	EXPECT_EQ(true, pattern_recv(self->a, LONG, 2));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, ends(pid[i]));
}

static bool send_in_bytes(int fd, const unsigned char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (send(fd, buf + i, 1, 0) != 1)
			return false;
	return true;
}

TEST_F(io, writes_have_no_boundaries)
{
	pid_t pid;
	int i;

	pid = CHILD(send_in_bytes(self->a, self->out, 3000));
	ASSERT_EQ(2000, recv_all(self->b, self->in, 2000));
	ASSERT_EQ(1000, recv_all(self->b, self->in + 2000, 1000));
	EXPECT_EQ(0, memcmp(self->out, self->in, 3000));
	EXPECT_EQ(0, ends(pid));
	ASSERT_EQ(3000, send(self->a, self->out, 3000, 0));
	for (i = 0; i < 3000; i++)
		ASSERT_EQ(1, recv(self->b, self->in + i, 1, 0));
	EXPECT_EQ(0, memcmp(self->out, self->in, 3000));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_DONTWAIT));
}

TEST_F(io, nothing_is_sent_as_nothing)
{
	EXPECT_EQ(0, send(self->a, "", 0, 0));
	EXPECT_EQ(0, send(self->a, NULL, 0, MSG_DONTWAIT));
	EXPECT_EQ(0, write(self->a, "", 0));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_DONTWAIT));
	ASSERT_EQ(2, send(self->a, "hi", 2, 0));
	ASSERT_EQ(POLLIN, wait_ready(self->b, POLLIN));
	EXPECT_EQ(0, recv(self->b, self->in, 0, 0));
	EXPECT_EQ(2, recv(self->b, self->in, LONG, 0));
}

TEST_F(io, receiving_waits_as_long_as_it_may)
{
	struct call call;
	double start = seconds();

	set_timeout(self->b, SO_RCVTIMEO, 50);
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, 0));
	EXPECT_LE(0.04, seconds() - start);
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_DONTWAIT));
	set_nonblock(self->b, true);
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, 0));
	set_nonblock(self->b, false);
	set_timeout(self->b, SO_RCVTIMEO, 0);
	call_start(&call, do_recv, self->b);
	EXPECT_EQ(true, call_waits(&call));
	ASSERT_EQ(5, send(self->a, "hello", 5, 0));
	EXPECT_EQ(5, call_end(&call));
}

TEST_F(io, part_is_sent_when_there_is_no_room_for_all)
{
	pid_t pid;
	int n;

	sock_set(self->a, SO_SNDBUF, 50000);
	sock_set(self->b, SO_RCVBUF, 50000);
	n = send(self->a, self->out, LONG, MSG_DONTWAIT);
	ASSERT_LT(0, n);
	ASSERT_GT(LONG, n);
	n += fill(self->a, 1);
	EXPECT_ERRNO(EAGAIN, send(self->a, self->out, 1, MSG_DONTWAIT));
	EXPECT_EQ(0, ready(self->a) & POLLOUT);
	pid = CHILD(recv_all(self->b, self->in, n) == n);
	EXPECT_EQ(0, ends(pid));
	EXPECT_EQ(POLLOUT, wait_ready(self->a, POLLOUT));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_DONTWAIT));
}

TEST_F(io, a_blocking_send_sends_all)
{
	pid_t pid;

	sock_set(self->a, SO_SNDBUF, 20000);
	sock_set(self->b, SO_RCVBUF, 20000);
	pid = CHILD(send(self->a, self->out, LONG, 0) == LONG);
	wait_asleep(pid);
	EXPECT_EQ(true, recv_all(self->b, self->in, LONG) == LONG);
	EXPECT_EQ(0, memcmp(self->in, self->out, LONG));
	EXPECT_EQ(0, ends(pid));
}

TEST_F(io, sending_waits_as_long_as_it_may)
{
	double start;
	int n;

	sock_set(self->a, SO_SNDBUF, 20000);
	sock_set(self->b, SO_RCVBUF, 20000);
	set_timeout(self->a, SO_SNDTIMEO, 100);
	start = seconds();
	n = send(self->a, self->out, LONG, 0);
	EXPECT_LE(0.08, seconds() - start);
	EXPECT_LT(0, n);
	EXPECT_GT(LONG, n);
	n += fill(self->a, 1);
	start = seconds();
	EXPECT_ERRNO(EAGAIN, send(self->a, self->out, 1, 0));
	EXPECT_LE(0.08, seconds() - start);
	EXPECT_EQ(n, recv_all(self->b, self->in, n));
}

TEST_F(io, buffers_bound_what_is_under_way)
{
	int sndbuf, rcvbuf;
	long sent;

	NOT_FOR(AF_UNIX);
	sock_set(self->a, SO_SNDBUF, 30000);
	sock_set(self->b, SO_RCVBUF, 30000);
	sndbuf = sock_get(self->a, SO_SNDBUF);
	rcvbuf = sock_get(self->b, SO_RCVBUF);
	EXPECT_EQ(60000, sndbuf);
	sent = fill(self->a, 1000);
	EXPECT_LE(10000, sent);
	EXPECT_GE(sndbuf + rcvbuf + 10000, sent);
	EXPECT_GE(rcvbuf + 10000, inq(self->b));
	if (conn_family == AF_EMT) {
		EXPECT_GE(sndbuf + 1000, outq(self->a));
		EXPECT_EQ(sent, outq(self->a) + inq(self->b));
	}
	EXPECT_EQ(sent, recv_all(self->b, self->in, sent));
	EXPECT_EQ(true, wait_sent(self->a));
}

TEST_F(io, all_is_waited_for_if_asked)
{
	pid_t pid;

	pid = CHILD(recv(self->b, self->in, 10000, MSG_WAITALL) == 10000 &&
		    !memcmp(self->in, self->out, 10000));
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	wait_asleep(pid);
	ASSERT_EQ(9000, send(self->a, self->out + 100, 9000, 0));
	wait_asleep(pid);
	ASSERT_EQ(900, send(self->a, self->out + 9100, 900, 0));
	EXPECT_EQ(0, ends(pid));
	/* More than the receive buffer holds. */
	sock_set(self->b, SO_RCVBUF, 20000);
	pid = CHILD(send_all(self->a, self->out, LONG, 0) == LONG);
	EXPECT_EQ(LONG, recv(self->b, self->in, LONG, MSG_WAITALL));
	EXPECT_EQ(0, memcmp(self->in, self->out, LONG));
	EXPECT_EQ(0, ends(pid));
}

TEST_F(io, waiting_for_all_ends_with_the_stream)
{
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(100, recv(self->b, self->in, 1000, MSG_WAITALL));
	EXPECT_EQ(0, recv(self->b, self->in, 1000, MSG_WAITALL));
	/* Or with the time it has. */
	set_timeout(self->a, SO_RCVTIMEO, 100);
	ASSERT_EQ(100, send(self->b, self->out, 100, 0));
	EXPECT_EQ(100, recv(self->a, self->in, 1000, MSG_WAITALL));
	ASSERT_EQ(100, send(self->b, self->out, 100, 0));
	EXPECT_EQ(100, recv(self->a, self->in, 1000, MSG_WAITALL | MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, recv(self->a, self->in, 1000, MSG_WAITALL));
}

TEST_F(io, peeking_takes_nothing)
{
	int i;

	/* Over many packets. */
	for (i = 0; i < 10; i++)
		ASSERT_EQ(2000, send(self->a, self->out + 2000 * i, 2000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 20000));
	for (i = 0; i < 2; i++) {
		memset(self->in, 0, 20000);
		ASSERT_EQ(20000, recv(self->b, self->in, LONG, MSG_PEEK));
		EXPECT_EQ(0, memcmp(self->in, self->out, 20000));
		ASSERT_EQ(3000, recv(self->b, self->in, 3000, MSG_PEEK));
	}
	EXPECT_EQ(20000, inq(self->b));
	/* From where it is read. */
	ASSERT_EQ(2500, recv(self->b, self->in, 2500, 0));
	ASSERT_EQ(17500, recv(self->b, self->in, LONG, MSG_PEEK));
	EXPECT_EQ(0, memcmp(self->in, self->out + 2500, 17500));
	ASSERT_EQ(17500, recv_all(self->b, self->in, 17500));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(self->in, self->out + 2500, 17500));
}

TEST_F(io, peeking_may_go_on_from_where_it_was)
{
	int i;

	if (setsockopt(self->b, SOL_SOCKET, SO_PEEK_OFF, &(int){ 0 }, sizeof(int)))
		SKIP(return, "no SO_PEEK_OFF: %s", strerror(errno));
	EXPECT_EQ(0, sock_get(self->b, SO_PEEK_OFF));
	ASSERT_EQ(6000, send(self->a, self->out, 6000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 6000));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1700, recv(self->b, self->in, 1700, MSG_PEEK));
		EXPECT_EQ(0, memcmp(self->in, self->out + 1700 * i, 1700));
		EXPECT_EQ(1700 * (i + 1), sock_get(self->b, SO_PEEK_OFF));
	}
	/* What is read is no longer before it. */
	ASSERT_EQ(1000, recv(self->b, self->in, 1000, 0));
	EXPECT_EQ(4100, sock_get(self->b, SO_PEEK_OFF));
	ASSERT_EQ(900, recv(self->b, self->in, 1700, MSG_PEEK));
	EXPECT_EQ(0, memcmp(self->in, self->out + 5100, 900));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_PEEK | MSG_DONTWAIT));
	ASSERT_EQ(5000, recv_all(self->b, self->in, 5000));
	EXPECT_EQ(0, sock_get(self->b, SO_PEEK_OFF));
	sock_set(self->b, SO_PEEK_OFF, -1);
	ASSERT_EQ(10, send(self->a, self->out, 10, 0));
	ASSERT_EQ(10, recv(self->b, self->in, 10, MSG_PEEK));
	ASSERT_EQ(10, recv(self->b, self->in, 10, MSG_PEEK));
}

TEST_F(io, bytes_may_be_thrown_away)
{
	NOT_FOR(AF_UNIX);
	ASSERT_EQ(10000, send(self->a, self->out, 10000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 10000));
	memset(self->in, 0xaa, 4000);
	EXPECT_EQ(4000, recv(self->b, self->in, 4000, MSG_TRUNC));
	EXPECT_EQ(0xaa, self->in[0]);
	EXPECT_EQ(0xaa, self->in[3999]);
	EXPECT_EQ(100, recv(self->b, NULL, 100, MSG_TRUNC));
	EXPECT_EQ(5900, inq(self->b));
	ASSERT_EQ(5900, recv(self->b, self->in, LONG, 0));
	EXPECT_EQ(0, memcmp(self->in, self->out + 4100, 5900));
}

TEST_F(io, receiving_waits_for_as_many_as_are_wanted)
{
	pid_t pid;

	sock_set(self->b, SO_RCVLOWAT, 300);
	EXPECT_EQ(300, sock_get(self->b, SO_RCVLOWAT));
	pid = CHILD(recv(self->b, self->in, 1000, 0) == 450);
	ASSERT_EQ(150, send(self->a, self->out, 150, 0));
	wait_asleep(pid);
	ASSERT_EQ(300, send(self->a, self->out, 300, 0));
	EXPECT_EQ(0, ends(pid));
	/* Not for more than there is room for, and not if it must not wait. */
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	ASSERT_EQ(100, recv(self->b, self->in, 100, 0));
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	ASSERT_EQ(true, wait_inq(self->b, 100));
	EXPECT_EQ(100, recv(self->b, self->in, 1000, MSG_DONTWAIT));
	/* And not past the end. */
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(100, recv(self->b, self->in, 1000, 0));
	EXPECT_EQ(0, recv(self->b, self->in, 1000, 0));
}

TEST_F(io, bytes_unread_and_unsent_are_counted)
{
	EXPECT_EQ(0, inq(self->b));
	EXPECT_EQ(0, outq(self->a));
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	ASSERT_EQ(5000, send(self->a, self->out, 5000, 0));
	EXPECT_EQ(true, wait_inq(self->b, 5100));
	if (conn_family != AF_UNIX) {
		/* Unread, but the peer's socket has them. */
		EXPECT_EQ(true, wait_sent(self->a));
	}
	ASSERT_EQ(600, recv(self->b, self->in, 600, 0));
	EXPECT_EQ(4500, inq(self->b));
	ASSERT_EQ(4500, recv_all(self->b, self->in, 4500));
	EXPECT_EQ(0, inq(self->b));
	EXPECT_EQ(true, wait_sent(self->a));
}

TEST_F(io, several_buffers_are_one_write)
{
	struct iovec out[4] = {
		{ self->out, 700 }, { self->out + 700, 0 },
		{ self->out + 700, 1 }, { self->out + 701, 5000 },
	};
	struct iovec in[3] = {
		{ self->in, 3 }, { self->in + 3, 4000 }, { self->in + 4003, LONG - 4003 },
	};

	ASSERT_EQ(5701, writev(self->a, out, 4));
	ASSERT_EQ(true, wait_inq(self->b, 5701));
	ASSERT_EQ(5701, readv(self->b, in, 3));
	EXPECT_EQ(0, memcmp(self->in, self->out, 5701));
}

TEST_F(io, bad_memory_costs_no_bytes)
{
	unsigned char *hole = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec in[2] = { { self->in, 1000 }, { NULL, 1000 } };
	int n;

	ASSERT_EQ(0, munmap(hole + 4096, 4096));
	ASSERT_EQ(3000, send(self->a, self->out, 3000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 3000));
	EXPECT_ERRNO(EFAULT, recv(self->b, NULL, 1000, 0));
	EXPECT_EQ(3000, inq(self->b));
	/* What could be read before it may be the result. */
	n = readv(self->b, in, 2);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		n = 0;
	}
	ASSERT_EQ(3000 - n, inq(self->b));
	ASSERT_EQ(3000 - n, recv_all(self->b, self->in + n, 3000 - n));
	EXPECT_EQ(0, memcmp(self->in, self->out, 3000));

	/* And the same with sending. */
	EXPECT_ERRNO(EFAULT, send(self->a, NULL, 1000, 0));
	memcpy(hole, self->out, 4096);
	n = send(self->a, hole, 3 * 4096, 0);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		n = 0;
	}
	EXPECT_GE(4096, n);
	ASSERT_EQ(10, send(self->a, "and beyond", 10, 0));
	ASSERT_EQ(true, wait_inq(self->b, n + 10));
	ASSERT_EQ(n + 10, recv_all(self->b, self->in, n + 10));
	EXPECT_EQ(0, memcmp(self->in, self->out, n));
	EXPECT_EQ(0, memcmp(self->in + n, "and beyond", 10));
	munmap(hole, 4096);
}

TEST_F(io, an_address_is_not_for_who_is_connected)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT), from;
	socklen_t len = sizeof(from);

	EMT_ONLY();
	EXPECT_ERRNO(EISCONN, sendto(self->a, "x", 1, 0, &to.sa, CONN_ALEN));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->a, "x", 1, MSG_OOB));
	EXPECT_ERRNO(EOPNOTSUPP, recv(self->b, self->in, 1, MSG_OOB));
	EXPECT_EQ(1, send(self->a, "x", 1, MSG_EOR));
	/* recvfrom() may leave the address out, or fill it in. */
	memset(&from, 0xaa, sizeof(from));
	EXPECT_EQ(1, recvfrom(self->b, self->in, LONG, 0, &from.sa, &len));
	if (len) {
		EXPECT_EQ(CONN_ALEN, len);
		EXPECT_EQ(AF_EMT, from.sa.sa_family);
	}
}

/* All of it, in as few calls as it takes. */
static bool recv_interrupted(int fd, unsigned char *buf, int len)
{
	int n = recv(fd, buf, len, MSG_WAITALL);

	return n > 0 && (n == len || recv(fd, buf + n, len - n, MSG_WAITALL) == len - n);
}

TEST_F(io, a_signal_does_not_cost_what_was_received)
{
	pid_t pid;

	set_timeout(self->b, SO_RCVTIMEO, 0);
	pid = CHILD(recv_interrupted(self->b, self->in, 1000) &&
		    !memcmp(self->in, self->out, 1000));
	ASSERT_EQ(400, send(self->a, self->out, 400, 0));
	wait_asleep(pid);
	kill(pid, SIGSTOP);
	usleep(5000);
	kill(pid, SIGCONT);
	wait_asleep(pid);
	ASSERT_EQ(600, send(self->a, self->out + 400, 600, 0));
	EXPECT_EQ(0, ends(pid));
}

TEST_HARNESS_MAIN
