// SPDX-License-Identifier: GPL-2.0
/*
 * Round trips between two hosts, and messages one way, for EMT and for what
 * else a program could use on the same wire. Prints nanoseconds for each; on an
 * emulator whose clock counts instructions, that is instructions.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_packet.h>
#include <linux/tipc.h>

#include "emt_lib.h"

#define WARMUP	200
#define PORT	2000
/* A local experimental EtherType that nothing else on the wire uses. */
#define ETH_P_PLAIN	0x88B6
#define TIPC_SERVICE	4711

static struct host hosts[2];

/*
 * A pair of sockets of which each can send to the other.
 * @open: makes both; false, after saying why: this kernel or machine cannot
 * @to: where socket @side sends to, if it is not connected
 * @most: bytes of the longest message, 0 for no limit
 * @lossless: nothing is lost when the receiver is slow
 */
struct family {
	const char *name;
	bool (*open)(struct family *f, int fd[2]);
	size_t most;
	bool lossless;
	struct sockaddr_storage to[2];
	socklen_t to_len;
};

static bool open_emt_of(struct family *f, int type, int fd[2])
{
	struct timeval forever = {};
	int side;

	f->to_len = 0;
	for (side = 0; side < 2; side++) {
		struct sockaddr_emt peer = emt_addr(hosts[side].ifindex, hosts[!side].mac, PORT);

		fd[side] = emt_bound_of(&hosts[side], type, 0, PORT);
		/* As the others: a time limit, which tests have, costs a timer for each wait. */
		if (setsockopt(fd[side], SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever)))
			die("SO_RCVTIMEO");
		if (emt_connect(fd[side], &peer))
			die("connect of AF_EMT");
	}
	return true;
}

static bool open_dgram(struct family *f, int fd[2])
{
	return open_emt_of(f, SOCK_DGRAM, fd);
}

static bool open_rdm(struct family *f, int fd[2])
{
	return open_emt_of(f, SOCK_RDM, fd);
}

static struct sockaddr_in ip_addr(int side)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	addr.sin_addr.s_addr = htonl(0x0a000001 + side);
	return addr;
}

static int ip_socket(int side, int type)
{
	struct sockaddr_in own = ip_addr(side);
	int fd, on = 1;

	netns_enter(hosts[side].netns);
	fd = socket(AF_INET, type, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (void *)&own, sizeof(own)))
		die("a socket for IP");
	return fd;
}

static bool open_udp(struct family *f, int fd[2])
{
	int side;

	f->to_len = 0;
	for (side = 0; side < 2; side++) {
		struct sockaddr_in peer = ip_addr(!side);

		fd[side] = ip_socket(side, SOCK_DGRAM);
		if (connect(fd[side], (void *)&peer, sizeof(peer)))
			die("connect of UDP");
	}
	return true;
}

