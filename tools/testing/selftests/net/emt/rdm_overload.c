// SPDX-License-Identifier: GPL-2.0
/* Many senders at full speed to one slow reader: nothing is lost, memory is bounded. */
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/tipc.h>

#include "emt_test.h"

#define PORT	5000
#define SENDERS	16

struct tag {
	unsigned int sender, seq;
};

FIXTURE(overload)
{
	struct host hub, h[SENDERS];
	int fd;
};

FIXTURE_VARIANT(overload)
{
	unsigned int len;	/* bytes of each message */
	unsigned int count;	/* messages of each sender */
};

FIXTURE_VARIANT_ADD(overload, short_messages) { .len = 1000, .count = 400 };
FIXTURE_VARIANT_ADD(overload, long_messages) { .len = 20000, .count = 40 };
FIXTURE_VARIANT_ADD(overload, longer_than_the_buffer) { .len = 400000, .count = 3 };

FIXTURE_SETUP(overload)
{
	int i;

	REQUIRE_EMT();
	if (system("command -v ip >/dev/null"))
		SKIP(return, "no ip (iproute2)");
	hub_new(&self->hub);
	for (i = 0; i < SENDERS; i++)
		hub_join(&self->hub, &self->h[i], i);
	self->fd = emt_bound_of(&self->hub, SOCK_RDM, 0, PORT);
}

FIXTURE_TEARDOWN(overload)
{
	int i;

	close(self->fd);
	for (i = 0; i < SENDERS; i++)
		host_free(&self->h[i]);
	host_free(&self->hub);
}

static void make(unsigned char *buf, unsigned int len, unsigned int sender, unsigned int seq)
{
	struct tag tag = { sender, seq };

	pattern(buf, len, sender * 1000 + seq);
	memcpy(buf, &tag, sizeof(tag));
}

static int send_all(const struct host *h, const struct host *hub, unsigned int sender,
		    unsigned int len, unsigned int count)
{
	struct sockaddr_emt to = emt_addr(h->ifindex, hub->mac, PORT);
	unsigned char *buf = malloc(len);
	int fd = emt_socket_of(h, SOCK_RDM);
	unsigned int seq;

	for (seq = 0; seq < count; seq++) {
		make(buf, len, sender, seq);
		if (emt_sendto(fd, buf, len, 0, &to) != len)
			return 1;
	}
	return sock_get(fd, SO_ERROR) ? 2 : 0;
}

