// SPDX-License-Identifier: GPL-2.0
/* What happens to EMT when its devices change, and which devices carry it. */
#include <arpa/inet.h>

#include "emt_test.h"

FIXTURE(device)
{
	struct host h[2];
	int a, b;		/* b is bound to port 5000 */
	struct sockaddr_emt to;	/* b as a sees it */
};

FIXTURE_SETUP(device)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->a = emt_socket(&self->h[0]);
	self->b = emt_bound(&self->h[1], 0, 5000);
	self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
	netns_enter(self->h[0].netns);
}

FIXTURE_TEARDOWN(device)
{
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Sends from @a to @to and receives it on @b; @from, if given, is its source. */
static bool passes(int a, const struct sockaddr_emt *to, int b, struct sockaddr_emt *from)
{
	struct sockaddr_emt src;
	socklen_t len = sizeof(src);
	static int count;
	char out[16], in[16];
	int n;

	snprintf(out, sizeof(out), "number %d", count++);
	n = emt_sendto(a, out, sizeof(out), 0, to);
	if (n != sizeof(out)) {
		fprintf(stderr, "# send: %s\n", strerror(-n));
		return false;
	}
	n = recvfrom(b, in, sizeof(in), 0, (void *)&src, &len);
	if (n != sizeof(out) || memcmp(in, out, n)) {
		fprintf(stderr, "# receive %d: %s\n", n, strerror(errno));
		return false;
	}
	if (from)
		*from = src;
	return true;
}

static bool nothing_waits(int fd)
{
	return emt_recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT) == -EAGAIN;
}

TEST_F(device, renamed_goes_on)
{
	struct emt_stats st;

	link_up(EMT_DEV, false);
	link_rename(EMT_DEV, "wire7");
	link_up("wire7", true);
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, NULL));
	st = emt_stats(&self->h[0], self->h[0].ifindex);
	EXPECT_EQ(1, st.tx_packets);
}

TEST_F(device, limit_follows_the_mtu)
{
	static const int mtus[] = { 9000, 1280, 68, 1500 };
	static char buf[9000];
	int i, max;

	for (i = 0; i < ARRAY_SIZE(mtus); i++) {
		netns_enter(self->h[1].netns);
		link_set_mtu(EMT_DEV, mtus[i]);
		netns_enter(self->h[0].netns);
		link_set_mtu(EMT_DEV, mtus[i]);
		max = EMT_MAX_DGRAM(mtus[i]);
		EXPECT_EQ(-EMSGSIZE, emt_sendto(self->a, buf, max + 1, 0, &self->to));
		EXPECT_EQ(max, emt_sendto(self->a, buf, max, 0, &self->to));
		EXPECT_EQ(max, emt_recv(self->b, buf, sizeof(buf), 0));
	}
}

TEST_F(device, new_address_is_used_at_once)
{
	static const unsigned char mac[ETH_ALEN] = { 2, 0, 0, 7, 7, 7 };
	struct sockaddr_emt from, old = emt_addr(self->h[1].ifindex, self->h[0].mac, 6000);
	struct sockaddr_emt new = emt_addr(self->h[1].ifindex, mac, 6000), own;
	int fd = emt_bound(&self->h[0], 0, 6000);

	EXPECT_EQ(true, passes(self->b, &old, fd, NULL));
	link_set_mac(EMT_DEV, mac);
	ASSERT_EQ(true, passes(fd, &self->to, self->b, &from));
	EXPECT_EQ(0, memcmp(from.semt_addr, mac, ETH_ALEN));
	EXPECT_EQ(true, passes(self->b, &new, fd, NULL));

	/* The old one is another station's now. */
	ASSERT_EQ(1, emt_sendto(self->b, "x", 1, 0, &old));
	EXPECT_EQ(true, nothing_waits(fd));
	own = emt_addr(self->h[0].ifindex, mac, 6000);
	EXPECT_EQ(true, passes(fd, &own, fd, NULL));
	own = emt_addr(self->h[0].ifindex, self->h[0].mac, 6000);
	ASSERT_EQ(1, emt_sendto(fd, "x", 1, 0, &own));
	EXPECT_EQ(true, nothing_waits(fd));
	close(fd);
}

TEST_F(device, down_and_up_again_goes_on)
{
	int i;

	for (i = 0; i < 5; i++) {
		link_up(EMT_DEV, false);
		EXPECT_EQ(-ENETDOWN, emt_sendto(self->a, "x", 1, 0, &self->to));
		link_up(EMT_DEV, true);
		EXPECT_EQ(true, passes(self->a, &self->to, self->b, NULL));
	}
}

