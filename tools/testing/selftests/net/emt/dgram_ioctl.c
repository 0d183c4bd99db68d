// SPDX-License-Identifier: GPL-2.0
/* The ioctls that enable, disable and list devices and read counters. */
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <linux/capability.h>
#include <linux/if_tun.h>

#include "emt_test.h"

#define LO		1	/* the loopback's index in every namespace */
#define UNMAPPED	((void *)8)
#define MAX_DEVS	8

FIXTURE(ioctl)
{
	struct host h[2];
	int fd, dev;	/* host 0's control socket, and its device, not enabled */
};

FIXTURE_SETUP(ioctl)
{
	REQUIRE_EMT();
	hosts_new(self->h, 1500);
	self->fd = self->h[0].ctl;
	self->dev = self->h[0].ifindex;
	netns_enter(self->h[0].netns);
}

FIXTURE_TEARDOWN(ioctl)
{
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Lists into @devs, of @room; the number of devices, or -errno. */
static int get_devs(int fd, struct emt_devinfo *devs, unsigned int room)
{
	struct emt_devlist req = { .count = room, .devices = (uintptr_t)devs };

	return ioctl(fd, SIOCEMTGETDEVS, &req) ? -errno : (int)req.count;
}

static bool is_listed(int fd, int ifindex)
{
	struct emt_devinfo devs[MAX_DEVS];
	int i, n = get_devs(fd, devs, MAX_DEVS);

	for (i = 0; i < n && i < MAX_DEVS; i++)
		if (devs[i].ifindex == ifindex)
			return true;
	return false;
}

TEST_F(ioctl, enabling_lasts_until_disabling)
{
	EXPECT_EQ(false, is_listed(self->fd, self->dev));
	EXPECT_EQ(0, emt_enable(self->fd, self->dev));
	EXPECT_EQ(true, is_listed(self->fd, self->dev));
	EXPECT_EQ(EEXIST, emt_enable(self->fd, self->dev));
	EXPECT_EQ(0, emt_disable(self->fd, self->dev));
	EXPECT_EQ(false, is_listed(self->fd, self->dev));
	EXPECT_EQ(ENODEV, emt_disable(self->fd, self->dev));
	EXPECT_EQ(0, emt_enable(self->fd, self->dev));
}

TEST_F(ioctl, enabling_outlasts_the_socket)
{
	int fd = emt_socket(&self->h[0]);

	ASSERT_EQ(0, emt_enable(fd, self->dev));
	close(fd);
	EXPECT_EQ(true, is_listed(self->fd, self->dev));
}

TEST_F(ioctl, loopback_is_always_enabled)
{
	EXPECT_EQ(true, is_listed(self->fd, LO));
	EXPECT_EQ(EEXIST, emt_enable(self->fd, LO));
	EXPECT_EQ(EOPNOTSUPP, emt_disable(self->fd, LO));
	EXPECT_EQ(true, is_listed(self->fd, LO));
}

TEST_F(ioctl, unknown_devices_are_refused)
{
	static const int index[] = { 0, -1, INT_MIN, INT_MAX, 4711 };
	int i;

	for (i = 0; i < ARRAY_SIZE(index); i++) {
		EXPECT_EQ(ENODEV, emt_enable(self->fd, index[i]));
		EXPECT_EQ(ENODEV, emt_disable(self->fd, index[i]));
	}
}

TEST_F(ioctl, devices_of_another_namespace_are_unknown)
{
	int i;

	/* An index that only the other namespace has. */
	netns_enter(self->h[1].netns);
	for (i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "other%d", i);
		link_add(name, "dummy");
	}
	i = link_index("other2");
	EXPECT_EQ(ENODEV, emt_enable(self->fd, i));
	EXPECT_EQ(0, emt_enable(self->h[1].ctl, i));
	EXPECT_EQ(false, is_listed(self->fd, i));
}

TEST_F(ioctl, devices_that_are_not_ethernet_are_refused)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int tun = open("/dev/net/tun", O_RDWR);

	if (tun < 0) {
		unlink("/tmp/emt-tun");
		mknod("/tmp/emt-tun", S_IFCHR | 0600, makedev(10, 200));
		tun = open("/tmp/emt-tun", O_RDWR);
	}
	if (tun < 0)
		SKIP(return, "no tun device (CONFIG_TUN): %s", strerror(errno));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "tun0");
	ASSERT_EQ(0, ioctl(tun, TUNSETIFF, &ifr));
	link_up("tun0", true);
	EXPECT_EQ(EOPNOTSUPP, emt_enable(self->fd, link_index("tun0")));
	EXPECT_EQ(ENODEV, emt_disable(self->fd, link_index("tun0")));
	close(tun);
	unlink("/tmp/emt-tun");
}

