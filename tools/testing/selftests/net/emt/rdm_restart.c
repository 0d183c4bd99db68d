// SPDX-License-Identifier: GPL-2.0
/*
 * A host that goes and comes back with the same address, at random moments:
 * each message is delivered at most once, and its sender learns what became of
 * it.
 */

#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <sys/wait.h>

#include <linux/errqueue.h>

#include "emt_test.h"

#define PORT	5000
#define ROUNDS	12
#define MOST	200000

FIXTURE(restart)
{
	struct host hub, peer;
	/* How often each message was delivered, in memory that all processes see. */
	unsigned char *delivered;
};

FIXTURE_SETUP(restart)
{
	REQUIRE_EMT();
	if (system("command -v ip >/dev/null"))
		SKIP(return, "no ip (iproute2)");
	hub_new(&self->hub);
	self->delivered = mmap(NULL, MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			       -1, 0);
	ASSERT_NE(MAP_FAILED, self->delivered);
}

FIXTURE_TEARDOWN(restart)
{
	munmap(self->delivered, MOST);
	host_free(&self->hub);
}

static size_t size_of(unsigned int seq)
{
	return seq % 10 == 9 ? 20000 : 4 + seq % 1000;
}

/* Receives for ever. Each message has its number in it, over and over. */
static void receive(int fd, unsigned char *delivered)
{
	static unsigned int buf[5001];
	unsigned int i;
	int got;

	for (;;) {
		got = recv(fd, buf, sizeof(buf), 0);
		if (got < 0)
			continue;
		if (got < 4 || buf[0] >= MOST || got != size_of(buf[0]))
			_exit(1);
		for (i = 0; i < got / 4; i++)
			if (buf[i] != buf[0])
				_exit(1);
		delivered[buf[0]]++;
	}
}

static int send_one(int fd, const struct sockaddr_emt *to, unsigned int seq)
{
	char control[CMSG_SPACE(sizeof(seq))] = { 0 };
	static unsigned int buf[5000];
	struct iovec iov = { buf, size_of(seq) };
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = sizeof(*to),
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int i;

	for (i = 0; i < ARRAY_SIZE(buf); i++)
		buf[i] = seq;
	cmsg->cmsg_level = SOL_EMT;
	cmsg->cmsg_type = EMT_COOKIE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(seq));
	memcpy(CMSG_DATA(cmsg), &seq, sizeof(seq));
	return sendmsg(fd, &msg, MSG_DONTWAIT) < 0 ? errno : 0;
}

struct counts {
	unsigned int events, delivered, reset, timed_out, refused, unreachable;
};

/* Takes what the error queue has. False: it says what cannot be. */
static bool take_events(int fd, const unsigned char *delivered, unsigned char *told,
			struct counts *counts)
{
	char control[512];
	struct sock_extended_err *ee;
	struct msghdr msg;

	for (;;) {
		msg = (struct msghdr){ .msg_control = control, .msg_controllen = sizeof(control) };
		if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
			/* A pending error comes first, and its details are in the queue. */
			if (errno == EAGAIN)
				return true;
			continue;
		}
		ee = (void *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
		if (ee->ee_data >= MOST || told[ee->ee_data]++) {
			printf("# message %u ended twice\n", ee->ee_data);
			return false;
		}
		counts->events++;
		switch (ee->ee_errno) {
		case 0:
			counts->delivered++;
			if (delivered[ee->ee_data] == 1)
				break;
			/* It may be in the receive queue of a program that was just killed. */
			break;
		case ECONNRESET:
			counts->reset++;
			break;
		case ETIMEDOUT:
			counts->timed_out++;
			break;
		case ECONNREFUSED:
			counts->refused++;
			if (delivered[ee->ee_data]) {
				printf("# message %u was refused and delivered\n", ee->ee_data);
				return false;
			}
			break;
		case EHOSTUNREACH:
			counts->unreachable++;
			break;
		default:
			printf("# message %u: %s\n", ee->ee_data, strerror(ee->ee_errno));
			return false;
		}
	}
}

static pid_t peer_start(const struct host *hub, struct host *peer, unsigned char *delivered)
{
	pid_t pid;
	int fd;

	hub_join(hub, peer, 0);
	fd = emt_bound_of(peer, SOCK_RDM, 0, PORT);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		receive(fd, delivered);
	close(fd);
	return pid;
}

TEST_F_TIMEOUT(restart, nothing_is_delivered_twice, 400)
{
	int fd = emt_bound_of(&self->hub, SOCK_RDM, 0, PORT), round, on = 1, timeout = 2000, left;
	unsigned char *told = calloc(1, MOST);
	struct counts counts = { 0 };
	unsigned int seq = 0, sent = 0, i, n, random, arrived = 0;
	struct sockaddr_emt to;
	pid_t pid;

	ASSERT_EQ(0, setsockopt(fd, SOL_EMT, EMT_RECVERR, &on, sizeof(on)));
	ASSERT_EQ(0, setsockopt(fd, SOL_EMT, EMT_NOTIFY, &on, sizeof(on)));
	ASSERT_EQ(0, setsockopt(fd, SOL_EMT, EMT_USER_TIMEOUT, &timeout, sizeof(timeout)));
	sock_set(fd, SO_RCVBUFFORCE, 16 << 20);
	for (round = 0; round < ROUNDS; round++) {
		pid = peer_start(&self->hub, &self->peer, self->delivered);
		to = emt_addr(self->hub.ifindex, self->peer.mac, PORT);
		ASSERT_EQ(sizeof(random), getrandom(&random, sizeof(random), GRND_NONBLOCK));
		n = 20 + random % 400;
		for (i = 0; i < n; i++) {
			if (!send_one(fd, &to, seq)) {
				sent++;
				seq++;
			}
			ASSERT_EQ(true, take_events(fd, self->delivered, told, &counts));
			if (i % 16 == 0)
				usleep(random >> 16 & 1023);
		}
		/* In mid-message, mostly. */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		host_free(&self->peer);
		netns_enter(self->hub.netns);
		if (round & 1)
			usleep(random & 0x3ffff);
		/* It goes with the namespace, when that goes; the device is gone at once. */
		if (system("ip link del port0 2>/dev/null"))
			continue;
	}
	/* Each message has come to its end, one way or another. */
	for (i = 0; i < 10 * EMT_WAIT_S && counts.events < sent; i++) {
		usleep(100000);
		ASSERT_EQ(true, take_events(fd, self->delivered, told, &counts));
	}
	ASSERT_EQ(0, ioctl(fd, SIOCOUTQ, &left));
	EXPECT_EQ(0, left);
	EXPECT_EQ(sent, counts.events);
	for (i = 0; i < seq; i++) {
		arrived += self->delivered[i];
		EXPECT_GE(1, self->delivered[i]) {
			TH_LOG("message %u was delivered %u times", i, self->delivered[i]);
		}
	}
	TH_LOG("%d restarts, %u messages: %u arrived, 0 twice", ROUNDS, sent, arrived);
	TH_LOG("%u delivered, %u reset, %u timed out, %u refused, %u unreachable",
	       counts.delivered, counts.reset, counts.timed_out, counts.refused,
	       counts.unreachable);
	free(told);
	close(fd);
}

TEST_HARNESS_MAIN