static bool open_tcp(struct family *f, int fd[2])
{
	struct sockaddr_in peer = ip_addr(0);
	int listener = ip_socket(0, SOCK_STREAM), side, on = 1;

	f->to_len = 0;
	fd[1] = ip_socket(1, SOCK_STREAM);
	if (listen(listener, 1) || connect(fd[1], (void *)&peer, sizeof(peer)))
		die("connect of TCP");
	fd[0] = accept(listener, NULL, NULL);
	for (side = 0; side < 2; side++)
		if (setsockopt(fd[side], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
			die("TCP_NODELAY");
	close(listener);
	return true;
}

static bool open_packet(struct family *f, int fd[2])
{
	int side;

	for (side = 0; side < 2; side++) {
		struct sockaddr_ll addr = {
			.sll_family = AF_PACKET,
			.sll_protocol = htons(ETH_P_PLAIN),
			.sll_ifindex = hosts[side].ifindex,
			.sll_halen = ETH_ALEN,
		};

		netns_enter(hosts[side].netns);
		fd[side] = socket(AF_PACKET, SOCK_DGRAM, 0);
		if (fd[side] < 0 || bind(fd[side], (void *)&addr, sizeof(addr)))
			die("AF_PACKET");
		memcpy(addr.sll_addr, hosts[!side].mac, ETH_ALEN);
		memcpy(&f->to[side], &addr, sizeof(addr));
	}
	f->to_len = sizeof(struct sockaddr_ll);
	return true;
}

/* Two nodes of a TIPC cluster on the same wire. */
static bool open_tipc(struct family *f, int fd[2])
{
	char buf[8];
	int side, i;

	for (side = 0; side < 2; side++) {
		struct sockaddr_tipc own = {
			.family = AF_TIPC,
			.addrtype = TIPC_SERVICE_RANGE,
			.scope = TIPC_CLUSTER_SCOPE,
			.addr.nameseq = { TIPC_SERVICE, side, side },
		}, peer = {
			.family = AF_TIPC,
			.addrtype = TIPC_SERVICE_ADDR,
			.addr.name.name = { TIPC_SERVICE, !side },
		};

		netns_enter(hosts[side].netns);
		fd[side] = socket(AF_TIPC, SOCK_RDM, 0);
		if (fd[side] < 0 || system("command -v tipc >/dev/null")) {
			printf("%-12s # SKIP no CONFIG_TIPC, or no tipc (iproute2)\n", f->name);
			return false;
		}
		if (system("tipc bearer enable media eth device " EMT_DEV) ||
		    bind(fd[side], (void *)&own, sizeof(own)))
			die("a TIPC node");
		memcpy(&f->to[side], &peer, sizeof(peer));
	}
	f->to_len = sizeof(struct sockaddr_tipc);
	/* Until the nodes have found each other and told of their services. */
	for (i = 0; i < 300; i++) {
		if (sendto(fd[0], "x", 1, 0, (void *)&f->to[0], f->to_len) == 1 &&
		    sendto(fd[1], "x", 1, 0, (void *)&f->to[1], f->to_len) == 1)
			break;
		usleep(100000);
	}
	usleep(500000);
	for (side = 0; side < 2; side++)
		while (recv(fd[side], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			;
	return true;
}

static void put(struct family *f, int fd, int side, const char *buf, size_t len)
{
	const struct sockaddr *to = f->to_len ? (const void *)&f->to[side] : NULL;

	if (sendto(fd, buf, len, 0, to, f->to_len) != len)
		die("%s: send: %s", f->name, strerror(errno));
}

static void take(struct family *f, int fd, char *buf, size_t len)
{
	/* A stream may bring it in pieces, and waits for all of it. */
	if (recv(fd, buf, len, f->open == open_tcp ? MSG_WAITALL : 0) != len)
		die("%s: receive: %s", f->name, strerror(errno));
}

static void exchange(struct family *f, const int fd[2], int side, size_t len, int rounds)
{
	char *buf = calloc(1, len);

	for (int i = 0; i < rounds; i++) {
		if (!side)
			put(f, fd[0], 0, buf, len);
		take(f, fd[side], buf, len);
		if (side)
			put(f, fd[1], 1, buf, len);
	}
	free(buf);
}

static void stream(struct family *f, const int fd[2], int side, size_t len, int count)
{
	char *buf = calloc(1, len);

	for (int i = 0; i < count; i++) {
		if (side)
			put(f, fd[1], 1, buf, len);
		else
			take(f, fd[0], buf, len);
	}
	free(buf);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void measure(struct family *f, bool one_way, size_t len, int rounds)
{
	void (*run)(struct family *f, const int fd[2], int side, size_t len, int rounds) =
		one_way ? stream : exchange;
	double start;
	pid_t child;
	int fd[2];

	if ((f->most && len > f->most) || (one_way && !f->lossless) || !f->open(f, fd))
		return;
	child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (!child) {
		run(f, fd, 1, len, WARMUP);
		run(f, fd, 1, len, rounds);
		_exit(0);
	}
	run(f, fd, 0, len, WARMUP);
	start = now();
	run(f, fd, 0, len, rounds);
	printf("%-12s %7zu B  %9.0f ns\n", f->name, len, (now() - start) / rounds);
	fflush(stdout);
	waitpid(child, NULL, 0);
	close(fd[0]);
	close(fd[1]);
}

int main(int argc, char **argv)
{
	struct family families[] = {
		{ .name = "AF_PACKET", .open = open_packet, .most = 1500 },
		{ .name = "UDP", .open = open_udp, .most = 65507 },
		{ .name = "EMT dgram", .open = open_dgram, .most = EMT_MAX_DGRAM(1500) },
		{ .name = "TCP", .open = open_tcp, .lossless = true },
		{ .name = "EMT RDM", .open = open_rdm, .lossless = true },
		{ .name = "TIPC RDM", .open = open_tipc, .most = 66000, .lossless = true },
	};
	bool one_way = argc > 1 && !strcmp(argv[1], "oneway");
	size_t len;
	int rounds, i, side;
	char command[64];

	argv += one_way;
	argc -= one_way;
	len = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	rounds = argc > 2 ? atoi(argv[2]) : 2000;
	if (!len || rounds < 1) {
		fprintf(stderr, "usage: emtrtt [oneway] [BYTES [ROUNDS [FAMILY]]]\n");
		return 2;
	}
	/* A peer that died leaves us waiting for it. */
	alarm(240);
	hosts_enabled(hosts, 1500);
	for (side = 0; side < 2; side++) {
		netns_enter(hosts[side].netns);
		snprintf(command, sizeof(command), "ip addr add 10.0.0.%d/24 dev %s",
			 side + 1, EMT_DEV);
		if (system(command))
			die("%s failed", command);
	}
	for (i = 0; i < ARRAY_SIZE(families); i++)
		if (argc <= 3 || !strcmp(argv[3], families[i].name))
			measure(&families[i], one_way, len, rounds);
	return 0;
}
