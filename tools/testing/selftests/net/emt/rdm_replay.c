// SPDX-License-Identifier: GPL-2.0
/*
 * Somebody on the wire records the frames of reliable messages and sends them
 * again: nothing is delivered twice, and what is sent meanwhile arrives.
 */
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

#include "emt_test.h"

#define PORT	5000
#define COUNT	200
#define MOST	4000
#define LONGEST	20000

/* A frame that was recorded. */
struct record {
	size_t len;
	unsigned char *data;
};

FIXTURE(replay)
{
	struct host h[2];
	int fd[2];
	/* Where frames are recorded, and where they are sent again. */
	int tap, raw;
	struct sockaddr_emt to;
	struct record records[MOST];
	unsigned int recorded;
	struct frame *frame;
	unsigned char seen[4 * COUNT];
};

static int bound(const struct host *h)
{
	int fd = emt_bound_of(h, SOCK_RDM, 0, PORT);

	/* Room for all messages of a test. */
	sock_set(fd, SO_RCVBUFFORCE, 16 << 20);
	sock_set(fd, SO_SNDBUFFORCE, 16 << 20);
	return fd;
}

FIXTURE_SETUP(replay)
{
	int i;

	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	for (i = 0; i < 2; i++) {
		netns_enter(self->h[i].netns);
		/* So that each frame is whole, and one packet. */
		link_no_tx_csum(EMT_DEV);
		self->fd[i] = bound(&self->h[i]);
	}
	self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, PORT);
	self->tap = frame_socket(&self->h[1], EMT_DEV);
	sock_set(self->tap, SO_RCVBUFFORCE, 64 << 20);
	self->raw = frame_socket(&self->h[0], EMT_DEV);
	self->frame = malloc(sizeof(*self->frame));
	ASSERT_NE(NULL, self->frame);
}

