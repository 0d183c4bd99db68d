// SPDX-License-Identifier: GPL-2.0
/* The buffers of connections: what they bound, and when they grow. */
#include <linux/if_packet.h>

#include "emt_test.h"
#include "emt_conn.h"

#define SMALL	15000
#define MUCH	(2 << 20)

FIXTURE(buffers)
{
	struct conn c;
};

FIXTURE_VARIANT(buffers)
{
	int type;
};

FIXTURE_VARIANT_ADD(buffers, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(buffers, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(buffers)
{
	NOT_FOR(AF_UNIX);
	REQUIRE_CONN(variant->type);
	conn_begin_listening(&self->c, variant->type);
}

FIXTURE_TEARDOWN(buffers)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

/* A connection whose ends have small buffers from the start. */
static void small_pair(struct conn *c)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);

	sock_set(c->listener, SO_RCVBUF, SMALL);
	sock_set(c->listener, SO_SNDBUF, SMALL);
	c->fd[1] = conn_socket(&c->h[1], c->type);
	sock_set(c->fd[1], SO_RCVBUF, SMALL);
	sock_set(c->fd[1], SO_SNDBUF, SMALL);
	if (conn_connect(c->fd[1], &to))
		die("connect");
	c->fd[0] = accept(c->listener, NULL, NULL);
	if (c->fd[0] < 0)
		die("accept");
	set_timeout(c->fd[0], SO_RCVTIMEO, EMT_WAIT_S * 1000);
}

/* Each byte takes more of memory than a byte, and that is what is bounded. */
TEST_F_TIMEOUT(buffers, single_bytes_do_not_take_more_than_there_is, 200)
{
	struct conn *c = &self->c;
	char *in = calloc(1, MUCH);
	long sent, got, n;

	small_pair(c);
	EXPECT_EQ(2 * SMALL, sock_get(c->fd[0], SO_RCVBUF));
	sent = fill(c->fd[1], 1);
	EXPECT_LE(30, sent);
	EXPECT_GE(4 * SMALL + 10000, sent);
	for (got = 0; got < sent; got += n) {
		n = recv(c->fd[0], in, MUCH, 0);
		ASSERT_LT(0, n);
		/* What is read makes room, and nothing is left behind. */
		EXPECT_GE(2 * SMALL, n);
	}
	EXPECT_EQ(sent, got);
	EXPECT_EQ(true, wait_sent(c->fd[1]));
	free(in);
}

/* A long way has room for more bytes than buffers have at first, on slow machines, too. */
static bool make_it_long(struct conn *c)
{
	int i;

	for (i = 0; i < 2; i++) {
		netns_enter(c->h[i].netns);
		if (system("tc qdisc add dev " EMT_DEV " root netem delay 200ms limit 100000"))
			return false;
	}
	return true;
}

static long max_of(const char *name)
{
	char path[64];
	long value;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/core/%s", name);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%ld", &value) != 1)
		die("%s", path);
	fclose(file);
	return value;
}

static void transfer(struct __test_metadata *_metadata, struct conn *c, size_t len)
{
	pid_t pid = CHILD(pattern_send(c->fd[1], len, 3));

	EXPECT_EQ(true, pattern_recv(c->fd[0], len, 3));
	EXPECT_EQ(0, ends(pid));
}

TEST_F_TIMEOUT(buffers, grow_where_they_hold_up_who_keeps_up, 200)
{
	struct conn *c = &self->c;
	int rcvbuf, sndbuf;

	if (!make_it_long(c))
		SKIP(return, "no netem (tc and CONFIG_NET_SCH_NETEM)");
	conn_pair(c, c->fd);
	rcvbuf = sock_get(c->fd[0], SO_RCVBUF);
	sndbuf = sock_get(c->fd[1], SO_SNDBUF);
	transfer(_metadata, c, MUCH);
	EXPECT_LE(2 * rcvbuf, sock_get(c->fd[0], SO_RCVBUF));
	EXPECT_LT(sndbuf, sock_get(c->fd[1], SO_SNDBUF));
	if (conn_family == AF_EMT) {
		EXPECT_GE(max_of("rmem_max"), sock_get(c->fd[0], SO_RCVBUF));
		EXPECT_GE(max_of("wmem_max"), sock_get(c->fd[1], SO_SNDBUF));
		/* Nothing has come the other way. */
		EXPECT_EQ(rcvbuf, sock_get(c->fd[1], SO_RCVBUF));
		EXPECT_EQ(sndbuf, sock_get(c->fd[0], SO_SNDBUF));
	}
}

