// SPDX-License-Identifier: GPL-2.0
/* Connections of SOCK_SEQPACKET: how records are sent and received. */
#include <sys/uio.h>

#include "emt_test.h"
#include "emt_conn.h"

#define LONG	(5 << 20)

FIXTURE(records)
{
	struct conn c;
	int a, b;	/* both ends of a connection */
	unsigned char *out, *in;	/* LONG bytes each; out is a pattern */
};

FIXTURE_VARIANT(records)
{
	bool wire;
};

FIXTURE_VARIANT_ADD(records, wire) { .wire = true };
FIXTURE_VARIANT_ADD(records, one_host) { .wire = false };

FIXTURE_SETUP(records)
{
	struct conn *c = &self->c;
	union conn_addr to;

	REQUIRE_CONN(SOCK_SEQPACKET);
	conn_begin_listening(c, SOCK_SEQPACKET);
	if (variant->wire) {
		conn_pair(c, c->fd);
	} else {
		to = conn_addr(&c->h[0], &c->h[0], CONN_PORT);
		c->fd[1] = conn_socket(&c->h[0], SOCK_SEQPACKET);
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

FIXTURE_TEARDOWN(records)
{
	EXPECT_EQ(true, conn_end(&self->c));
	free(self->out);
	free(self->in);
}

/* The next part of a record is this long, and ends it or does not. */
#define EXPECT_PART(len, ends_it, room, flags)				\
	do {								\
		int got_;						\
									\
		EXPECT_EQ((len), recv_flags(self->b, self->in, (room),	\
					    (flags), &got_));		\
		if (conn_family == AF_EMT) {				\
			EXPECT_EQ((ends_it) ? MSG_EOR : 0, got_);	\
		}							\
	} while (0)

#define EXPECT_NONE()	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_DONTWAIT))

TEST_F(records, each_is_received_by_itself)
{
	static const int size[] = { 1, 100, 1448, 1449, 5000, 2, 30000 };
	int i;

	for (i = 0; i < ARRAY_SIZE(size); i++)
		ASSERT_EQ(size[i], send(self->a, self->out + i, size[i], 0));
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		EXPECT_PART(size[i], true, LONG, 0);
		EXPECT_EQ(0, memcmp(self->in, self->out + i, size[i]));
	}
	EXPECT_NONE();
}

TEST_F(records, many_go_both_ways)
{
	pid_t pid[3];
	int i;

	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i] && i < 2)
			_exit(!pattern_send(i ? self->a : self->b, 1 << 20, i));
		if (!pid[i])
			_exit(!pattern_recv(self->a, 1 << 20, 0));
	}
	EXPECT_EQ(true, pattern_recv(self->b, 1 << 20, 1));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, ends(pid[i]));
}

TEST_F(records, a_long_one_is_received_in_parts)
{
	int at;

	NOT_FOR(AF_UNIX);
	ASSERT_EQ(10000, send(self->a, self->out, 10000, 0));
	ASSERT_EQ(5, send(self->a, "after", 5, 0));
	ASSERT_EQ(true, wait_inq(self->b, 10005));
	for (at = 0; at < 9000; at += 3000) {
		EXPECT_PART(3000, false, 3000, 0);
		EXPECT_EQ(0, memcmp(self->in, self->out + at, 3000));
	}
	EXPECT_PART(1000, true, 3000, 0);
	EXPECT_EQ(0, memcmp(self->in, self->out + 9000, 1000));
	EXPECT_PART(5, true, 3000, 0);
	EXPECT_EQ(0, memcmp(self->in, "after", 5));
	EXPECT_NONE();
}

TEST_F(records, one_that_just_fits_has_ended)
{
	NOT_FOR(AF_UNIX);
	ASSERT_EQ(3000, send(self->a, self->out, 3000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 3000));
	EXPECT_PART(1500, false, 1500, 0);
	EXPECT_PART(1500, true, 1500, 0);
	ASSERT_EQ(3000, send(self->a, self->out, 3000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 3000));
	EXPECT_PART(3000, true, 3000, 0);
	EXPECT_NONE();
}

