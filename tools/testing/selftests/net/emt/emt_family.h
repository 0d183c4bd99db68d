/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a program could use between two hosts on a wire, one like the other: EMT
 * and its peers, for emtrtt.
 *
 * As in emt_lib.h, a helper that fails says what failed and ends the program.
 */
#ifndef EMT_FAMILY_H
#define EMT_FAMILY_H

#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <linux/if_packet.h>
#include <linux/tipc.h>

#include "emt_lib.h"

/* The hosts; all addresses are theirs. */
extern struct host hosts[2];

union address {
	struct sockaddr		sa;
	struct sockaddr_emt	emt;
	struct sockaddr_in	in;
	struct sockaddr_ll	packet;
	struct sockaddr_tipc	tipc;
	struct sockaddr_un	un;
};

/**
 * struct place - where a socket is
 * @f: its family
 * @of: its host
 * @number: which of its sockets
 * @far: seen from the other host, which sends there; or from its own, where it is bound
 */
struct place {
	const struct family	*f;
	int			of, number;
	bool			far;
};

/**
 * struct family - sockets of one kind
 * @name: as it is printed, and asked for
 * @domain: with @type and @protocol, the arguments of socket()
 * @type: see @domain
 * @protocol: see @domain
 * @most: bytes of the longest message, 0 for no limit that matters here
 * @lossy: messages are dropped if the receiver is slow
 * @unordered: messages may overtake each other
 * @listens: they have connections
 * @nodelay_level: level and number of the option that sends small writes at once, if there is one
 * @nodelay: see @nodelay_level
 * @address: tells the address of a socket, and its length
 */
struct family {
	const char	*name;
	int		domain, type, protocol;
	size_t		most;
	bool		lossy, unordered, listens;
	int		nodelay_level, nodelay;
	socklen_t	(*address)(const struct place *at, union address *a);
};

/* A socket, and where it sends to if it is not connected. */
struct end {
	int		fd;
	socklen_t	to_len;
	union address	to;
};

extern const struct family families[];
extern const size_t nr_families;

/* Prepares the hosts for the family. NULL, or why this kernel or machine does not have it. */
const char *family_missing(const struct family *f);

/* A socket of the host that the caller is in. */
int family_socket(const struct family *f);

/* The same on the host @side, bound as its socket @number; it listens if the family does. */
int family_bound(const struct family *f, int side, int number);

/* Has a socket of the host @side send to the socket @number of the other. */
void family_reach(const struct family *f, struct end *end, int side, int number);

/* Has a new socket of the second host connected; returns what the first accepted. */
int family_join(const struct family *f, int listener, struct end *end);

/* A pair of sockets, or connection, that reach each other. */
void family_pair(const struct family *f, struct end end[2]);

#endif /* EMT_FAMILY_H */
