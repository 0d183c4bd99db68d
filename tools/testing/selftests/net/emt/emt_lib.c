// SPDX-License-Identifier: GPL-2.0
/* Hosts, sockets, addresses and ioctls for the EMT selftests. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include "emt_lib.h"

const unsigned char emt_bcast[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
const unsigned char emt_zero[ETH_ALEN];

void die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fprintf(stderr, "# set-up failed: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (errno: %s)\n", strerror(err));
	_exit(1);
}

bool emt_supported(void)
{
	int fd = socket(AF_EMT, SOCK_DGRAM, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		return false;
	if (fd < 0)
		die("socket(AF_EMT, SOCK_DGRAM, 0)");
	close(fd);
	return true;
}

void cap_drop(int cap)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &hdr, data))
		die("capget");
	data[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	data[CAP_TO_INDEX(cap)].permitted &= ~CAP_TO_MASK(cap);
	data[CAP_TO_INDEX(cap)].inheritable &= ~CAP_TO_MASK(cap);
	if (syscall(SYS_capset, &hdr, data))
		die("capset");
}

int netns_self(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("open /proc/thread-self/ns/net");
	return fd;
}

void netns_enter(int netns)
{
	if (netns >= 0 && setns(netns, CLONE_NEWNET))
		die("setns");
}

int netns_new(void)
{
	int old = netns_self();
	int new;

	if (unshare(CLONE_NEWNET))
		die("unshare(CLONE_NEWNET): needs CONFIG_NET_NS and root");
	new = netns_self();
	netns_enter(old);
	close(old);
	return new;
}

/*
 * On one CPU a frame that crosses a veth has been received when the send call
 * returns, and frames stay in order: what tests that nothing arrived rely on.
 */
static void stay_on_this_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

void use_all_cpus(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Has the host's device carry EMT, or what takes its place. */
static void device_enable(const struct host *h)
{
	char command[64];

	switch (CONN_FAMILY) {
	case AF_EMT:
		errno = emt_enable(h->ctl, h->ifindex);
		if (errno)
			die("SIOCEMTENABLE of a host's device");
		break;
	case AF_INET:
		netns_enter(h->netns);
		snprintf(command, sizeof(command), "ip addr add 10.0.%d.%d/8 dev " EMT_DEV,
			 h->mac[4], h->mac[5]);
		if (system(command))
			die("%s", command);
		break;
	}
}

double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void host_new(struct host *h)
{
	stay_on_this_cpu();
	memset(h, 0, sizeof(*h));
	h->netns = netns_new();
	netns_enter(h->netns);
	link_up("lo", true);
	h->ctl = socket(AF_EMT, SOCK_DGRAM, 0);
	if (h->ctl < 0 && conn_family == AF_EMT)
		die("socket(AF_EMT, SOCK_DGRAM, 0)");
}

void hosts_new(struct host h[2], unsigned int mtu)
{
	static const unsigned char mac[2][ETH_ALEN] = {
		{ 0x02, 0, 0, 0, 0, 0x0a }, { 0x02, 0, 0, 0, 0, 0x0b },
	};
	int i;

	host_new(&h[1]);
	host_new(&h[0]);
	link_add_veth(EMT_DEV, mac[0], EMT_DEV, mac[1], h[1].netns, mtu);
	for (i = 1; i >= 0; i--) {
		netns_enter(h[i].netns);
		memcpy(h[i].mac, mac[i], ETH_ALEN);
		h[i].ifindex = link_index(EMT_DEV);
		link_up(EMT_DEV, true);
	}
	for (i = 1; i >= 0; i--) {
		netns_enter(h[i].netns);
		link_wait(EMT_DEV);
	}
}

void hosts_enabled(struct host h[2], unsigned int mtu)
{
	int i;

	hosts_new(h, mtu);
	for (i = 0; i < 2; i++)
		device_enable(&h[i]);
}

void hub_new(struct host *hub)
{
	static const unsigned char mac[ETH_ALEN] = { 0x02, 0, 0, 0, 1, 0 };

	host_new(hub);
	link_add(EMT_DEV, "bridge");
	link_set_mac(EMT_DEV, mac);
	link_up(EMT_DEV, true);
	memcpy(hub->mac, mac, ETH_ALEN);
	hub->ifindex = link_index(EMT_DEV);
	device_enable(hub);
}

void hub_join(const struct host *hub, struct host *h, int number)
{
	unsigned char mac[ETH_ALEN] = { 0x02, 0, 0, 0, 2, number };
	unsigned char port_mac[ETH_ALEN] = { 0x02, 0, 0, 0, 3, number };
	char port[16], command[64];

	host_new(h);
	netns_enter(hub->netns);
	snprintf(port, sizeof(port), "port%d", number);
	link_add_veth(port, port_mac, EMT_DEV, mac, h->netns, 1500);
	snprintf(command, sizeof(command), "ip link set %s master " EMT_DEV " up", port);
	if (system(command))
		die("%s", command);
	netns_enter(h->netns);
	memcpy(h->mac, mac, ETH_ALEN);
	h->ifindex = link_index(EMT_DEV);
	link_up(EMT_DEV, true);
	link_wait(EMT_DEV);
	device_enable(h);
}

void host_free(struct host *h)
{
	close(h->ctl);
	close(h->netns);
}

struct sockaddr_emt emt_addr(int ifindex, const unsigned char *mac, int port)
{
	struct sockaddr_emt a;

	memset(&a, 0, sizeof(a));
	a.semt_family = AF_EMT;
	a.semt_port = htons(port);
	a.semt_ifindex = ifindex;
	if (mac) {
		a.semt_halen = ETH_ALEN;
		memcpy(a.semt_addr, mac, ETH_ALEN);
	}
	return a;
}

int emt_socket_of(const struct host *h, int type)
{
	struct timeval wait = { .tv_sec = EMT_WAIT_S };
	int fd;

	netns_enter(h->netns);
	fd = socket(AF_EMT, type, 0);
	if (fd < 0)
		die("socket(AF_EMT, %d, 0)", type);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		die("SO_RCVTIMEO");
	return fd;
}

int emt_bound_of(const struct host *h, int type, int ifindex, int port)
{
	struct sockaddr_emt a = emt_addr(ifindex, NULL, port);
	int fd = emt_socket_of(h, type);

	errno = emt_bind(fd, &a);
	if (errno)
		die("bind to interface %d, port %d", ifindex, port);
	return fd;
}

int emt_socket(const struct host *h)
{
	return emt_socket_of(h, SOCK_DGRAM);
}

int emt_bound(const struct host *h, int ifindex, int port)
{
	return emt_bound_of(h, SOCK_DGRAM, ifindex, port);
}

int emt_port(int fd)
{
	struct sockaddr_emt a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len))
		die("getsockname");
	return ntohs(a.semt_port);
}