TEST_F_TIMEOUT(overload, nothing_is_lost_and_memory_is_bounded, 400)
{
	unsigned int count = as_many(variant->count, 2), total = SENDERS * count;
	unsigned int len = variant->len;
	unsigned char *buf = malloc(len + 1), *want = malloc(len);
	unsigned int info[SK_MEMINFO_VARS], most = 0, i;
	char *seen = calloc(SENDERS, count);
	socklen_t size = sizeof(info);
	pid_t sender[SENDERS];
	struct tag tag;
	int status;

	for (i = 0; i < SENDERS; i++) {
		sender[i] = fork();
		ASSERT_LE(0, sender[i]);
		if (!sender[i])
			_exit(send_all(&self->h[i], &self->hub, i, len, count));
	}
	for (i = 0; i < total; i++) {
		int got = emt_recv(self->fd, buf, len + 1, 0);

		ASSERT_EQ((int)len, got) {
			TH_LOG("after %u of %u messages", i, total);
		}
		memcpy(&tag, buf, sizeof(tag));
		ASSERT_GT(SENDERS, tag.sender);
		ASSERT_GT(count, tag.seq);
		ASSERT_EQ(0, seen[tag.sender * count + tag.seq]++) {
			TH_LOG("message %u of sender %u came twice", tag.seq, tag.sender);
		}
		make(want, len, tag.sender, tag.seq);
		ASSERT_EQ(0, memcmp(buf, want, len));
		size = sizeof(info);
		ASSERT_EQ(0, getsockopt(self->fd, SOL_SOCKET, SO_MEMINFO, info, &size));
		if (info[SK_MEMINFO_RMEM_ALLOC] > most)
			most = info[SK_MEMINFO_RMEM_ALLOC];
		/* A slow reader. */
		if (i % 16 == 0)
			usleep(1000);
	}
	for (i = 0; i < SENDERS; i++) {
		ASSERT_EQ(sender[i], waitpid(sender[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	usleep(100000);
	EXPECT_EQ(-EAGAIN, emt_recv(self->fd, buf, len, MSG_DONTWAIT));
	/* At most the buffer and one message, of which the memory is some more than the bytes. */
	EXPECT_LE(most, info[SK_MEMINFO_RCVBUF] + 3 * len + 4096);
	TH_LOG("%u messages of %u bytes from %d senders: 0 lost, 0 twice", total, len, SENDERS);
	TH_LOG("at most %u bytes of memory, SO_RCVBUF %u", most, info[SK_MEMINFO_RCVBUF]);
	free(buf);
	free(want);
	free(seen);
}

/* Room that is kept for a sender is not kept when it has nothing more to send. */
TEST_F_TIMEOUT(overload, who_waits_is_told_of_what_others_do_not_need, 60)
{
	unsigned int each = variant->len > 1000 ? 1 : 3, total = SENDERS * each, i;
	unsigned int len = variant->len;
	unsigned char *buf = malloc(len + 1);
	double begin, took;
	int fd[SENDERS];

	sock_set(self->fd, SO_RCVBUF, 40000);
	for (i = 0; i < total; i++) {
		const struct host *h = &self->h[i % SENDERS];
		struct sockaddr_emt to = emt_addr(h->ifindex, self->hub.mac, PORT);

		if (i < SENDERS)
			fd[i] = emt_socket_of(h, SOCK_RDM);
		make(buf, len, i % SENDERS, i / SENDERS);
		ASSERT_EQ((int)len, emt_sendto(fd[i % SENDERS], buf, len, 0, &to));
	}
	/* By now they try unasked each second, or less often. */
	sleep(4);
	begin = seconds();
	for (i = 0; i < total; i++)
		ASSERT_EQ((int)len, emt_recv(self->fd, buf, len + 1, 0));
	took = seconds() - begin;
	EXPECT_GT(0.5 + total * len / 5e6, took);
	TH_LOG("%u messages of %u bytes came in %.3f s", total, len, took);
	for (i = 0; i < SENDERS; i++)
		close(fd[i]);
	free(buf);
}

#define TIPC_SERVICE	4712

static struct sockaddr_tipc tipc_service(int scope)
{
	return (struct sockaddr_tipc){
		.family = AF_TIPC,
		.addrtype = scope ? TIPC_SERVICE_RANGE : TIPC_SERVICE_ADDR,
		.scope = scope,
	};
}

/* A TIPC node on the host's device, and a socket of its. */
static int tipc_socket(const struct host *h)
{
	netns_enter(h->netns);
	if (system("tipc bearer enable media eth device " EMT_DEV))
		return -1;
	return socket(AF_TIPC, SOCK_RDM, 0);
}

static void tipc_send_all(const struct host *h, unsigned int sender, int start)
{
	struct sockaddr_tipc to = tipc_service(0);
	unsigned char *buf = malloc(1000), go;
	unsigned int seq, i;
	int fd;

	/* It may block for ever, or fail for long, where the machine is slow. */
	alarm(60);
	to.addr.name.name.type = TIPC_SERVICE;
	netns_enter(h->netns);
	fd = socket(AF_TIPC, SOCK_RDM, 0);
	if (read(start, &go, 1) < 0)
		_exit(1);
	for (seq = 0; seq < 400; seq++) {
		make(buf, 1000, sender, seq);
		/* At first the service is not known on each node. */
		for (i = 0; i < 100; i++) {
			if (sendto(fd, buf, 1000, 0, (void *)&to, sizeof(to)) == 1000 || seq)
				break;
			usleep(50000);
		}
	}
	/* What could not be delivered comes back to this socket. */
	sleep(3);
	_exit(0);
}

/* The same with TIPC, to see beside it; what it does is no matter of this test. */
TEST_F_TIMEOUT(overload, tipc_beside_it, 400)
{
	struct timeval wait = { .tv_sec = 3 };
	struct sockaddr_tipc own = tipc_service(TIPC_CLUSTER_SCOPE);
	unsigned int came = 0, total = SENDERS * 400, i;
	unsigned char *buf = malloc(1000);
	pid_t sender[SENDERS];
	int fd, start[2];

	if (variant->len != 1000)
		SKIP(return, "with short messages only");
	if (machine_slow())
		SKIP(return, "KSFT_MACHINE_SLOW: TIPC takes minutes, and nothing of it is tested");
	if (system("command -v tipc >/dev/null"))
		SKIP(return, "no tipc (iproute2)");
	fd = tipc_socket(&self->hub);
	if (fd < 0)
		SKIP(return, "no CONFIG_TIPC");
	own.addr.nameseq.type = TIPC_SERVICE;
	ASSERT_EQ(0, bind(fd, (void *)&own, sizeof(own)));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	for (i = 0; i < SENDERS; i++)
		close(tipc_socket(&self->h[i]));
	ASSERT_EQ(0, pipe(start));
	for (i = 0; i < SENDERS; i++) {
		sender[i] = fork();
		ASSERT_LE(0, sender[i]);
		if (!sender[i]) {
			close(start[1]);
			tipc_send_all(&self->h[i], i, start[0]);
		}
	}
	/* Until the nodes have found each other. */
	sleep(3);
	close(start[1]);
	for (i = 0; recv(fd, buf, 1000, 0) == 1000; i++) {
		came++;
		if (i % 16 == 0)
			usleep(1000);
	}
	for (i = 0; i < SENDERS; i++)
		waitpid(sender[i], NULL, 0);
	if (!came)
		SKIP(goto out, "the TIPC nodes have not found each other");
	TH_LOG("TIPC, SOCK_RDM: %u messages of 1000 bytes from %d senders: %u came, %u did not",
	       total, SENDERS, came, total - came);
out:
	close(start[0]);
	close(fd);
	free(buf);
}

TEST_HARNESS_MAIN
