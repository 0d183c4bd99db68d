// SPDX-License-Identifier: GPL-2.0
/*
 * Short messages and long ones are two flows: where the queue of a device is
 * fair to flows, a short one does not wait behind a long one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "emt_test.h"

#define PORT	5000
#define LONG	100000
#define SHORT	100

/* At this rate what a long message sends unasked, 48 kB, takes 0.4 s. */
#define QUEUE	"root handle 1: tbf rate 1mbit burst 2000 limit 10000000"
#define FAIR	"parent 1:1 handle 2: fq_codel target 10s"
#define AT_MOST	0.2

FIXTURE(fair)
{
	struct host h[2];
	int fd[2];
	struct sockaddr_emt to;
};

FIXTURE_SETUP(fair)
{
	REQUIRE_EMT();
	if (system("command -v tc >/dev/null"))
		SKIP(return, "no tc (iproute2)");
	hosts_enabled(self->h, 1500);
	netns_enter(self->h[0].netns);
	if (system("tc qdisc add dev " EMT_DEV " " QUEUE) ||
	    system("tc qdisc add dev " EMT_DEV " " FAIR))
		SKIP(return, "no fair queue (CONFIG_NET_SCH_TBF, CONFIG_NET_SCH_FQ_CODEL)");
	self->fd[0] = emt_bound_of(&self->h[0], SOCK_RDM, 0, PORT);
	self->fd[1] = emt_bound_of(&self->h[1], SOCK_RDM, 0, PORT);
	self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, PORT);
}

FIXTURE_TEARDOWN(fair)
{
	close(self->fd[0]);
	close(self->fd[1]);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(fair, a_short_message_does_not_wait_behind_a_long_one)
{
	unsigned char *buf = malloc(LONG), *want = malloc(LONG);
	double start, took;

	pattern(want, LONG, 1);
	/* The hosts have met then. */
	ASSERT_EQ(SHORT, emt_sendto(self->fd[0], want, SHORT, 0, &self->to));
	ASSERT_EQ(SHORT, emt_recv(self->fd[1], buf, LONG, 0));

	ASSERT_EQ(LONG, emt_sendto(self->fd[0], want, LONG, 0, &self->to));
	start = seconds();
	ASSERT_EQ(SHORT, emt_sendto(self->fd[0], want, SHORT, 0, &self->to));
	ASSERT_EQ(SHORT, emt_recv(self->fd[1], buf, LONG, 0));
	took = seconds() - start;
	EXPECT_GT(AT_MOST, took);
	EXPECT_EQ(LONG, emt_recv(self->fd[1], buf, LONG, 0));
	EXPECT_EQ(0, memcmp(buf, want, LONG));
	TH_LOG("the short one took %.0f ms, both %.0f ms", 1000 * took, 1000 * (seconds() - start));
	free(buf);
	free(want);
}

TEST_HARNESS_MAIN