int emt_bind(int fd, const struct sockaddr_emt *addr)
{
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return errno;
	return 0;
}

int emt_connect(int fd, const struct sockaddr_emt *addr)
{
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return errno;
	return 0;
}

int emt_sendto(int fd, const void *buf, size_t len, int flags,
	       const struct sockaddr_emt *to)
{
	ssize_t n = sendto(fd, buf, len, flags, (const struct sockaddr *)to,
			   to ? sizeof(*to) : 0);

	return n < 0 ? -errno : n;
}

int emt_recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t n = recv(fd, buf, len, flags);

	return n < 0 ? -errno : n;
}

void sock_set(int fd, int option, int value)
{
	if (setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)))
		die("setsockopt(SOL_SOCKET, %d, %d)", option, value);
}

int sock_get(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value;

	if (getsockopt(fd, SOL_SOCKET, option, &value, &len))
		die("getsockopt(SOL_SOCKET, %d)", option);
	return value;
}

void pattern(void *buf, size_t len, unsigned int seed)
{
	unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = i * 7 + (i >> 8) + seed * 31 + 1;
}

static int dev_ioctl(int fd, unsigned long cmd, int ifindex)
{
	struct emt_devreq req = { .ifindex = ifindex };

	return ioctl(fd, cmd, &req) ? errno : 0;
}

int emt_enable(int fd, int ifindex)
{
	return dev_ioctl(fd, SIOCEMTENABLE, ifindex);
}

int emt_disable(int fd, int ifindex)
{
	return dev_ioctl(fd, SIOCEMTDISABLE, ifindex);
}

int emt_get_stats(int fd, int ifindex, struct emt_stats *st)
{
	struct emt_statsreq req = {
		.ifindex = ifindex,
		.size = sizeof(*st),
		.stats = (uintptr_t)st,
	};

	return ioctl(fd, SIOCEMTGETSTATS, &req) ? errno : 0;
}

struct emt_stats emt_stats(const struct host *h, int ifindex)
{
	struct emt_stats st;

	errno = emt_get_stats(h->ctl, ifindex, &st);
	if (errno)
		die("SIOCEMTGETSTATS of interface %d", ifindex);
	return st;
}

static const char * const stat_names[] = {
	"rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "tx_errors",
	"rx_too_short", "rx_bad_magic", "rx_bad_version", "rx_bad_type",
	"rx_bad_length", "rx_bad_checksum", "rx_bad_address", "rx_no_socket",
	"rx_queue_full", "rx_filtered", "rx_no_memory", "rx_control",
	"rx_duplicate", "rx_bad_tag", "rx_invalid", "rx_turned_away",
};

#define NSTATS	ARRAY_SIZE(stat_names)

_Static_assert(sizeof(struct emt_stats) == NSTATS * 8, "a counter has no name here");

bool stats_grew_only(const struct host *h, int ifindex,
		     const struct emt_stats *before, size_t offset,
		     unsigned long long by)
{
	time_t end = time(NULL) + EMT_WAIT_S;
	unsigned long long was[NSTATS], is[NSTATS];
	struct emt_stats now;
	bool ok = true;
	size_t i;

	memcpy(was, before, sizeof(was));
	for (;;) {
		now = emt_stats(h, ifindex);
		memcpy(is, &now, sizeof(is));
		if (is[offset / 8] - was[offset / 8] >= by || time(NULL) > end)
			break;
		usleep(1000);
	}

	for (i = 0; i < NSTATS; i++) {
		unsigned long long want = i == offset / 8 ? by : 0;
		bool rx = !strncmp(stat_names[i], "rx_", 3);

		/* The bytes go with the packets. */
		if (offset == STAT(rx_packets) && i == STAT(rx_bytes) / 8)
			continue;
		if (is[i] - was[i] == want || (!rx && i != offset / 8))
			continue;
		fprintf(stderr, "# %s grew by %llu, expected %llu\n",
			stat_names[i], is[i] - was[i], want);
		ok = false;
	}
	return ok;
}
