// SPDX-License-Identifier: GPL-2.0
/* Broadcast, and datagrams to the host's own addresses, which no wire sees. */
#include "emt_test.h"

#define LO	1	/* the loopback's index in every namespace */

FIXTURE(cast)
{
	struct host h[2];
	int a, b;	/* both bound to port 5000 of every interface */
	struct frame *f;
};

FIXTURE_SETUP(cast)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->a = emt_bound(&self->h[0], 0, 5000);
	self->b = emt_bound(&self->h[1], 0, 5000);
	sock_set(self->a, SO_BROADCAST, 1);
	self->f = malloc(sizeof(*self->f));
	ASSERT_NE(NULL, self->f);
}

FIXTURE_TEARDOWN(cast)
{
	free(self->f);
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Receives "hello" and compares its source. */
static bool hears_hello(int fd, struct sockaddr_emt want)
{
	struct sockaddr_emt from;
	socklen_t len = sizeof(from);
	char buf[16];
	int n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);

	if (n != 5 || memcmp(buf, "hello", 5)) {
		fprintf(stderr, "# received %d: %s\n", n, strerror(errno));
		return false;
	}
	return !memcmp(&from, &want, sizeof(want));
}

static int nothing_waits(int fd)
{
	return emt_recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT) == -EAGAIN;
}

TEST_F(cast, broadcast_reaches_every_host_and_the_senders_own)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(true, hears_hello(self->b, emt_addr(self->h[1].ifindex,
						      self->h[0].mac, 5000)));
	EXPECT_EQ(true, hears_hello(self->a, emt_addr(self->h[0].ifindex,
						      self->h[0].mac, 5000)));
	EXPECT_EQ(1, nothing_waits(self->a));
	EXPECT_EQ(1, nothing_waits(self->b));
}

TEST_F(cast, broadcast_reaches_another_socket_of_the_sending_host)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);
	int fd = emt_bound(&self->h[0], self->h[0].ifindex, 6000);

	sock_set(fd, SO_BROADCAST, 1);
	ASSERT_EQ(5, emt_sendto(fd, "hello", 5, 0, &to));
	EXPECT_EQ(true, hears_hello(self->a, emt_addr(self->h[0].ifindex,
						      self->h[0].mac, 6000)));
	EXPECT_EQ(true, hears_hello(self->b, emt_addr(self->h[1].ifindex,
						      self->h[0].mac, 6000)));
	EXPECT_EQ(1, nothing_waits(fd));
	close(fd);
}

TEST_F(cast, broadcast_goes_to_its_port_only)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5001);
	struct emt_stats before = emt_stats(&self->h[1], self->h[1].ifindex);

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(true, stats_grew_only(&self->h[1], self->h[1].ifindex, &before,
					STAT(rx_no_socket), 1));
	EXPECT_EQ(1, nothing_waits(self->b));
	EXPECT_EQ(1, nothing_waits(self->a));
}

TEST_F(cast, broadcast_stays_on_its_interface)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);
	int lo;

	close(self->a);
	lo = emt_bound(&self->h[0], LO, 5000);
	self->a = emt_bound(&self->h[0], self->h[0].ifindex, 5000);
	sock_set(self->a, SO_BROADCAST, 1);
	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(true, hears_hello(self->a, emt_addr(self->h[0].ifindex,
						      self->h[0].mac, 5000)));
	EXPECT_EQ(1, nothing_waits(lo));
	close(lo);
}

TEST_F(cast, broadcast_on_the_loopback_comes_once)
{
	struct sockaddr_emt to = emt_addr(LO, emt_bcast, 5000);

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(true, hears_hello(self->a, emt_addr(LO, emt_zero, 5000)));
	EXPECT_EQ(1, nothing_waits(self->a));
	EXPECT_EQ(1, nothing_waits(self->b));
}

TEST_F(cast, broadcast_of_the_longest_datagram_fits)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);
	unsigned char out[EMT_MAX_DGRAM(1500) + 1], in[2000];

	pattern(out, sizeof(out), 1);
	EXPECT_EQ(-EMSGSIZE, emt_sendto(self->a, out, sizeof(out), 0, &to));
	ASSERT_EQ(sizeof(out) - 1, emt_sendto(self->a, out, sizeof(out) - 1, 0, &to));
	ASSERT_EQ(sizeof(out) - 1, emt_recv(self->b, in, sizeof(in), 0));
	EXPECT_EQ(0, memcmp(in, out, sizeof(out) - 1));
	ASSERT_EQ(sizeof(out) - 1, emt_recv(self->a, in, sizeof(in), 0));
	EXPECT_EQ(0, memcmp(in, out, sizeof(out) - 1));
}

