// SPDX-License-Identifier: GPL-2.0
/* The simulation's messages by a socket that needs no connections; see emtsim.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "emtsim.h"

/* A part for each 64 kB, and the head. */
#define PARTS	(SIM_MAX_SIZE / 65536 + 2)

static struct sim_watch sock;
static bool watched;
/* What the socket has not taken, in order. */
static uint32_t *queue;
static size_t first, last, room;
static char *buf;

/* Once a message has failed, its error comes with whatever is done next. */
static bool may_retry(void)
{
	if (errno == EAGAIN)
		return false;
	if (errno != ETIMEDOUT && errno != ECONNREFUSED && errno != EHOSTUNREACH &&
	    errno != ENOBUFS && errno != ECONNRESET)
		die("%s: host %u cannot send or receive", sim->f->name, sim_self);
	__atomic_add_fetch(&sim->refused, 1, __ATOMIC_RELAXED);
	return true;
}

static bool put(uint32_t number)
{
	const struct sim_msg *m = &sim->msg[number & ~SIM_ANSWER];
	static struct iovec iov[PARTS];
	struct sim_head head;
	union address to;
	struct msghdr msg = {
		.msg_name = &to,
		.msg_namelen = host_address(&to, number & SIM_ANSWER ? m->src : m->dst, false),
		.msg_iov = iov,
	};
	size_t bytes;

	msg.msg_iovlen = content_parts(number, 0, &head, iov, PARTS, &bytes);
	for (;;) {
		ssize_t n = sendmsg(sock.fd, &msg, MSG_DONTWAIT);

		if (n >= 0 && n != bytes)
			die("%s: sent %zd bytes of %zu", sim->f->name, n, bytes);
		if (n >= 0)
			return true;
		if (!may_retry())
			return false;
	}
}

static void drain(void)
{
	bool room_wanted;

	while (first < last && put(queue[first]))
		first++;
	room_wanted = first < last;
	if (watched != room_wanted) {
		watched = room_wanted;
		host_watch(&sock, EPOLLIN | (watched ? EPOLLOUT : 0), true);
	}
}

static void rdm_send(uint32_t number)
{
	if (last == room) {
		room = room ? 2 * room : 1024;
		queue = realloc(queue, room * sizeof(*queue));
		if (!queue)
			die("memory for %zu messages", room);
	}
	queue[last++] = number;
	drain();
}

static void rdm_ready(struct sim_watch *w)
{
	ssize_t n = recv(w->fd, buf, sizeof(struct sim_head) + SIM_MAX_SIZE, MSG_DONTWAIT);
	struct sim_head *head = (void *)buf;
	uint32_t answer;

	if (n >= 0) {
		if (n < (ssize_t)sizeof(*head) || n != sizeof(*head) + head->size)
			die("%s: received %zd bytes of a message", sim->f->name, n);
		content_check_head(head);
		content_check(head->number, 0, head + 1, head->size);
		answer = host_received(head->number);
		if (answer != SIM_NONE)
			rdm_send(answer);
	} else {
		may_retry();
	}
	drain();
}

static void rdm_init(void)
{
	buf = malloc(sizeof(struct sim_head) + SIM_MAX_SIZE);
	if (!buf)
		die("memory");
	sock.fd = host_socket();
	sock.ready = rdm_ready;
	/* One socket for what others have many of: as much room as those have together. */
	sock_set(sock.fd, SO_SNDBUFFORCE, 512 << 20);
	sock_set(sock.fd, SO_RCVBUFFORCE, 128 << 20);
	host_watch(&sock, EPOLLIN, false);
}

static void rdm_retry(void)
{
}

const struct sim_way sim_rdm = { rdm_init, rdm_send, rdm_retry };