TEST_F(ioctl, flags_must_be_zero)
{
	struct emt_devreq req = { .ifindex = self->dev };
	int bit;

	for (bit = 0; bit < 32; bit++) {
		req.flags = 1U << bit;
		EXPECT_ERRNO(EINVAL, ioctl(self->fd, SIOCEMTENABLE, &req));
		EXPECT_ERRNO(EINVAL, ioctl(self->fd, SIOCEMTDISABLE, &req));
	}
	EXPECT_EQ(false, is_listed(self->fd, self->dev));
}

TEST_F(ioctl, unmapped_memory_is_refused)
{
	struct emt_devlist list = { .count = 4, .devices = 8 };
	struct emt_statsreq stats = { .size = sizeof(struct emt_stats), .stats = 8 };

	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SIOCEMTENABLE, UNMAPPED));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SIOCEMTDISABLE, UNMAPPED));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SIOCEMTGETDEVS, UNMAPPED));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SIOCEMTGETDEVS, &list));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SIOCEMTGETSTATS, UNMAPPED));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SIOCEMTGETSTATS, &stats));
}

TEST_F(ioctl, changing_needs_the_capability_and_looking_does_not)
{
	struct emt_devinfo devs[MAX_DEVS];
	struct emt_stats st;

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	cap_drop(CAP_NET_ADMIN);
	EXPECT_EQ(EPERM, emt_disable(self->fd, self->dev));
	EXPECT_EQ(EPERM, emt_enable(self->fd, self->dev));
	EXPECT_EQ(2, get_devs(self->fd, devs, MAX_DEVS));
	EXPECT_EQ(0, emt_get_stats(self->fd, self->dev, &st));
	EXPECT_EQ(0, emt_get_stats(self->fd, 0, &st));
}

TEST_F(ioctl, changing_needs_the_capability_over_the_network_namespace)
{
	int fd;

	if (unshare(CLONE_NEWUSER))
		SKIP(return, "no user namespaces (CONFIG_USER_NS): %s", strerror(errno));
	EXPECT_EQ(EPERM, emt_enable(self->fd, self->dev));

	/* In a network of its own, the same user may. */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	fd = socket(AF_EMT, SOCK_DGRAM, 0);
	ASSERT_LE(0, fd);
	link_add("mine", "dummy");
	EXPECT_EQ(0, emt_enable(fd, link_index("mine")));
	EXPECT_EQ(0, emt_disable(fd, link_index("mine")));
	close(fd);
}

TEST_F(ioctl, acts_on_the_namespace_of_the_socket)
{
	netns_enter(self->h[1].netns);
	EXPECT_EQ(0, emt_enable(self->fd, self->dev));
	EXPECT_EQ(true, is_listed(self->fd, self->dev));
	EXPECT_EQ(false, is_listed(self->h[1].ctl, self->h[1].ifindex));
}

TEST_F(ioctl, list_tells_each_device_in_full)
{
	struct emt_devinfo devs[MAX_DEVS], lo = { 0 }, dev = { 0 };
	unsigned char fresh[sizeof(devs[0])];
	int i, seen = 0;

	lo.ifindex = LO;
	lo.flags = EMT_DEV_LOOPBACK | EMT_DEV_RUNNING;
	lo.max_dgram = EMT_MAX_DGRAM_LO;
	lo.halen = ETH_ALEN;
	dev.ifindex = self->dev;
	dev.flags = EMT_DEV_RUNNING;
	dev.max_dgram = EMT_MAX_DGRAM(1500);
	dev.halen = ETH_ALEN;
	memcpy(dev.addr, self->h[0].mac, ETH_ALEN);

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	memset(devs, 0xaa, sizeof(devs));
	memset(fresh, 0xaa, sizeof(fresh));
	ASSERT_EQ(2, get_devs(self->fd, devs, MAX_DEVS));
	for (i = 0; i < 2; i++) {
		if (devs[i].ifindex == LO)
			seen += !memcmp(&devs[i], &lo, sizeof(lo));
		else
			seen += !memcmp(&devs[i], &dev, sizeof(dev));
	}
	EXPECT_EQ(2, seen);
	EXPECT_EQ(0, memcmp(&devs[2], fresh, sizeof(fresh)));
}