TEST_F_TIMEOUT(buffers, are_what_the_user_has_made_them, 200)
{
	struct conn *c = &self->c;

	if (!make_it_long(c))
		SKIP(return, "no netem (tc and CONFIG_NET_SCH_NETEM)");
	conn_pair(c, c->fd);
	sock_set(c->fd[0], SO_RCVBUF, 100000);
	sock_set(c->fd[1], SO_SNDBUF, 100000);
	transfer(_metadata, c, 500000);
	EXPECT_EQ(200000, sock_get(c->fd[0], SO_RCVBUF));
	EXPECT_EQ(200000, sock_get(c->fd[1], SO_SNDBUF));
}

TEST_F(buffers, do_not_grow_for_who_does_not_read)
{
	struct conn *c = &self->c;
	int rcvbuf, sndbuf;

	conn_pair(c, c->fd);
	rcvbuf = sock_get(c->fd[0], SO_RCVBUF);
	sndbuf = sock_get(c->fd[1], SO_SNDBUF);
	EXPECT_LT(rcvbuf / 4, fill(c->fd[1], 1000));
	EXPECT_EQ(rcvbuf, sock_get(c->fd[0], SO_RCVBUF));
	if (conn_family == AF_EMT)
		EXPECT_EQ(sndbuf, sock_get(c->fd[1], SO_SNDBUF));
}

/* Where the fields of a connection's packet are, and what they say. */
#define FLOW_TYPE	7
#define FLOW_FLAGS	50
#define FLOW_RECORD	2
#define FLOW_LEN	52
#define SHORT		5000

/*
 * Counts packets of connections that have come to a host with bytes, also such as
 * are several in one piece, and those with few of them that end no record.
 */
static void count_packets(int raw, int *all, int *few)
{
	const int headers = ETH_HLEN + FLOW_LEN;
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	unsigned char head[ETH_HLEN + FLOW_LEN];
	ssize_t len;

	for (;;) {
		len = recvfrom(raw, head, sizeof(head), MSG_DONTWAIT | MSG_TRUNC,
			       (struct sockaddr *)&from, &from_len);
		if (len < 0)
			break;
		if (from.sll_pkttype == PACKET_OUTGOING || len <= headers ||
		    head[ETH_HLEN + 3] != FLOW_TYPE)
			continue;
		(*all)++;
		if (len < headers + SHORT && !(head[ETH_HLEN + FLOW_FLAGS] & FLOW_RECORD))
			(*few)++;
	}
}

/* A sender that has more is let go on when there is much room, and not by half of what is left. */
TEST_F(buffers, are_not_filled_bit_by_bit)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_EMT) };
	struct conn *c = &self->c;
	int raw, few = 0, all = 0;

	EMT_ONLY();
	conn_pair(c, c->fd);
	netns_enter(c->h[0].netns);
	at.sll_ifindex = link_index(EMT_DEV);
	raw = socket(AF_PACKET, SOCK_RAW, 0);
	ASSERT_LE(0, raw);
	/* It has room for all: the short ones come last. */
	sock_set(raw, SO_RCVBUFFORCE, 8 << 20);
	ASSERT_EQ(0, bind(raw, (struct sockaddr *)&at, sizeof(at)));
	EXPECT_LT(100000, fill(c->fd[1], 100000));
	count_packets(raw, &all, &few);
	EXPECT_LT(2, all);
	/* What is left of the room at last; the end of what was written at once may be one, too. */
	EXPECT_GE(2, few)
		TH_LOG("%d of %d packets were short", few, all);
	close(raw);
}

TEST_HARNESS_MAIN