TEST_F(records, peeking_takes_nothing)
{
	int i;

	ASSERT_EQ(5000, send(self->a, self->out, 5000, 0));
	ASSERT_EQ(7, send(self->a, "another", 7, 0));
	EXPECT_ERRNO(EAGAIN, recv(self->a, self->in, 1, MSG_PEEK | MSG_DONTWAIT));
	/* AF_UNIX counts the first only. */
	NOT_FOR(AF_UNIX);
	ASSERT_EQ(true, wait_inq(self->b, 5007));
	for (i = 0; i < 2; i++) {
		EXPECT_PART(5000, true, LONG, MSG_PEEK);
		EXPECT_EQ(0, memcmp(self->in, self->out, 5000));
		EXPECT_PART(100, false, 100, MSG_PEEK);
	}
	EXPECT_PART(2000, false, 2000, 0);
	for (i = 0; i < 2; i++) {
		EXPECT_PART(3000, true, LONG, MSG_PEEK);
		EXPECT_EQ(0, memcmp(self->in, self->out + 2000, 3000));
	}
	EXPECT_PART(3000, true, 3000, 0);
	EXPECT_PART(7, true, 100, MSG_PEEK);
	EXPECT_PART(7, true, 100, 0);
	EXPECT_NONE();
}

TEST_F(records, the_length_can_be_asked_for)
{
	NOT_FOR(AF_UNIX);
	ASSERT_EQ(8000, send(self->a, self->out, 8000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 8000));
	EXPECT_EQ(8000, recv(self->b, self->in, 100, MSG_PEEK | MSG_TRUNC));
	EXPECT_EQ(8000, recv(self->b, NULL, 0, MSG_PEEK | MSG_TRUNC));
	EXPECT_PART(3000, false, 3000, 0);
	EXPECT_EQ(5000, recv(self->b, self->in, 100, MSG_PEEK | MSG_TRUNC));
	EXPECT_EQ(5000, recv(self->b, self->in, LONG, MSG_PEEK | MSG_TRUNC));
	EXPECT_EQ(5000, recv(self->b, self->in, LONG, MSG_TRUNC));
	EXPECT_NONE();
	/* Not that of others that wait. */
	ASSERT_EQ(30, send(self->a, self->out, 30, 0));
	ASSERT_EQ(40, send(self->a, self->out, 40, 0));
	ASSERT_EQ(true, wait_inq(self->b, 70));
	EXPECT_EQ(30, recv(self->b, self->in, LONG, MSG_TRUNC));
	EXPECT_EQ(40, recv(self->b, self->in, 10, MSG_TRUNC));
}

TEST_F(records, there_are_no_empty_ones_and_none_above_the_limit)
{
	struct emt_limits limits = { .max_message = 100000 };

	EMT_ONLY();
	EXPECT_ERRNO(EMSGSIZE, send(self->a, "", 0, 0));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, "", 0, MSG_EOR));
	ASSERT_EQ(0, ioctl(self->c.h[1].ctl, SIOCEMTSETLIMITS, &limits));
	ASSERT_EQ(0, ioctl(self->c.h[0].ctl, SIOCEMTSETLIMITS, &limits));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, self->out, 100001, 0));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, self->out, 100001, MSG_DONTWAIT));
	/* It is not broken by that. */
	ASSERT_EQ(100000, send(self->a, self->out, 100000, 0));
	EXPECT_EQ(100000, recv_all(self->b, self->in, 100000));
	EXPECT_EQ(0, memcmp(self->in, self->out, 100000));
	EXPECT_NONE();
}