TEST_F(ioctl, list_ends_with_the_largest_index_there_is)
{
	struct emt_devinfo devs[MAX_DEVS];
	struct emt_stats st;

	if (system("ip link add index 2147483647 type dummy"))
		SKIP(return, "no dummy device (ip, CONFIG_DUMMY)");
	ASSERT_EQ(0, emt_enable(self->fd, INT_MAX));
	EXPECT_EQ(2, get_devs(self->fd, devs, MAX_DEVS));
	EXPECT_EQ(INT_MAX, devs[1].ifindex);
	EXPECT_EQ(0, emt_get_stats(self->fd, 0, &st));
	EXPECT_EQ(0, emt_disable(self->fd, INT_MAX));
}

TEST_F(ioctl, list_follows_the_device)
{
	static const unsigned char mac[ETH_ALEN] = { 2, 0, 0, 3, 3, 3 };
	struct emt_devinfo devs[MAX_DEVS], *dev;

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	link_up(EMT_DEV, false);
	link_set_mtu(EMT_DEV, 1000);
	link_set_mac(EMT_DEV, mac);
	ASSERT_EQ(2, get_devs(self->fd, devs, MAX_DEVS));
	dev = devs[0].ifindex == self->dev ? &devs[0] : &devs[1];
	EXPECT_EQ(self->dev, dev->ifindex);
	EXPECT_EQ(0, dev->flags);
	EXPECT_EQ(EMT_MAX_DGRAM(1000), dev->max_dgram);
	EXPECT_EQ(0, memcmp(dev->addr, mac, ETH_ALEN));
}

TEST_F(ioctl, list_is_cut_to_the_room_there_is)
{
	struct emt_devinfo devs[MAX_DEVS], fresh[MAX_DEVS];
	struct emt_devlist req = { .reserved = 1 };
	unsigned int room;

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	memset(fresh, 0xaa, sizeof(fresh));
	for (room = 0; room < 3; room++) {
		memset(devs, 0xaa, sizeof(devs));
		EXPECT_EQ(2, get_devs(self->fd, devs, room));
		EXPECT_EQ(0, memcmp(&devs[room], fresh, sizeof(fresh[0])));
		if (room)
			EXPECT_NE(0, memcmp(&devs[room - 1], fresh, sizeof(fresh[0])));
	}
	/* Without room the pointer is not looked at; more room than memory is fine. */
	EXPECT_EQ(2, get_devs(self->fd, UNMAPPED, 0));
	EXPECT_EQ(2, get_devs(self->fd, devs, UINT_MAX));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, SIOCEMTGETDEVS, &req));
}

TEST_F(ioctl, stats_are_written_as_far_as_there_is_room)
{
	unsigned char buf[256], fresh[256];
	struct emt_statsreq req;
	unsigned int size, want;

	memset(fresh, 0xaa, sizeof(fresh));
	for (size = 0; size <= sizeof(buf); size++) {
		memset(buf, 0xaa, sizeof(buf));
		req = (struct emt_statsreq){ .ifindex = LO, .size = size,
					     .stats = (uintptr_t)buf };
		want = 0;
		if (!size || size % 8) {
			EXPECT_ERRNO(EINVAL, ioctl(self->fd, SIOCEMTGETSTATS, &req));
		} else {
			ASSERT_EQ(0, ioctl(self->fd, SIOCEMTGETSTATS, &req));
			EXPECT_EQ(sizeof(struct emt_stats), req.size);
			want = size < req.size ? size : req.size;
			/* The counters are still small: their last byte is 0. */
			EXPECT_NE(0xaa, buf[want - 1]);
		}
		EXPECT_EQ(0, memcmp(buf + want, fresh, sizeof(buf) - want)) {
			TH_LOG("with room for %u bytes", size);
		}
	}
}

TEST_F(ioctl, stats_are_of_enabled_devices_only)
{
	struct emt_stats st;

	EXPECT_EQ(ENODEV, emt_get_stats(self->fd, self->dev, &st));
	EXPECT_EQ(ENODEV, emt_get_stats(self->fd, 4711, &st));
	EXPECT_EQ(ENODEV, emt_get_stats(self->fd, -1, &st));
	EXPECT_EQ(0, emt_get_stats(self->fd, 0, &st));
	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	EXPECT_EQ(0, emt_get_stats(self->fd, self->dev, &st));
	EXPECT_EQ(0, st.rx_packets | st.tx_packets | st.rx_no_socket | st.rx_bytes);
}