FIXTURE_TEARDOWN(replay)
{
	while (self->recorded)
		free(self->records[--self->recorded].data);
	free(self->frame);
	close(self->raw);
	close(self->tap);
	close(self->fd[0]);
	close(self->fd[1]);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

static size_t size_of(unsigned int seq)
{
	static const size_t size[] = { 8, 1000, 1448, 3000, LONGEST };

	return size[seq % ARRAY_SIZE(size)];
}

/* Sends the messages from @first on, and waits until the other end has them. */
static void send_from(struct _test_data_replay *self, unsigned int first)
{
	time_t end = time(NULL) + EMT_WAIT_S;
	unsigned int buf[LONGEST / 4], seq;
	int left;

	for (seq = first; seq < first + COUNT; seq++) {
		pattern(buf, sizeof(buf), seq);
		buf[0] = seq;
		if (emt_sendto(self->fd[0], buf, size_of(seq), 0, &self->to) != size_of(seq))
			die("message %u", seq);
	}
	do {
		usleep(1000);
		if (ioctl(self->fd[0], SIOCOUTQ, &left))
			die("SIOCOUTQ");
	} while (left && time(NULL) < end);
	if (left)
		die("%d bytes have not arrived", left);
}

/* Reads what there is and notes it; returns how many messages were wrong or not new. */
static unsigned int drain(struct _test_data_replay *self)
{
	unsigned int got[LONGEST / 4], want[LONGEST / 4], wrong = 0;
	int len;

	while ((len = emt_recv(self->fd[1], got, sizeof(got), MSG_DONTWAIT)) > 0) {
		unsigned int seq = got[0];

		if (seq >= sizeof(self->seen) || self->seen[seq]++ || len != size_of(seq)) {
			wrong++;
			continue;
		}
		pattern(want, sizeof(want), seq);
		want[0] = seq;
		wrong += !!memcmp(got, want, len);
	}
	return wrong;
}

static unsigned int arrived(struct _test_data_replay *self, unsigned int first)
{
	unsigned int seq, count = 0;

	for (seq = first; seq < first + COUNT; seq++)
		count += self->seen[seq] == 1;
	return count;
}

static void record(struct _test_data_replay *self)
{
	bool outgoing;

	while (self->recorded < MOST && frame_recv(self->tap, self->frame, &outgoing, 100)) {
		struct record *r = &self->records[self->recorded];

		if (outgoing)
			continue;
		r->len = self->frame->len;
		r->data = malloc(r->len);
		if (!r->data)
			die("memory");
		memcpy(r->data, self->frame->data, r->len);
		self->recorded++;
	}
}

/* Sends all that was recorded once more, in an order of its own each time. */
static void replay(struct _test_data_replay *self, unsigned int seed)
{
	unsigned int i, other;
	struct record r;

	srandom(seed);
	for (i = self->recorded; i > 1; i--) {
		other = random() % i;
		r = self->records[i - 1];
		self->records[i - 1] = self->records[other];
		self->records[other] = r;
	}
	for (i = 0; i < self->recorded; i++) {
		self->frame->len = self->records[i].len;
		memcpy(self->frame->data, self->records[i].data, self->frame->len);
		frame_send(self->raw, self->frame);
	}
}

TEST_F(replay, of_the_same_association_brings_nothing)
{
	struct emt_stats before, after;
	unsigned int i;

	send_from(self, 0);
	record(self);
	EXPECT_EQ(0, drain(self));
	EXPECT_EQ(COUNT, arrived(self, 0));
	EXPECT_LT(COUNT, self->recorded);

	before = emt_stats(&self->h[1], self->h[1].ifindex);
	for (i = 0; i < 3; i++) {
		replay(self, i);
		EXPECT_EQ(0, drain(self));
	}
	EXPECT_EQ(COUNT, arrived(self, 0));
	after = emt_stats(&self->h[1], self->h[1].ifindex);
	EXPECT_LE(3 * COUNT, after.rx_duplicate - before.rx_duplicate);

	send_from(self, COUNT);
	EXPECT_EQ(0, drain(self));
	EXPECT_EQ(COUNT, arrived(self, COUNT));
	TH_LOG("%u frames recorded and sent again three times: %llu duplicates, 0 delivered twice",
	       self->recorded, (unsigned long long)(after.rx_duplicate - before.rx_duplicate));
}

TEST_F(replay, among_new_messages_does_them_no_harm)
{
	pid_t child;
	int i;

	send_from(self, 0);
	record(self);
	EXPECT_EQ(0, drain(self));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		for (i = 0;; i++)
			replay(self, i);
	}
	for (i = 1; i <= 3; i++) {
		send_from(self, i * COUNT);
		EXPECT_EQ(0, drain(self));
		EXPECT_EQ(COUNT, arrived(self, i * COUNT));
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	EXPECT_EQ(0, drain(self));
}

TEST_F(replay, after_the_receiver_has_forgotten_all_brings_nothing)
{
	struct emt_stats before, after;

	send_from(self, 0);
	record(self);
	EXPECT_EQ(0, drain(self));
	/* As if it had restarted: no association, and a new socket. */
	close(self->fd[1]);
	ASSERT_EQ(0, emt_disable(self->h[1].ctl, self->h[1].ifindex));
	ASSERT_EQ(0, emt_enable(self->h[1].ctl, self->h[1].ifindex));
	self->fd[1] = bound(&self->h[1]);

	before = emt_stats(&self->h[1], self->h[1].ifindex);
	replay(self, 1);
	EXPECT_EQ(0, drain(self));
	EXPECT_EQ(COUNT, arrived(self, 0));
	after = emt_stats(&self->h[1], self->h[1].ifindex);
	EXPECT_LE(COUNT, after.rx_bad_tag - before.rx_bad_tag);

	/* The first may end in ECONNRESET: the sender learns of it by that. */
	sock_get(self->fd[0], SO_ERROR);
	send_from(self, COUNT);
	replay(self, 2);
	EXPECT_EQ(0, drain(self));
	EXPECT_EQ(COUNT, arrived(self, 0));
	EXPECT_EQ(COUNT, arrived(self, COUNT));
	TH_LOG("%u frames from before sent again twice: 0 delivered", self->recorded);
}

TEST_HARNESS_MAIN