TEST_F(records, one_is_sent_whole_or_not_at_all)
{
	int i, n, sent = 0, got = 0;

	sock_set(self->a, SO_SNDBUF, 30000);
	sock_set(self->b, SO_RCVBUF, 30000);
	for (i = 0; i < 30; i++) {
		n = send(self->a, self->out, 7000, MSG_DONTWAIT);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			usleep(2000);
			continue;
		}
		ASSERT_EQ(7000, n);
		sent++;
	}
	EXPECT_LE(2, sent);
	EXPECT_GE(22, sent);
	EXPECT_ERRNO(EAGAIN, send(self->a, self->out, 7000, MSG_DONTWAIT));
	set_timeout(self->a, SO_SNDTIMEO, 50);
	EXPECT_ERRNO(EAGAIN, send(self->a, self->out, 7000, 0));
	set_timeout(self->b, SO_RCVTIMEO, 300);
	while ((n = recv(self->b, self->in, LONG, MSG_WAITALL)) > 0) {
		EXPECT_EQ(7000, n);
		EXPECT_EQ(0, memcmp(self->in, self->out, 7000));
		got++;
	}
	EXPECT_EQ(sent, got);
	EXPECT_EQ(POLLOUT, wait_ready(self->a, POLLOUT));
	EXPECT_EQ(7000, send(self->a, self->out, 7000, MSG_DONTWAIT));
}

TEST_F(records, who_waits_for_room_gets_it)
{
	int i, n;
	pid_t pid;

	sock_set(self->a, SO_SNDBUF, 30000);
	sock_set(self->b, SO_RCVBUF, 30000);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (i = 0; i < 40; i++)
			if (send(self->a, self->out + i, 9000, 0) != 9000)
				_exit(1);
		_exit(0);
	}
	wait_asleep(pid);
	for (i = 0; i < 40; i++) {
		n = recv(self->b, self->in, LONG, MSG_WAITALL);
		ASSERT_EQ(9000, n);
		EXPECT_EQ(0, memcmp(self->in, self->out + i, 9000));
	}
	EXPECT_EQ(0, ends(pid));
	EXPECT_NONE();
}

TEST_F(records, one_that_is_longer_than_all_buffers_comes_in_parts)
{
	int flags = 0, parts = 0;
	long at = 0, n;
	pid_t pid;

	NOT_FOR(AF_UNIX);
	sock_set(self->a, SO_SNDBUF, 100000);
	sock_set(self->b, SO_RCVBUF, 100000);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(send(self->a, self->out, LONG, 0) != LONG ||
		      send(self->a, "after", 5, 0) != 5);
	while (at < LONG) {
		n = recv_flags(self->b, self->in + at, LONG - at, 0, &flags);
		ASSERT_LT(0, n) {
			TH_LOG("at %ld: %s", at, strerror(-n));
		}
		at += n;
		parts++;
		EXPECT_EQ(at == LONG ? MSG_EOR : 0, flags & (MSG_EOR | MSG_TRUNC));
	}
	/* It is read as it comes, since it does not fit. */
	EXPECT_LT(1, parts);
	EXPECT_EQ(0, memcmp(self->in, self->out, LONG));
	EXPECT_PART(5, true, 100, 0);
	EXPECT_EQ(0, ends(pid));
}

TEST_F(records, all_of_one_is_waited_for_if_asked)
{
	pid_t pid;

	NOT_FOR(AF_UNIX);
	sock_set(self->b, SO_RCVBUF, 100000);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(send(self->a, self->out, 1000000, 0) != 1000000 ||
		      send(self->a, "after", 5, 0) != 5);
	EXPECT_PART(1000000, true, LONG, MSG_WAITALL);
	EXPECT_EQ(0, memcmp(self->in, self->out, 1000000));
	EXPECT_EQ(0, ends(pid));
	/* But not for more than that one. */
	EXPECT_PART(5, true, LONG, MSG_WAITALL);
}

TEST_F(records, the_end_of_one_may_be_marked)
{
	ASSERT_EQ(10, send(self->a, self->out, 10, MSG_EOR));
	ASSERT_EQ(20, send(self->a, self->out, 20, 0));
	ASSERT_EQ(30, send(self->a, self->out, 30, MSG_EOR | MSG_DONTWAIT));
	EXPECT_PART(10, true, LONG, 0);
	EXPECT_PART(20, true, LONG, 0);
	EXPECT_PART(30, true, LONG, 0);
}

