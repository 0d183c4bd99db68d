// SPDX-License-Identifier: GPL-2.0
/* Sending and receiving with EMT sockets for reliable messages. */
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "emt_test.h"

#define PORT		5000
#define MAX_MESSAGE	(16 << 20)

FIXTURE(rdm)
{
	struct host h[2];
	int fd[2];
	struct sockaddr_emt to[2];	/* the other one's socket */
};

FIXTURE_SETUP(rdm)
{
	int i;

	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	for (i = 0; i < 2; i++) {
		self->fd[i] = emt_bound_of(&self->h[i], SOCK_RDM, 0, PORT);
		self->to[i] = emt_addr(self->h[i].ifindex, self->h[!i].mac, PORT);
	}
}

FIXTURE_TEARDOWN(rdm)
{
	close(self->fd[0]);
	close(self->fd[1]);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Sends a message of @len bytes from @fd and receives it at @at. */
static void pass(struct __test_metadata *_metadata, int fd, const struct sockaddr_emt *to, int at,
		 size_t len)
{
	unsigned char *out = malloc(len), *in = malloc(len + 1);

	ASSERT_NE(NULL, out);
	ASSERT_NE(NULL, in);
	pattern(out, len, len);
	ASSERT_EQ((int)len, emt_sendto(fd, out, len, 0, to)) {
		TH_LOG("sending %zu bytes", len);
	}
	ASSERT_EQ((int)len, emt_recv(at, in, len + 1, 0)) {
		TH_LOG("receiving %zu bytes", len);
	}
	ASSERT_EQ(0, memcmp(in, out, len));
	free(out);
	free(in);
}

TEST_F(rdm, a_message_of_each_size_arrives_whole)
{
	static const size_t len[] = {
		1, 2, 100, 1451, 1452, 1453, 1460, 2000, 10000, 65535, 65536, 70000, 300000,
		1 << 20, MAX_MESSAGE,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(len); i++)
		pass(_metadata, self->fd[i & 1], &self->to[i & 1], self->fd[!(i & 1)], len[i]);
}

TEST_F(rdm, a_host_sends_to_itself)
{
	struct sockaddr_emt own = emt_addr(self->h[0].ifindex, self->h[0].mac, PORT);
	struct sockaddr_emt lo = emt_addr(1, emt_zero, PORT);

	pass(_metadata, self->fd[0], &own, self->fd[0], 1);
	pass(_metadata, self->fd[0], &own, self->fd[0], 100000);
	pass(_metadata, self->fd[0], &lo, self->fd[0], 1);
	pass(_metadata, self->fd[0], &lo, self->fd[0], 500000);
}

TEST_F(rdm, what_is_no_message_is_refused)
{
	struct sockaddr_emt all = emt_addr(self->h[0].ifindex, emt_bcast, PORT);
	char *buf = calloc(1, MAX_MESSAGE + 1);

	EXPECT_EQ(-EMSGSIZE, emt_sendto(self->fd[0], buf, 0, 0, &self->to[0]));
	EXPECT_EQ(-EMSGSIZE, emt_sendto(self->fd[0], buf, MAX_MESSAGE + 1, 0, &self->to[0]));
	sock_set(self->fd[0], SO_BROADCAST, 1);
	EXPECT_EQ(-EOPNOTSUPP, emt_sendto(self->fd[0], buf, 1, 0, &all));
	EXPECT_EQ(-EOPNOTSUPP, emt_sendto(self->fd[0], buf, 1, MSG_OOB, &self->to[0]));
	EXPECT_EQ(-EDESTADDRREQ, emt_sendto(self->fd[0], buf, 1, 0, NULL));
	free(buf);
}

TEST_F(rdm, a_message_names_its_sender)
{
	struct sockaddr_emt from, want = emt_addr(self->h[1].ifindex, self->h[0].mac, PORT);
	socklen_t len = sizeof(from);
	char buf[8];

	ASSERT_EQ(3, emt_sendto(self->fd[0], "abc", 3, 0, &self->to[0]));
	ASSERT_EQ(3, recvfrom(self->fd[1], buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	EXPECT_EQ(sizeof(from), len);
	EXPECT_EQ(0, memcmp(&want, &from, sizeof(want)));
}

TEST_F(rdm, peeking_leaves_a_message_and_truncating_takes_it)
{
	char *big = malloc(50000), buf[100];

	pattern(big, 50000, 1);
	ASSERT_EQ(50000, emt_sendto(self->fd[0], big, 50000, 0, &self->to[0]));
	ASSERT_EQ(3, emt_sendto(self->fd[0], "abc", 3, 0, &self->to[0]));
	EXPECT_EQ(100, emt_recv(self->fd[1], buf, 100, MSG_PEEK));
	EXPECT_EQ(50000, emt_recv(self->fd[1], buf, 100, MSG_PEEK | MSG_TRUNC));
	EXPECT_EQ(0, memcmp(buf, big, 100));
	EXPECT_EQ(50000, emt_recv(self->fd[1], buf, 100, MSG_TRUNC));
	EXPECT_EQ(3, emt_recv(self->fd[1], buf, 100, 0));
	free(big);
}

TEST_F(rdm, a_message_is_gathered_and_scattered)
{
	static char a[1000], b[3000], c[6000], d[4000];
	struct iovec out[] = { { a, 1000 }, { b, 3000 }, { c, 6000 } };
	struct iovec in[] = { { c, 6000 }, { d, 4000 } };
	struct msghdr msg = {
		.msg_name = &self->to[0], .msg_namelen = sizeof(self->to[0]),
		.msg_iov = out, .msg_iovlen = 3,
	};

	memset(a, 1, sizeof(a));
	memset(b, 2, sizeof(b));
	memset(c, 3, sizeof(c));
	ASSERT_EQ(10000, sendmsg(self->fd[0], &msg, 0));
	msg = (struct msghdr){ .msg_iov = in, .msg_iovlen = 2 };
	ASSERT_EQ(10000, recvmsg(self->fd[1], &msg, 0));
	EXPECT_EQ(1, c[999]);
	EXPECT_EQ(2, c[1000]);
	EXPECT_EQ(2, c[3999]);
	EXPECT_EQ(3, c[4000]);
	EXPECT_EQ(3, d[0]);
	EXPECT_EQ(3, d[3999]);
}

/* Sends until the buffer is full; returns how many messages that were. */
static int fill(int fd, const struct sockaddr_emt *to, size_t len, int most)
{
	unsigned char *buf = malloc(len);
	int n, sent;

	for (n = 0; n < most; n++) {
		pattern(buf, len, n);
		sent = emt_sendto(fd, buf, len, MSG_DONTWAIT, to);
		if (sent == -EAGAIN)
			break;
		if (sent != len)
			die("message %d: %s", n, strerror(-sent));
	}
	free(buf);
	return n;
}

/* Receives @n messages and returns how many differ from what was sent, in any order. */
static int drain(int fd, size_t len, int n)
{
	unsigned char *buf = malloc(len + 1), *want = malloc(len);
	char *seen = calloc(1, n);
	int i, k, got, bad = 0;

	for (i = 0; i < n; i++) {
		got = emt_recv(fd, buf, len + 1, 0);
		if (got != len) {
			printf("# message %d of %d: %d\n", i, n, got);
			bad++;
			break;
		}
		for (k = 0; k < n; k++) {
			pattern(want, len, k);
			if (!seen[k] && !memcmp(buf, want, len))
				break;
		}
		if (k == n)
			bad++;
		else
			seen[k] = 1;
	}
	free(buf);
	free(want);
	free(seen);
	return bad;
}

TEST_F(rdm, a_reader_that_stops_holds_the_sender_up_and_loses_nothing)
{
	static const size_t len[] = { 1, 1000, 9000 };
	struct pollfd p = { .fd = self->fd[0], .events = POLLOUT };
	int i, n;

	for (i = 0; i < ARRAY_SIZE(len); i++) {
		/* The seeds of the pattern go round after 256. */
		n = fill(self->fd[0], &self->to[0], len[i], len[i] == 1 ? 200 : 250);
		EXPECT_LT(10, n);
		EXPECT_EQ(0, drain(self->fd[1], len[i], n)) {
			TH_LOG("%d messages of %zu bytes", n, len[i]);
		}
		EXPECT_EQ(-EAGAIN, emt_recv(self->fd[1], &i, 1, MSG_DONTWAIT));
	}
	EXPECT_EQ(1, poll(&p, 1, 1000 * EMT_WAIT_S));
	EXPECT_EQ(POLLOUT, p.revents);
}

TEST_F(rdm, the_receive_buffer_is_kept_to)
{
	unsigned int info[SK_MEMINFO_VARS];
	socklen_t size = sizeof(info);
	int buffer = 50000, i, n;
	char buf[2000];

	sock_set(self->fd[1], SO_RCVBUF, buffer / 2);
	sock_set(self->fd[0], SO_SNDBUF, 500000);
	n = fill(self->fd[0], &self->to[0], 1000, 200);
	ASSERT_EQ(200, n);
	/* What is there is what fits; the rest waits at the sender. */
	usleep(100000);
	ASSERT_EQ(0, getsockopt(self->fd[1], SOL_SOCKET, SO_MEMINFO, info, &size));
	EXPECT_EQ(buffer, info[SK_MEMINFO_RCVBUF]);
	EXPECT_LT(buffer / 2, info[SK_MEMINFO_RMEM_ALLOC]);
	EXPECT_GT(buffer + 4096, info[SK_MEMINFO_RMEM_ALLOC]);
	for (i = 0; i < n; i++)
		ASSERT_EQ(1000, emt_recv(self->fd[1], buf, sizeof(buf), 0));
	EXPECT_EQ(-EAGAIN, emt_recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_F(rdm, a_blocked_sender_goes_on_when_there_is_room)
{
	const int count = 2000;
	char buf[1000];
	pid_t pid;
	int i;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (i = 0; i < count; i++) {
			memset(buf, i, sizeof(buf));
			if (emt_sendto(self->fd[0], buf, 1000, 0, &self->to[0]) != 1000)
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < count; i++)
		ASSERT_EQ(1000, emt_recv(self->fd[1], buf, sizeof(buf), 0));
	ASSERT_EQ(pid, waitpid(pid, &i, 0));
	EXPECT_EQ(0, i);
	EXPECT_EQ(-EAGAIN, emt_recv(self->fd[1], buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_HARNESS_MAIN
