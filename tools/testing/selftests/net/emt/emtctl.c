// SPDX-License-Identifier: GPL-2.0
/* Enables, disables and lists the devices that carry EMT, and shows counters. */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/emt.h>

#include "../../kselftest.h"

static const char usage[] =
	"usage: emtctl enable DEV	make an Ethernet device carry EMT\n"
	"       emtctl disable DEV	end that\n"
	"       emtctl list		the devices that carry EMT\n"
	"       emtctl stats [DEV]	the counters of a device, or of the namespace\n"
	"       emtctl peer DEV ADDR	what is known of another host\n"
	"       emtctl limit [BYTES]	the longest reliable message, read or set\n";

static __noreturn __printf(1, 2) void fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "emtctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static int emt_open(void)
{
	int fd = socket(AF_EMT, SOCK_DGRAM, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		fail("this kernel has no AF_EMT: CONFIG_EMT is off, or try modprobe emt");
	if (fd < 0)
		fail("socket(AF_EMT, SOCK_DGRAM): %s", strerror(errno));
	return fd;
}

static int index_of(const char *dev)
{
	unsigned int ifindex = if_nametoindex(dev);

	if (!ifindex)
		fail("%s: %s", dev, strerror(errno));
	return ifindex;
}

static const char *hint(int err)
{
	switch (err) {
	case EPERM:
		return " (needs CAP_NET_ADMIN)";
	case EEXIST:
		return " (it carries EMT already)";
	case ENODEV:
		return " (it does not carry EMT; enable it first)";
	case EOPNOTSUPP:
		return " (only Ethernet devices can; the loopback always does)";
	default:
		return "";
	}
}

static int change(unsigned long cmd, const char *verb, const char *dev)
{
	struct emt_devreq req = { .ifindex = index_of(dev) };

	if (ioctl(emt_open(), cmd, &req))
		fail("%s %s: %s%s", verb, dev, strerror(errno), hint(errno));
	return 0;
}

static void show_dev(const struct emt_devinfo *info)
{
	char name[IF_NAMESIZE];
	int i;

	/* A device may have gone since the list was read. */
	if (!if_indextoname(info->ifindex, name))
		return;
	printf("%s index %d address ", name, info->ifindex);
	for (i = 0; i < info->halen && i < EMT_ADDR_MAX; i++)
		printf("%s%02x", i ? ":" : "", info->addr[i]);
	printf(" max %u%s%s\n", info->max_dgram,
	       info->flags & EMT_DEV_RUNNING ? " up" : " down",
	       info->flags & EMT_DEV_LOOPBACK ? " loopback" : "");
}

static int list(void)
{
	struct emt_devlist req = { 0 };
	struct emt_devinfo *devs = NULL;
	int fd = emt_open();
	uint32_t room, i;

	/* Ask how many there are, then read them; again if some were added. */
	do {
		room = req.count;
		devs = realloc(devs, (room + 1) * sizeof(*devs));
		if (!devs)
			fail("no memory for %u devices", room);
		req.devices = (uintptr_t)devs;
		if (ioctl(fd, SIOCEMTGETDEVS, &req))
			fail("list: %s", strerror(errno));
	} while (req.count > room);

	for (i = 0; i < req.count; i++)
		show_dev(&devs[i]);
	return 0;
}

static int stats(const char *dev)
{
	struct emt_stats st = { 0 };
	struct emt_statsreq req = {
		.ifindex = dev ? index_of(dev) : 0,
		.size = sizeof(st),
		.stats = (uintptr_t)&st,
	};

	if (ioctl(emt_open(), SIOCEMTGETSTATS, &req))
		fail("stats %s: %s%s", dev ?: "", strerror(errno), hint(errno));

#define SHOW(name)	printf("%-16s %llu\n", #name, (unsigned long long)st.name)
	SHOW(rx_packets);
	SHOW(rx_bytes);
	SHOW(tx_packets);
	SHOW(tx_bytes);
	SHOW(tx_errors);
	SHOW(rx_too_short);
	SHOW(rx_bad_magic);
	SHOW(rx_bad_version);
	SHOW(rx_bad_type);
	SHOW(rx_bad_length);
	SHOW(rx_bad_checksum);
	SHOW(rx_bad_address);
	SHOW(rx_no_socket);
	SHOW(rx_queue_full);
	SHOW(rx_filtered);
	SHOW(rx_no_memory);
	SHOW(rx_control);
	SHOW(rx_duplicate);
	SHOW(rx_bad_tag);
	SHOW(rx_invalid);
	SHOW(rx_turned_away);
	return 0;
}

static int peer(const char *dev, const char *addr)
{
	static const char * const state[] = { "idle", "opening", "open" };
	struct emt_peerreq req = { .ifindex = index_of(dev), .halen = 6 };
	unsigned char *a = req.addr;

	if (sscanf(addr, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &a[0], &a[1], &a[2], &a[3], &a[4],
		   &a[5]) != 6)
		fail("%s is no Ethernet address", addr);
	if (ioctl(emt_open(), SIOCEMTGETPEER, &req))
		fail("peer %s %s: %s%s", dev, addr, strerror(errno),
		     errno == ENOENT ? " (nothing was exchanged with it of late)" : hint(errno));
	printf("%s for %.3f s, heard %.3f s ago, round trip %.3f ms\n",
	       req.state < 3 ? state[req.state] : "?", req.age / 1e9, req.silence / 1e9,
	       req.rtt / 1e6);
	printf("to it: %u messages under way (%llu bytes), %u waiting, %u without room there\n",
	       req.tx_messages, (unsigned long long)req.tx_bytes, req.tx_waiting, req.tx_parked);
	printf("from it: %u long messages arriving\n", req.rx_messages);
	return 0;
}

static int limit(const char *bytes)
{
	struct emt_limits limits = { 0 };
	int fd = emt_open();

	if (!bytes) {
		if (ioctl(fd, SIOCEMTGETLIMITS, &limits))
			fail("limit: %s", strerror(errno));
		printf("%u\n", limits.max_message);
		return 0;
	}
	limits.max_message = strtoul(bytes, NULL, 0);
	if (ioctl(fd, SIOCEMTSETLIMITS, &limits))
		fail("limit %s: %s%s", bytes, strerror(errno),
		     errno == EINVAL ? " (1 to 1073741824)" : hint(errno));
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc == 3 && !strcmp(verb, "enable"))
		return change(SIOCEMTENABLE, verb, argv[2]);
	if (argc == 3 && !strcmp(verb, "disable"))
		return change(SIOCEMTDISABLE, verb, argv[2]);
	if (argc == 2 && !strcmp(verb, "list"))
		return list();
	if (argc <= 3 && !strcmp(verb, "stats"))
		return stats(argv[2]);
	if (argc == 4 && !strcmp(verb, "peer"))
		return peer(argv[2], argv[3]);
	if (argc <= 3 && !strcmp(verb, "limit"))
		return limit(argv[2]);
	fputs(usage, argc == 2 && !strcmp(verb, "--help") ? stdout : stderr);
	return argc == 2 && !strcmp(verb, "--help") ? 0 : 2;
}