TEST_F(ioctl, stats_count_packets_and_bytes_both_ways)
{
	struct sockaddr_emt to = emt_addr(self->dev, self->h[1].mac, 5000);
	int a, b, i, bytes = 0;
	struct emt_stats st;
	char buf[64] = { 0 };

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	ASSERT_EQ(0, emt_enable(self->h[1].ctl, self->h[1].ifindex));
	a = emt_socket(&self->h[0]);
	b = emt_bound(&self->h[1], 0, 5000);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(i, emt_sendto(a, buf, i, 0, &to));
		ASSERT_EQ(i, emt_recv(b, buf, sizeof(buf), 0));
		bytes += i;
	}
	st = emt_stats(&self->h[0], self->dev);
	EXPECT_EQ(10, st.tx_packets);
	EXPECT_EQ(bytes, st.tx_bytes);
	EXPECT_EQ(0, st.tx_errors);
	EXPECT_EQ(0, st.rx_packets);
	st = emt_stats(&self->h[1], self->h[1].ifindex);
	EXPECT_EQ(10, st.rx_packets);
	EXPECT_EQ(bytes, st.rx_bytes);
	EXPECT_EQ(0, st.tx_packets);
	close(a);
	close(b);
}

TEST_F(ioctl, stats_of_the_namespace_keep_what_is_disabled)
{
	struct sockaddr_emt to = emt_addr(self->dev, self->h[1].mac, 5000);
	struct sockaddr_emt lo = emt_addr(LO, emt_zero, 5000);
	struct emt_stats st;
	char buf[8];
	int a;

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	a = emt_bound(&self->h[0], 0, 5000);
	ASSERT_EQ(3, emt_sendto(a, "one", 3, 0, &to));
	ASSERT_EQ(4, emt_sendto(a, "self", 4, 0, &lo));
	ASSERT_EQ(4, emt_recv(a, buf, sizeof(buf), 0));
	st = emt_stats(&self->h[0], 0);
	EXPECT_EQ(2, st.tx_packets);
	EXPECT_EQ(7, st.tx_bytes);
	EXPECT_EQ(1, st.rx_packets);

	ASSERT_EQ(0, emt_disable(self->fd, self->dev));
	st = emt_stats(&self->h[0], 0);
	EXPECT_EQ(2, st.tx_packets);
	EXPECT_EQ(7, st.tx_bytes);

	/* Enabled again it counts from nothing, and the namespace goes on. */
	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	EXPECT_EQ(0, emt_stats(&self->h[0], self->dev).tx_packets);
	ASSERT_EQ(3, emt_sendto(a, "two", 3, 0, &to));
	EXPECT_EQ(1, emt_stats(&self->h[0], self->dev).tx_packets);
	EXPECT_EQ(3, emt_stats(&self->h[0], 0).tx_packets);
	link_del(EMT_DEV);
	EXPECT_EQ(3, emt_stats(&self->h[0], 0).tx_packets);
	close(a);
}

TEST_F(ioctl, device_not_enabled_is_not_touched)
{
	int wire = frame_socket(&self->h[1], EMT_DEV), near = frame_socket(&self->h[0], EMT_DEV);
	int fd = emt_bound(&self->h[0], 0, 5000), i;
	struct emt_stats before = emt_stats(&self->h[0], 0), after;
	static struct frame f, got;
	char buf[8];

	frame_build(&f, self->h[0].mac, self->h[1].mac, 6000, 5000, "hello", 5);
	for (i = 0; i < 10; i++) {
		frame_send(wire, &f);
		/* It did arrive: the packet socket of this end saw it. */
		ASSERT_EQ(true, frame_recv(near, &got, NULL, EMT_WAIT_S * 1000));
	}
	EXPECT_EQ(-EAGAIN, emt_recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT));
	after = emt_stats(&self->h[0], 0);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));

	ASSERT_EQ(0, emt_enable(self->fd, self->dev));
	frame_send(wire, &f);
	EXPECT_EQ(5, emt_recv(fd, buf, sizeof(buf), 0));
	ASSERT_EQ(0, emt_disable(self->fd, self->dev));
	frame_send(wire, &f);
	EXPECT_EQ(-EAGAIN, emt_recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT));
	close(fd);
	close(wire);
	close(near);
}

TEST_HARNESS_MAIN
