// SPDX-License-Identifier: GPL-2.0
/* EMT and its peers as one kind of thing, see emt_family.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/sctp.h>

#include "emt_family.h"

#define PORT	2000
/* A local experimental EtherType that nothing else on the wire uses. */
#define ETH_P_PLAIN	0x88B6
/* The first of our services; each type of sockets has one. */
#define TIPC_SERVICE	4711

#ifndef SOL_TIPC
#define SOL_TIPC	271
#endif

struct host hosts[2];

static socklen_t emt_address(const struct place *at, union address *a)
{
	if (at->far)
		a->emt = emt_addr(hosts[!at->of].ifindex, hosts[at->of].mac, PORT + at->number);
	else
		a->emt = emt_addr(0, NULL, PORT + at->number);
	return sizeof(a->emt);
}

static socklen_t ip_address(const struct place *at, union address *a)
{
	a->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT + at->number) };
	a->in.sin_addr.s_addr = htonl(0x0a000001 + at->of);
	return sizeof(a->in);
}

static socklen_t packet_address(const struct place *at, union address *a)
{
	a->packet = (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_PLAIN),
		.sll_ifindex = hosts[at->far ? !at->of : at->of].ifindex,
		.sll_halen = ETH_ALEN,
	};
	memcpy(a->packet.sll_addr, hosts[at->of].mac, ETH_ALEN);
	return sizeof(a->packet);
}

static socklen_t tipc_address(const struct place *at, union address *a)
{
	__u32 service = TIPC_SERVICE + at->f->type, instance = at->of * 1000 + at->number;

	a->tipc = (struct sockaddr_tipc){ .family = AF_TIPC, .scope = TIPC_CLUSTER_SCOPE };
	if (at->far) {
		a->tipc.addrtype = TIPC_SERVICE_ADDR;
		a->tipc.addr.name.name = (struct tipc_service_addr){ service, instance };
	} else {
		a->tipc.addrtype = TIPC_SERVICE_RANGE;
		a->tipc.addr.nameseq = (struct tipc_service_range){ service, instance, instance };
	}
	return sizeof(a->tipc);
}

/* An abstract name: there is no file, and it belongs to the namespace, which is one for both. */
static socklen_t unix_address(const struct place *at, union address *a)
{
	a->un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return offsetof(struct sockaddr_un, sun_path) + 1 +
	       sprintf(a->un.sun_path + 1, "emtrtt-%d-%d-%d", at->f->type, at->of, at->number);
}

const struct family families[] = {
	{ "UNIX dgram", AF_UNIX, SOCK_DGRAM, .address = unix_address },
	{ "UNIX records", AF_UNIX, SOCK_SEQPACKET, .address = unix_address, .listens = true },
	{ "AF_PACKET", AF_PACKET, SOCK_DGRAM, .address = packet_address, .lossy = true,
	  .most = 1500 },
	{ "UDP", AF_INET, SOCK_DGRAM, .address = ip_address, .lossy = true, .most = 65507 },
	{ "TCP", AF_INET, SOCK_STREAM, .address = ip_address, .listens = true,
	  .nodelay_level = IPPROTO_TCP, .nodelay = TCP_NODELAY },
	{ "SCTP", AF_INET, SOCK_STREAM, IPPROTO_SCTP, .address = ip_address, .listens = true,
	  .nodelay_level = IPPROTO_SCTP, .nodelay = SCTP_NODELAY },
	{ "TIPC RDM", AF_TIPC, SOCK_RDM, .address = tipc_address, .lossy = true, .most = 66000 },
	{ "TIPC records", AF_TIPC, SOCK_SEQPACKET, .address = tipc_address, .most = 66000,
	  .listens = true },
	{ "TIPC stream", AF_TIPC, SOCK_STREAM, .address = tipc_address, .listens = true,
	  .nodelay_level = SOL_TIPC, .nodelay = TIPC_NODELAY },
	{ "EMT dgram", AF_EMT, SOCK_DGRAM, .address = emt_address, .lossy = true,
	  .most = EMT_MAX_DGRAM(1500) },
	{ "EMT RDM", AF_EMT, SOCK_RDM, .address = emt_address, .unordered = true },
	{ "EMT records", AF_EMT, SOCK_SEQPACKET, .address = emt_address, .listens = true },
	{ "EMT stream", AF_EMT, SOCK_STREAM, .address = emt_address, .listens = true,
	  .nodelay_level = SOL_EMT, .nodelay = EMT_NODELAY },
};

const size_t nr_families = ARRAY_SIZE(families);