TEST_F(device, enabled_while_down_works_once_up)
{
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	link_up(EMT_DEV, false);
	ASSERT_EQ(0, emt_enable(self->h[0].ctl, self->h[0].ifindex));
	EXPECT_EQ(-ENETDOWN, emt_sendto(self->a, "x", 1, 0, &self->to));
	link_up(EMT_DEV, true);
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, NULL));
}

TEST_F(device, disabled_and_enabled_again_serves_the_sockets_it_had)
{
	int fd = emt_bound(&self->h[0], self->h[0].ifindex, 6000);
	struct sockaddr_emt back = emt_addr(self->h[1].ifindex, self->h[0].mac, 6000);

	ASSERT_EQ(0, emt_connect(self->a, &self->to));
	ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
	EXPECT_EQ(-ENODEV, emt_sendto(self->a, "x", 1, 0, NULL));
	ASSERT_EQ(0, emt_enable(self->h[0].ctl, self->h[0].ifindex));
	EXPECT_EQ(true, passes(self->a, NULL, self->b, NULL));
	EXPECT_EQ(ENETDOWN, sock_get(fd, SO_ERROR));
	EXPECT_EQ(true, passes(self->b, &back, fd, NULL));
	close(fd);
}

TEST_F(device, moved_away_is_disabled_there_and_here)
{
	struct host there;
	struct emt_stats st;
	int ifindex, fd;

	host_new(&there);
	netns_enter(self->h[0].netns);
	link_move(EMT_DEV, there.netns);
	EXPECT_EQ(-ENODEV, emt_sendto(self->a, "x", 1, 0, &self->to));
	EXPECT_EQ(ENODEV, emt_get_stats(self->h[0].ctl, self->h[0].ifindex, &st));

	netns_enter(there.netns);
	ifindex = link_index(EMT_DEV);
	link_up(EMT_DEV, true);
	EXPECT_EQ(ENODEV, emt_get_stats(there.ctl, ifindex, &st));
	self->to.semt_ifindex = ifindex;
	fd = emt_socket(&there);
	EXPECT_EQ(-ENODEV, emt_sendto(fd, "x", 1, 0, &self->to));
	ASSERT_EQ(0, emt_enable(there.ctl, ifindex));
	EXPECT_EQ(true, passes(fd, &self->to, self->b, NULL));

	/* And back: nothing is remembered. */
	link_move(EMT_DEV, self->h[0].netns);
	netns_enter(self->h[0].netns);
	EXPECT_EQ(ENODEV, emt_get_stats(self->h[0].ctl, link_index(EMT_DEV), &st));
	close(fd);
	host_free(&there);
}

TEST_F(device, deleted_and_made_anew_is_not_enabled)
{
	static const unsigned char mac[ETH_ALEN] = { 2, 0, 0, 0, 0, 0x0b };
	int ifindex;

	link_del(EMT_DEV);
	EXPECT_EQ(-ENODEV, emt_sendto(self->a, "x", 1, 0, &self->to));
	link_add_veth(EMT_DEV, self->h[0].mac, EMT_DEV, mac, self->h[1].netns, 1500);
	link_up(EMT_DEV, true);
	ifindex = link_index(EMT_DEV);
	self->to.semt_ifindex = ifindex;
	EXPECT_EQ(-ENODEV, emt_sendto(self->a, "x", 1, 0, &self->to));
	ASSERT_EQ(0, emt_enable(self->h[0].ctl, ifindex));

	netns_enter(self->h[1].netns);
	link_up(EMT_DEV, true);
	ASSERT_EQ(0, emt_enable(self->h[1].ctl, link_index(EMT_DEV)));
	netns_enter(self->h[0].netns);
	link_wait(EMT_DEV);
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, NULL));
}

/* Runs a shell command in host @h; false if it fails. */
static bool run(const struct host *h, const char *cmd)
{
	netns_enter(h->netns);
	return !system(cmd);
}

/* Enables device @name of host @h and brings it up; fills @index and @mac. */
static void carry(const struct host *h, const char *name, int *index, unsigned char *mac)
{
	netns_enter(h->netns);
	link_up(name, true);
	*index = link_index(name);
	link_get_mac(name, mac);
	errno = emt_enable(h->ctl, *index);
	if (errno)
		die("enable %s", name);
}

