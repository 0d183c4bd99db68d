// SPDX-License-Identifier: GPL-2.0
/*
 * Round trips of small messages between two hosts, for EMT datagrams and for
 * what else a program could use on the same wire. Prints nanoseconds per round
 * trip; on an emulator whose clock counts instructions, that is instructions.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "emt_lib.h"

#define WARMUP	200
#define PORT	2000
/* A local experimental EtherType that nothing else on the wire uses. */
#define ETH_P_PLAIN	0x88B6

static struct host hosts[2];

/* A connected pair: socket @side of it belongs to hosts[side]. */
struct family {
	const char *name;
	int (*open)(int side);
	/* AF_PACKET cannot be connected: where to send to, or none. */
	struct sockaddr_ll to[2];
	bool has_to;
};

static int open_emt(int side)
{
	struct sockaddr_emt peer = emt_addr(hosts[side].ifindex, hosts[!side].mac, PORT);
	int fd = emt_bound(&hosts[side], 0, PORT);

	if (emt_connect(fd, &peer))
		die("connect of AF_EMT: %s", strerror(errno));
	return fd;
}

static struct sockaddr_in in_addr(int side)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	addr.sin_addr.s_addr = htonl(0x0a000001 + side);
	return addr;
}

static int open_udp(int side)
{
	struct sockaddr_in own = in_addr(side), peer = in_addr(!side);
	char command[64];
	int fd;

	netns_enter(hosts[side].netns);
	snprintf(command, sizeof(command), "ip addr add 10.0.0.%d/24 dev " EMT_DEV, side + 1);
	if (system(command))
		die("%s failed", command);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (void *)&own, sizeof(own)) ||
	    connect(fd, (void *)&peer, sizeof(peer)))
		die("UDP: %s", strerror(errno));
	return fd;
}

static int open_packet(int side)
{
	struct sockaddr_ll own = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_PLAIN),
		.sll_ifindex = hosts[side].ifindex,
	};
	int fd;

	netns_enter(hosts[side].netns);
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (void *)&own, sizeof(own)))
		die("AF_PACKET: %s", strerror(errno));
	return fd;
}

static void exchange(const struct family *f, const int fd[2], int side, size_t len, int rounds)
{
	const struct sockaddr *to = f->has_to ? (const void *)&f->to[side] : NULL;
	socklen_t to_len = f->has_to ? sizeof(f->to[side]) : 0;
	char buf[2048];

	memset(buf, side, sizeof(buf));
	for (int i = 0; i < rounds; i++) {
		if (!side && sendto(fd[0], buf, len, 0, to, to_len) != len)
			die("%s: send: %s", f->name, strerror(errno));
		if (recv(fd[side], buf, sizeof(buf), 0) != len)
			die("%s: receive: %s", f->name, strerror(errno));
		if (side && sendto(fd[1], buf, len, 0, to, to_len) != len)
			die("%s: answer: %s", f->name, strerror(errno));
	}
}

static void measure(const struct family *f, size_t len, int rounds)
{
	int fd[2] = { f->open(0), f->open(1) };
	struct timespec start, end;
	pid_t child = fork();
	double ns;

	if (child < 0)
		die("fork: %s", strerror(errno));
	if (!child) {
		exchange(f, fd, 1, len, WARMUP + rounds);
		_exit(0);
	}
	exchange(f, fd, 0, len, WARMUP);
	clock_gettime(CLOCK_MONOTONIC, &start);
	exchange(f, fd, 0, len, rounds);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ns = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
	printf("%-12s %6zu B  %9.0f ns\n", f->name, len, ns / rounds);
	fflush(stdout);
	close(fd[0]);
	close(fd[1]);
}

int main(int argc, char **argv)
{
	size_t len = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	int rounds = argc > 2 ? atoi(argv[2]) : 2000;
	struct family emt = { .name = "EMT dgram", .open = open_emt };
	struct family udp = { .name = "UDP", .open = open_udp };
	struct family packet = { .name = "AF_PACKET", .open = open_packet, .has_to = true };

	if (!len || len > EMT_MAX_DGRAM(1500) || rounds < 1) {
		fprintf(stderr, "usage: emtrtt [BYTES [ROUNDS]]\n");
		return 2;
	}
	/* A peer that died leaves us waiting for it. */
	alarm(120);
	hosts_enabled(hosts, 1500);
	for (int side = 0; side < 2; side++) {
		packet.to[side] = (struct sockaddr_ll){
			.sll_family = AF_PACKET,
			.sll_protocol = htons(ETH_P_PLAIN),
			.sll_ifindex = hosts[side].ifindex,
			.sll_halen = ETH_ALEN,
		};
		memcpy(packet.to[side].sll_addr, hosts[!side].mac, ETH_ALEN);
	}
	measure(&packet, len, rounds);
	measure(&udp, len, rounds);
	measure(&emt, len, rounds);
	return 0;
}