TEST_F(cast, broadcast_is_one_frame_to_the_broadcast_address)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);
	int watch = frame_socket(&self->h[1], EMT_DEV);

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	ASSERT_EQ(true, frame_recv(watch, self->f, NULL, EMT_WAIT_S * 1000));
	EXPECT_EQ(0, memcmp(self->f->data, emt_bcast, ETH_ALEN));
	EXPECT_EQ(true, frame_sum_ok(self->f));
	EXPECT_EQ(true, hears_hello(self->b, emt_addr(self->h[1].ifindex,
						      self->h[0].mac, 5000)));
	EXPECT_EQ(false, frame_recv(watch, self->f, NULL, 0));
	close(watch);
}

TEST_F(cast, socket_connected_to_broadcast_hears_nobody)
{
	struct sockaddr_emt to = emt_addr(self->h[0].ifindex, emt_bcast, 5000);
	struct sockaddr_emt back = emt_addr(self->h[1].ifindex, self->h[0].mac, 5000);
	struct emt_stats before;

	ASSERT_EQ(0, emt_connect(self->a, &to));
	before = emt_stats(&self->h[0], self->h[0].ifindex);
	ASSERT_EQ(5, emt_sendto(self->b, "hello", 5, 0, &back));
	EXPECT_EQ(true, stats_grew_only(&self->h[0], self->h[0].ifindex, &before,
					STAT(rx_no_socket), 1));
	EXPECT_EQ(1, nothing_waits(self->a));
}

TEST_F(cast, own_address_is_delivered_without_the_wire)
{
	struct sockaddr_emt own = emt_addr(self->h[0].ifindex, self->h[0].mac, 5000);
	struct sockaddr_emt wire = emt_addr(self->h[0].ifindex, self->h[1].mac, 5001);
	int near = frame_socket(&self->h[0], EMT_DEV);
	int far = frame_socket(&self->h[1], EMT_DEV);
	bool outgoing;

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &own));
	EXPECT_EQ(true, hears_hello(self->a, own));

	/* The next frame on the wire is one that belongs there. */
	ASSERT_EQ(5, emt_sendto(self->a, "fence", 5, 0, &wire));
	ASSERT_EQ(true, frame_recv(far, self->f, NULL, EMT_WAIT_S * 1000));
	EXPECT_EQ(5001, get16(&EMT_BYTE(self->f, EMT_OFF_DPORT)));
	do {
		ASSERT_EQ(true, frame_recv(near, self->f, &outgoing, EMT_WAIT_S * 1000));
	} while (!outgoing);
	EXPECT_EQ(5001, get16(&EMT_BYTE(self->f, EMT_OFF_DPORT)));
	close(near);
	close(far);
}

TEST_F(cast, own_address_is_found_from_any_interface)
{
	static const unsigned char mac[2][ETH_ALEN] = { { 2, 0, 0, 0, 1, 1 },
							{ 2, 0, 0, 0, 1, 2 } };
	struct sockaddr_emt to;
	int other;

	netns_enter(self->h[0].netns);
	link_add_veth("emt1", mac[0], "emt1", mac[1], self->h[1].netns, 1500);
	link_up("emt1", true);
	other = link_index("emt1");
	ASSERT_EQ(0, emt_enable(self->h[0].ctl, other));

	/* Sent by emt0 to emt1's address: as if it had arrived at emt1. */
	to = emt_addr(self->h[0].ifindex, mac[0], 5000);
	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(true, hears_hello(self->a, emt_addr(other, self->h[0].mac, 5000)));

	/* Not an own address once that device no longer carries EMT. */
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, other));
	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(1, nothing_waits(self->a));
}

TEST_F(cast, own_address_to_an_unused_port_is_counted)
{
	struct sockaddr_emt own = emt_addr(self->h[0].ifindex, self->h[0].mac, 5001);
	struct emt_stats before = emt_stats(&self->h[0], self->h[0].ifindex);

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &own));
	EXPECT_EQ(true, stats_grew_only(&self->h[0], self->h[0].ifindex, &before,
					STAT(rx_no_socket), 1));
}

TEST_F(cast, loopback_takes_only_its_own_address)
{
	static const unsigned char stranger[ETH_ALEN] = { 2, 0, 0, 0, 0, 0x77 };
	struct sockaddr_emt to = emt_addr(LO, stranger, 5000);
	struct emt_stats before = emt_stats(&self->h[0], LO);
	struct sockaddr_emt own = emt_addr(LO, emt_zero, 5000);

	ASSERT_EQ(5, emt_sendto(self->a, "wrong", 5, 0, &to));
	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &own));
	EXPECT_EQ(true, hears_hello(self->a, own));
	EXPECT_EQ(true, stats_grew_only(&self->h[0], LO, &before, STAT(rx_packets), 1));
}

TEST_F(cast, namespaces_do_not_hear_each_others_loopback)
{
	struct sockaddr_emt to = emt_addr(LO, emt_zero, 5000);

	ASSERT_EQ(5, emt_sendto(self->a, "hello", 5, 0, &to));
	EXPECT_EQ(true, hears_hello(self->a, to));
	EXPECT_EQ(1, nothing_waits(self->b));
}

TEST_HARNESS_MAIN