TEST_F(device, vlan_is_a_wire_of_its_own)
{
	struct sockaddr_emt to, from;
	unsigned char mac[ETH_ALEN];
	int i, index[2];

	for (i = 0; i < 2; i++) {
		if (!run(&self->h[i], "ip link add link " EMT_DEV " name v5 type vlan id 5"))
			SKIP(return, "no VLAN device (ip, CONFIG_VLAN_8021Q)");
		carry(&self->h[i], "v5", &index[i], mac);
	}
	to = emt_addr(index[0], mac, 5000);
	EXPECT_EQ(true, passes(self->a, &to, self->b, &from));
	EXPECT_EQ(index[1], from.semt_ifindex);
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, &from));
	EXPECT_EQ(self->h[1].ifindex, from.semt_ifindex);

	/* Not enabled, the VLAN passes nothing, and the wire below still does. */
	ASSERT_EQ(0, emt_disable(self->h[1].ctl, index[1]));
	ASSERT_EQ(1, emt_sendto(self->a, "x", 1, 0, &to));
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, NULL));
}

TEST_F(device, macvlan_is_a_station_of_its_own)
{
	struct sockaddr_emt to, from;
	unsigned char mac[ETH_ALEN];
	int index;

	if (!run(&self->h[1], "ip link add link " EMT_DEV " name mv0 type macvlan mode bridge"))
		SKIP(return, "no macvlan device (ip, CONFIG_MACVLAN)");
	carry(&self->h[1], "mv0", &index, mac);
	to = emt_addr(self->h[0].ifindex, mac, 5000);
	EXPECT_EQ(true, passes(self->a, &to, self->b, &from));
	EXPECT_EQ(index, from.semt_ifindex);
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, &from));
	EXPECT_EQ(self->h[1].ifindex, from.semt_ifindex);
}

TEST_F(device, bridge_carries_for_its_ports)
{
	struct sockaddr_emt to, from;
	unsigned char mac[ETH_ALEN];
	int index;

	if (!run(&self->h[1], "ip link add br0 type bridge"))
		SKIP(return, "no bridge device (ip, CONFIG_BRIDGE)");
	ASSERT_EQ(true, run(&self->h[1], "ip link set " EMT_DEV " master br0"));
	carry(&self->h[1], "br0", &index, mac);
	to = emt_addr(self->h[0].ifindex, mac, 5000);
	EXPECT_EQ(true, passes(self->a, &to, self->b, &from));
	EXPECT_EQ(index, from.semt_ifindex);

	to = emt_addr(index, self->h[0].mac, emt_port(self->a));
	EXPECT_EQ(true, passes(self->b, &to, self->a, NULL));
}

TEST_F(device, dummy_swallows_what_is_not_its_own)
{
	struct sockaddr_emt to;
	unsigned char mac[ETH_ALEN];
	int index, fd;

	link_add("sink", "dummy");
	carry(&self->h[0], "sink", &index, mac);
	fd = emt_bound(&self->h[0], index, 6000);
	to = emt_addr(index, self->h[1].mac, 6000);
	EXPECT_EQ(1, emt_sendto(fd, "x", 1, 0, &to));
	EXPECT_EQ(true, nothing_waits(fd));
	to = emt_addr(index, mac, 6000);
	EXPECT_EQ(true, passes(fd, &to, fd, NULL));
	close(fd);
}

TEST_F(device, many_devices_are_told_apart)
{
	unsigned char mac[2][ETH_ALEN] = { { 2, 0, 0, 1, 0, 0 }, { 2, 0, 0, 2, 0, 0 } };
	struct sockaddr_emt to, from;
	int i, index, far;
	char name[16];

	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		mac[0][5] = i;
		mac[1][5] = i;
		netns_enter(self->h[0].netns);
		link_add_veth(name, mac[0], name, mac[1], self->h[1].netns, 1500);
		carry(&self->h[1], name, &far, mac[1]);
		carry(&self->h[0], name, &index, mac[0]);
		to = emt_addr(index, mac[1], 5000);
		ASSERT_EQ(true, passes(self->a, &to, self->b, &from));
		EXPECT_EQ(far, from.semt_ifindex);
		EXPECT_EQ(0, memcmp(from.semt_addr, mac[0], ETH_ALEN));
	}
	EXPECT_EQ(true, passes(self->a, &self->to, self->b, NULL));
}

TEST_HARNESS_MAIN
