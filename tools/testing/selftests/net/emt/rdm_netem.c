// SPDX-License-Identifier: GPL-2.0
/*
 * Reliable messages over a wire that loses, delays, reorders, doubles and
 * corrupts: each arrives, once and whole.
 */
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "emt_test.h"

#define PORT	5000

/* How many messages. */
static unsigned int count;

/* Messages of one frame mostly, some of several, a few of many. */
static size_t size_of(unsigned int seq)
{
	static const size_t size[] = { 8, 100, 1400, 1452, 1453, 3000, 10000, 64, 700, 30000 };

	return seq % 120 == 119 ? 300000 + seq : size[seq % ARRAY_SIZE(size)];
}

static void fill(unsigned char *buf, unsigned int seq)
{
	pattern(buf, size_of(seq), seq);
	memcpy(buf, &seq, sizeof(seq));
}

FIXTURE(netem)
{
	struct host h[2];
	int fd[2];
	struct sockaddr_emt to[2];
};

/*
 * Long messages go through the device in pieces of many packets, which netem
 * loses, delays and doubles as a whole.
 * @how: what netem does
 * @features: for ethtool -K: so that each packet goes by itself (gso off), or
 *	that pieces are cut behind netem (tx-gso-list off), and summed up (tx off)
 */
FIXTURE_VARIANT(netem)
{
	const char *how;
	const char *features;
};