TEST_F(records, several_buffers_are_one_record)
{
	struct iovec out[4] = {
		{ self->out, 700 }, { self->out + 700, 0 },
		{ self->out + 700, 1 }, { self->out + 701, 5000 },
	};
	struct iovec in[3] = {
		{ self->in, 3 }, { self->in + 3, 4000 }, { self->in + 4003, LONG - 4003 },
	};

	ASSERT_EQ(5701, writev(self->a, out, 4));
	ASSERT_EQ(5, write(self->a, "after", 5));
	if (conn_family == AF_EMT)
		ASSERT_EQ(true, wait_inq(self->b, 5706));
	ASSERT_EQ(5701, readv(self->b, in, 3));
	EXPECT_EQ(0, memcmp(self->in, self->out, 5701));
	EXPECT_EQ(5, read(self->b, self->in, LONG));
}

TEST_F(records, bytes_unread_and_unsent_are_counted)
{
	NOT_FOR(AF_UNIX);
	EXPECT_EQ(0, inq(self->b));
	ASSERT_EQ(100, send(self->a, self->out, 100, 0));
	ASSERT_EQ(5000, send(self->a, self->out, 5000, 0));
	EXPECT_EQ(true, wait_inq(self->b, 5100));
	EXPECT_EQ(true, wait_sent(self->a));
	EXPECT_PART(60, false, 60, 0);
	EXPECT_EQ(5040, inq(self->b));
	EXPECT_PART(40, true, LONG, 0);
	EXPECT_EQ(5000, inq(self->b));
	EXPECT_PART(5000, true, LONG, 0);
	EXPECT_EQ(0, inq(self->b));
}

TEST_F(records, the_end_comes_after_all_of_them)
{
	ASSERT_EQ(3000, send(self->a, self->out, 3000, 0));
	ASSERT_EQ(1, send(self->a, self->out, 1, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	if (conn_family == AF_EMT) {
		EXPECT_PART(2000, false, 2000, 0);
		EXPECT_PART(1000, true, 2000, 0);
	} else {
		EXPECT_PART(3000, true, 3000, 0);
	}
	EXPECT_PART(1, true, 2000, 0);
	EXPECT_PART(0, false, 2000, 0);
	EXPECT_PART(0, false, 2000, MSG_PEEK);
}

TEST_F(records, bad_memory_does_not_break_the_others)
{
	long n;

	NOT_FOR(AF_UNIX);
	EXPECT_ERRNO(EFAULT, send(self->a, NULL, 100, 0));
	ASSERT_EQ(3000, send(self->a, self->out, 3000, 0));
	ASSERT_EQ(4000, send(self->a, self->out + 1, 4000, 0));
	ASSERT_EQ(true, wait_inq(self->b, 7000));
	EXPECT_ERRNO(EFAULT, recv(self->b, NULL, 1000, 0));
	/* The one in question is there or is not; the next one is. */
	n = recv(self->b, self->in, LONG, 0);
	if (n == 3000) {
		EXPECT_EQ(0, memcmp(self->in, self->out, 3000));
		n = recv(self->b, self->in, LONG, 0);
	}
	ASSERT_EQ(4000, n);
	EXPECT_EQ(0, memcmp(self->in, self->out + 1, 4000));
	EXPECT_NONE();
}

TEST_F(records, an_address_is_not_for_who_is_connected)
{
	struct conn *c = &self->c;
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);

	EMT_ONLY();
	EXPECT_ERRNO(EISCONN, sendto(self->a, "x", 1, 0, &to.sa, CONN_ALEN));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->a, "x", 1, MSG_OOB));
	EXPECT_ERRNO(EOPNOTSUPP, recv(self->b, self->in, 1, MSG_OOB));
	EXPECT_NONE();
}

/* Many records that take more memory than their bytes. */
TEST_F_TIMEOUT(records, small_ones_arrive_however_many, 400)
{
	int i, n = 20000;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (i = 0; i < n; i++)
			if (send(self->a, &i, sizeof(i), 0) != sizeof(i))
				_exit(1);
		_exit(0);
	}
	wait_asleep(pid);
	for (i = 0; i < n; i++) {
		int got = -1;

		ASSERT_EQ(sizeof(got), recv(self->b, &got, sizeof(got), 0));
		ASSERT_EQ(i, got);
	}
	EXPECT_EQ(0, ends(pid));
	EXPECT_NONE();
}

TEST_HARNESS_MAIN