static void enter(const struct family *f, int side)
{
	netns_enter(hosts[f->domain == AF_UNIX ? 0 : side].netns);
}

const char *family_missing(const struct family *f)
{
	static bool tipc_is_up;
	int fd, side;

	enter(f, 0);
	fd = socket(f->domain, f->type, f->protocol);
	if (fd < 0)
		return "this kernel has none";
	close(fd);
	if (f->domain != AF_TIPC || tipc_is_up)
		return NULL;
	if (system("command -v tipc >/dev/null"))
		return "there is no tipc (iproute2)";
	for (side = 0; side < 2; side++) {
		enter(f, side);
		if (system("tipc bearer enable media eth device " EMT_DEV))
			die("a TIPC node");
	}
	tipc_is_up = true;
	return NULL;
}

int family_socket(const struct family *f)
{
	int fd = socket(f->domain, f->type, f->protocol);

	if (fd < 0)
		die("%s: a socket", f->name);
	return fd;
}

int family_bound(const struct family *f, int side, int number)
{
	struct place at = { f, side, number, .far = false };
	union address own;
	int fd, on = 1;

	enter(f, side);
	fd = family_socket(f);
	if (f->domain == AF_INET && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		die("%s: SO_REUSEADDR", f->name);
	if (bind(fd, &own.sa, f->address(&at, &own)))
		die("%s: bind", f->name);
	if (f->listens && listen(fd, 128))
		die("%s: listen", f->name);
	return fd;
}

/* Waits until the node that the caller is on has been told of a service of the other. */
static void tipc_wait(const union address *to)
{
	const struct tipc_service_addr *name = &to->tipc.addr.name.name;
	struct tipc_subscr want = {
		.seq = { name->type, name->instance, name->instance },
		.timeout = EMT_WAIT_S * 1000,
		.filter = TIPC_SUB_SERVICE,
	};
	struct sockaddr_tipc server = {
		.family = AF_TIPC,
		.addrtype = TIPC_SERVICE_ADDR,
		.addr.name.name = { TIPC_TOP_SRV, TIPC_TOP_SRV },
	};
	struct tipc_event event;
	int fd = socket(AF_TIPC, SOCK_SEQPACKET, 0);

	if (fd < 0 || connect(fd, (void *)&server, sizeof(server)) ||
	    send(fd, &want, sizeof(want), 0) != sizeof(want) ||
	    recv(fd, &event, sizeof(event), 0) != sizeof(event))
		die("TIPC's list of services");
	if (event.event != TIPC_PUBLISHED)
		die("TIPC: the nodes do not find each other");
	close(fd);
}

void family_reach(const struct family *f, struct end *end, int side, int number)
{
	struct place at = { f, !side, number, .far = true };

	end->to_len = f->address(&at, &end->to);
	if (f->domain == AF_PACKET)
		return;
	enter(f, side);
	if (f->domain == AF_TIPC)
		tipc_wait(&end->to);
	if (connect(end->fd, &end->to.sa, end->to_len) && errno != EINPROGRESS)
		die("%s: connect", f->name);
	end->to_len = 0;
}

static void nodelay(const struct family *f, int fd)
{
	int on = 1;

	if (f->nodelay_level && setsockopt(fd, f->nodelay_level, f->nodelay, &on, sizeof(on)))
		die("%s: no delay", f->name);
}

int family_join(const struct family *f, int listener, struct end *end)
{
	struct pollfd done = { .events = POLLOUT };
	int fd;

	enter(f, 1);
	end->fd = family_socket(f);
	/* There are families that answer when accept() is called, and not before. */
	fcntl(end->fd, F_SETFL, O_NONBLOCK);
	family_reach(f, end, 1, 0);
	fd = accept(listener, NULL, NULL);
	done.fd = end->fd;
	if (fd < 0 || poll(&done, 1, EMT_WAIT_S * 1000) != 1 || done.revents != POLLOUT)
		die("%s: accept", f->name);
	fcntl(end->fd, F_SETFL, 0);
	nodelay(f, end->fd);
	nodelay(f, fd);
	return fd;
}

void family_pair(const struct family *f, struct end end[2])
{
	int side, listener;

	if (f->listens) {
		listener = family_bound(f, 0, 0);
		end[0].fd = family_join(f, listener, &end[1]);
		close(listener);
		return;
	}
	for (side = 0; side < 2; side++)
		end[side].fd = family_bound(f, side, 0);
	for (side = 0; side < 2; side++)
		family_reach(f, &end[side], side, 0);
}