FIXTURE_VARIANT_ADD(netem, clean) { .how = "delay 0" };
FIXTURE_VARIANT_ADD(netem, delay_50us) { .how = "delay 50us" };
FIXTURE_VARIANT_ADD(netem, delay_5ms) { .how = "delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_0_1) { .how = "loss 0.1%" };
FIXTURE_VARIANT_ADD(netem, loss_0_1_delay_50us) {
	.how = "loss 0.1% delay 50us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, loss_0_1_delay_5ms) { .how = "loss 0.1% delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_1) { .how = "loss 1%" };
FIXTURE_VARIANT_ADD(netem, loss_1_delay_50us) {
	.how = "loss 1% delay 50us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, loss_1_delay_5ms) { .how = "loss 1% delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_10) { .how = "loss 10%" };
FIXTURE_VARIANT_ADD(netem, loss_10_delay_50us) {
	.how = "loss 10% delay 50us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, loss_10_delay_5ms) { .how = "loss 10% delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_30) { .how = "loss 30%" };
FIXTURE_VARIANT_ADD(netem, loss_30_delay_50us) {
	.how = "loss 30% delay 50us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, loss_30_delay_5ms) { .how = "loss 30% delay 5ms" };
FIXTURE_VARIANT_ADD(netem, reorder) { .how = "delay 1ms reorder 25%" };
FIXTURE_VARIANT_ADD(netem, reorder_loss_5) { .how = "delay 1ms reorder 25% loss 5%" };
FIXTURE_VARIANT_ADD(netem, jitter) { .how = "delay 1ms 900us", .features = "gso off" };
FIXTURE_VARIANT_ADD(netem, duplicate) { .how = "duplicate 20%" };
FIXTURE_VARIANT_ADD(netem, duplicate_late) {
	.how = "duplicate 20% delay 1ms 900us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, corrupt) { .how = "corrupt 2%" };
FIXTURE_VARIANT_ADD(netem, rate_100mbit) { .how = "rate 100mbit" };
FIXTURE_VARIANT_ADD(netem, rate_10mbit_short_queue) { .how = "rate 50mbit limit 20" };
FIXTURE_VARIANT_ADD(netem, all_at_once) {
	.how = "delay 200us 150us loss 3% duplicate 3% corrupt 1% rate 200mbit"
};

FIXTURE_VARIANT_ADD(netem, all_at_once_by_packet) {
	.how = "delay 200us 150us loss 3% duplicate 3% corrupt 1% rate 200mbit",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, reorder_loss_5_by_packet) {
	.how = "delay 1ms reorder 25% loss 5%",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, cut) { .how = "loss 5%", .features = "tx-gso-list off" };
FIXTURE_VARIANT_ADD(netem, cut_and_summed) { .how = "loss 5%", .features = "tx off" };

FIXTURE_SETUP(netem)
{
	char command[200];
	int i;

	REQUIRE_EMT();
	count = as_many(240, 2);
	if (system("command -v tc >/dev/null"))
		SKIP(return, "no tc (iproute2)");
	if (variant->features && system("command -v ethtool >/dev/null"))
		SKIP(return, "no ethtool");
	hosts_enabled(self->h, 1500);
	for (i = 0; i < 2; i++) {
		netns_enter(self->h[i].netns);
		snprintf(command, sizeof(command), "tc qdisc add dev " EMT_DEV " root netem %s",
			 variant->how);
		if (system(command))
			SKIP(return, "no netem (CONFIG_NET_SCH_NETEM), or it knows less: %s",
			     variant->how);
		snprintf(command, sizeof(command), "ethtool -K " EMT_DEV " %s >/dev/null",
			 variant->features);
		if (variant->features && system(command))
			SKIP(return, "the device has no %s", variant->features);
		self->fd[i] = emt_bound_of(&self->h[i], SOCK_RDM, 0, PORT);
		self->to[i] = emt_addr(self->h[i].ifindex, self->h[!i].mac, PORT);
	}
}

FIXTURE_TEARDOWN(netem)
{
	close(self->fd[0]);
	close(self->fd[1]);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Sends all messages and waits until all have arrived. */
static int send_all(int fd, const struct sockaddr_emt *to)
{
	unsigned char *buf = malloc(size_of(count - 1) + count);
	time_t end = time(NULL) + 100;
	unsigned int seq;
	int left, sent;

	for (seq = 0; seq < count; seq++) {
		fill(buf, seq);
		sent = emt_sendto(fd, buf, size_of(seq), 0, to);
		if (sent != size_of(seq)) {
			printf("# message %u: %s\n", seq, strerror(-sent));
			return 1;
		}
	}
	do {
		usleep(1000);
		if (ioctl(fd, SIOCOUTQ, &left))
			return 2;
	} while (left && time(NULL) < end);
	if (left)
		printf("# %d bytes have not arrived\n", left);
	left |= sock_get(fd, SO_ERROR);
	free(buf);
	return left ? 3 : 0;
}

static void receive_all(struct __test_metadata *_metadata, int fd)
{
	size_t room = size_of(count - 1) + count;
	unsigned char *buf = malloc(room), *want = malloc(room);
	unsigned char *seen = calloc(count, 1);
	unsigned int i, seq;
	int got;

	for (i = 0; i < count; i++) {
		got = emt_recv(fd, buf, room, 0);
		ASSERT_LE(8, got) {
			TH_LOG("after %u messages: %s", i, strerror(-got));
		}
		memcpy(&seq, buf, sizeof(seq));
		ASSERT_GT(count, seq);
		ASSERT_EQ(0, seen[seq]) {
			TH_LOG("message %u came twice", seq);
		}
		seen[seq] = 1;
		ASSERT_EQ((int)size_of(seq), got);
		fill(want, seq);
		ASSERT_EQ(0, memcmp(buf, want, got)) {
			TH_LOG("message %u has other bytes", seq);
		}
	}
	free(buf);
	free(want);
	free(seen);
}

TEST_F(netem, each_message_arrives_once_and_whole)
{
	double start = seconds();
	pid_t sender[2];
	int i, status;
	char byte;

	for (i = 0; i < 2; i++) {
		sender[i] = fork();
		ASSERT_LE(0, sender[i]);
		if (!sender[i])
			_exit(send_all(self->fd[i], &self->to[i]));
	}
	receive_all(_metadata, self->fd[1]);
	receive_all(_metadata, self->fd[0]);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(sender[i], waitpid(sender[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	/* Nothing comes after it. */
	usleep(50000);
	EXPECT_EQ(-EAGAIN, emt_recv(self->fd[0], &byte, 1, MSG_DONTWAIT));
	EXPECT_EQ(-EAGAIN, emt_recv(self->fd[1], &byte, 1, MSG_DONTWAIT));
	TH_LOG("%s: %.2f s", variant->how, seconds() - start);
}

TEST_HARNESS_MAIN
