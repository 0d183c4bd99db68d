/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of connections share: two hosts with a listener on the first
 * and connections to it from the second, calls that block, and a look at what
 * is left when all is closed.
 *
 * Much of what they state holds for any connection-oriented socket. Built with
 * make CONN_FAMILY=AF_INET they run on TCP, and with CONN_FAMILY=AF_UNIX on
 * those, so that it can be seen that the tests themselves are right.
 *
 * As in emt_lib.h, helpers that fail end the test.
 */
#ifndef EMT_CONN_H
#define EMT_CONN_H

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "emt_lib.h"

#define CONN_PORT	5000

/* For a test that says more than holds for another family. */
#define NOT_FOR(family)							\
	do {								\
		if (conn_family == (family))				\
			SKIP(return, "is not so for " #family);		\
	} while (0)

#define EMT_ONLY()							\
	do {								\
		if (conn_family != AF_EMT)				\
			SKIP(return, "is so for EMT");			\
	} while (0)

/* The first line of a fixture's set-up. */
#define REQUIRE_CONN(type)						\
	do {								\
		if (conn_family == AF_EMT)				\
			REQUIRE_EMT();					\
		if (conn_family == AF_INET && (type) == SOCK_SEQPACKET)	\
			SKIP(return, "TCP has no records");		\
	} while (0)

union conn_addr {
	struct sockaddr		sa;
	struct sockaddr_emt	emt;
	struct sockaddr_in	in;
	struct sockaddr_un	un;
};

/* Bytes of what conn_addr() returns. */
#define CONN_ALEN	(conn_family == AF_EMT ? sizeof(struct sockaddr_emt) :	\
			 conn_family == AF_INET ? sizeof(struct sockaddr_in) :	\
			 offsetof(struct sockaddr_un, sun_path) + 16)

/**
 * struct conn_left - what there is of sockets, to be compared later
 * @users: references on the module, -1 if it is none
 * @sockets: sockets of EMT that programs have, and all sockets that there are,
 *	in either host
 */
struct conn_left {
	long	users;
	long	sockets[2][2];
};

/**
 * struct conn - two hosts and what is between them
 * @h: host 0 listens, host 1 connects
 * @type: of the sockets
 * @listener: of host 0 at CONN_PORT, or -1
 * @fd: both ends of a connection: [0] was accepted by host 0, [1] is host 1's
 * @mark: file descriptors from here on are the test's
 * @before: what there was before the test
 */
struct conn {
	struct host		h[2];
	int			type;
	int			listener;
	int			fd[2];
	int			mark;
	struct conn_left	before;
};

/* Hosts, and nothing else yet. */
void conn_begin(struct conn *c, int type);

/* The same with hosts that there are. */
void conn_begin_between(struct conn *c, int type);

/* That, and a listener with room for some connections. */
void conn_begin_listening(struct conn *c, int type);

/* That, and a connection. */
void conn_begin_connected(struct conn *c, int type);

/*
 * Closes all that the test has opened, and waits until no socket is left. False,
 * after saying what is: some are.
 */
bool conn_end(struct conn *c);

struct conn_left conn_left(const struct host h[2]);
bool conn_left_nothing(const struct host h[2], const struct conn_left *before);

/* Another connection to the listener. */
void conn_pair(struct conn *c, int fd[2]);

/* The address of port @port of host @to for a socket of host @from. */
union conn_addr conn_addr(const struct host *from, const struct host *to, int port);

/* A socket that waits for EMT_WAIT_S at most when it receives or accepts. */
int conn_socket(const struct host *h, int type);
int conn_listener(const struct host *h, int type, int port, int backlog);

/* 0, or the errno of the call. */
int conn_connect(int fd, const union conn_addr *to);

/* A new socket of host 1 that is connected to the listener. */
int conn_client(const struct conn *c);

/* The same for one that does not wait: the call has left it connecting. */
int conn_client_start(const struct conn *c);

void set_nonblock(int fd, bool on);
void set_timeout(int fd, int option, int ms);
void set_linger(int fd, int on, int seconds);
void set_user_timeout(int fd, unsigned int ms);

/* What is ready now. */
int ready(int fd);

/* Waits until any of @events is ready; returns what is, or 0. */
int wait_ready(int fd, int events);

/* Waits until what is ready is just this. */
bool wait_ready_is(int fd, int events);

#define READY_ALL	(POLLIN | POLLPRI | POLLOUT | POLLRDHUP)

int inq(int fd);
int outq(int fd);
bool wait_inq(int fd, int bytes);
bool wait_sent(int fd);

/* Bytes, or -errno; all of them, in as many calls as it takes. */
long send_all(int fd, const void *buf, size_t len, int flags);
long recv_all(int fd, void *buf, size_t len);

/* Sends until it would block; how many bytes that was, in steps of @step. */
long fill(int fd, size_t step);

/*
 * Sends or receives @len bytes of a pattern. A sender of records makes them of
 * different lengths. False, after saying why: something is wrong with it.
 */
bool pattern_send(int fd, size_t len, unsigned int seed);
bool pattern_recv(int fd, size_t len, unsigned int seed);

/* The pattern's bytes from place @at on. */
void pattern_at(unsigned char *buf, size_t len, size_t at, unsigned int seed);

/* recvmsg() with one buffer. */
long recv_flags(int fd, void *buf, size_t len, int flags, int *msg_flags);

/* A child that does this, and then has no more to do: 0 if it is true, for ends(). */
#define CHILD(call)							\
	({								\
		pid_t pid_ = fork();					\
									\
		if (!pid_)						\
			_exit((call) ? 0 : 1);				\
		pid_;							\
	})

/* The exit status of a child, or -1 if it does not end of its own accord in time. */
int ends(pid_t pid);

/* Waits until a thread or process sleeps in the kernel. */
void wait_asleep(pid_t tid);

/**
 * struct call - a call in a thread of its own
 * @fn: what it does with @fd; its result is @result, -errno if that is -1
 */
struct call {
	pthread_t	thread;
	pid_t		tid;
	long		(*fn)(int fd);
	int		fd;
	long		result;
};

/* Starts it, and waits until it sleeps. */
void call_start(struct call *call, long (*fn)(int fd), int fd);

/* What came of it. */
long call_end(struct call *call);

/* Whether it is still at it, a moment later. */
bool call_waits(const struct call *call);

/* Some of them. */
long do_accept(int fd);
long do_recv(int fd);
long do_send_much(int fd);

#endif /* EMT_CONN_H */
