// SPDX-License-Identifier: GPL-2.0
/*
 * The simulation's messages by connections; see emtsim.h. A host keeps some to each
 * other one, and a message takes one that is free, so that it does not wait behind
 * another in the same connection. One is opened when none is free, up to a limit.
 * Buffers are as the kernel has them: TCP's grow by themselves, EMT's do not. With
 * those that it has by itself SCTP comes to a stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "emtsim.h"

#define PARTS	(SIM_MAX_SIZE / 65536 + 2)
#define CHUNK	(256 << 10)
#define SCTP_BUFFER	(4 << 20)

/**
 * struct conn - a connection, at either end
 * @w: its socket
 * @of: the connections to the same host, NULL if that has opened it
 * @opening: connect() is not done
 * @watched: it is waited for room
 * @out: what is being sent, or SIM_NONE
 * @sent: how much of that was, head included
 * @last: what was sent last
 * @head: of what is being received
 * @got: how much of it has come, head included
 */
struct conn {
	struct sim_watch	w;
	struct pool		*of;
	bool			opening, watched;
	uint32_t		out;
	size_t			sent;
	uint32_t		last;
	struct sim_head		head;
	size_t			got;
};

/* Connections to one host, and messages that wait for one. */
struct pool {
	struct conn	*conn[SIM_MAX_CONNS];
	unsigned int	count;
	uint32_t	first, last;
};

static struct sim_watch listener;
static struct pool pools[SIM_MAX_HOSTS];
static char *buf;

static void dispatch(struct pool *p);

static bool idle(const struct conn *c)
{
	if (c->out != SIM_NONE)
		return false;
	return sim->pipeline || c->last == SIM_NONE || sim->msg[c->last].finish;
}

/* How much is given to the socket in one call: a record is one, and so is SCTP's message. */
static int parts_at_once(void)
{
	if (sim->f->type == SOCK_SEQPACKET)
		return PARTS;
	return sim->f->protocol ? 2 : 16;
}

static void watch(struct conn *c, bool writable)
{
	if (c->watched == writable)
		return;
	c->watched = writable;
	host_watch(&c->w, EPOLLIN | (writable ? EPOLLOUT : 0), true);
}

static void push(struct conn *c)
{
	static struct iovec iov[PARTS];
	struct msghdr msg = { .msg_iov = iov };
	struct sim_head head;
	size_t bytes;
	ssize_t n;

	while (!c->opening && c->out != SIM_NONE) {
		msg.msg_iovlen = content_parts(c->out, c->sent, &head, iov, parts_at_once(),
					       &bytes);
		n = sendmsg(c->w.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			die("%s: host %u cannot send", sim->f->name, sim_self);
		c->sent += n;
		if (c->sent < sizeof(head) + content_size(c->out))
			continue;
		c->last = c->out & ~SIM_ANSWER;
		c->out = SIM_NONE;
		if (c->of && sim->pipeline)
			dispatch(c->of);
	}
	watch(c, c->opening || c->out != SIM_NONE);
}

static void give(struct conn *c, uint32_t number)
{
	if (c->out != SIM_NONE)
		die("%s: two answers at once", sim->f->name);
	c->out = number;
	c->sent = 0;
	push(c);
}

/* Takes some of what has come, of one message at most; how much. */
static size_t take(struct conn *c, const char *data, size_t len)
{
	size_t part, want = sizeof(c->head);
	uint32_t answer;

	if (c->got < want) {
		part = want - c->got < len ? want - c->got : len;
		memcpy((char *)&c->head + c->got, data, part);
		c->got += part;
		if (c->got == want)
			content_check_head(&c->head);
		if (c->got < want || c->head.size)
			return part;
	} else {
		part = want + c->head.size - c->got;
		if (part > len)
			part = len;
		content_check(c->head.number, c->got - want, data, part);
		c->got += part;
		if (c->got < want + c->head.size)
			return part;
	}
	c->got = 0;
	answer = host_received(c->head.number);
	if (answer != SIM_NONE)
		give(c, answer);
	return part;
}

static void pull(struct conn *c)
{
	ssize_t n = recv(c->w.fd, buf, CHUNK, MSG_DONTWAIT), at = 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 && sim->over)
		exit(0);
	if (n <= 0)
		die("%s: host %u has lost a connection", sim->f->name, sim_self);
	while (at < n)
		at += take(c, buf + at, n - at);
}

static void conn_ready(struct sim_watch *w)
{
	struct conn *c = (struct conn *)w;
	uint32_t events = w->events;

	if (c->opening && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		errno = sock_get(w->fd, SO_ERROR);
		if (errno)
			die("%s: host %u cannot connect", sim->f->name, sim_self);
		c->opening = false;
	}
	if (events & EPOLLOUT)
		push(c);
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !c->opening)
		pull(c);
}

static struct conn *conn_new(int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	int on = 1;

	if (!c)
		die("memory");
	c->w.fd = fd;
	c->w.ready = conn_ready;
	c->out = SIM_NONE;
	c->last = SIM_NONE;
	if (sim->f->nodelay_level &&
	    setsockopt(fd, sim->f->nodelay_level, sim->f->nodelay, &on, sizeof(on)))
		die("%s: no delay", sim->f->name);
	return c;
}

static void room(int fd)
{
	if (sim->f->protocol != IPPROTO_SCTP)
		return;
	sock_set(fd, SO_SNDBUFFORCE, SCTP_BUFFER);
	sock_set(fd, SO_RCVBUFFORCE, SCTP_BUFFER);
}

static struct conn *conn_open(struct pool *p)
{
	union address to;
	struct conn *c;
	int fd = family_socket(sim->f);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	room(fd);
	c = conn_new(fd);
	c->of = p;
	c->opening = true;
	c->watched = true;
	if (connect(fd, &to.sa, host_address(&to, p - pools, false)) && errno != EINPROGRESS)
		die("%s: connect", sim->f->name);
	host_watch(&c->w, EPOLLIN | EPOLLOUT, false);
	p->conn[p->count++] = c;
	__atomic_add_fetch(&sim->opened, 1, __ATOMIC_RELAXED);
	return c;
}

static void listener_ready(struct sim_watch *w)
{
	int fd = accept(w->fd, NULL, NULL);

	if (fd < 0 && errno == EAGAIN)
		return;
	if (fd < 0)
		die("%s: accept", sim->f->name);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	host_watch(&conn_new(fd)->w, EPOLLIN, false);
}

static struct conn *conn_for(struct pool *p)
{
	for (unsigned int i = 0; i < p->count; i++)
		if (idle(p->conn[i]))
			return p->conn[i];
	return p->count < sim->conns ? conn_open(p) : NULL;
}

/* Lets messages go for which there are connections. */
static void dispatch(struct pool *p)
{
	while (p->first != SIM_NONE) {
		uint32_t number = p->first;
		struct conn *c = conn_for(p);

		if (!c)
			return;
		p->first = sim->msg[number].next;
		__atomic_sub_fetch(&sim->waiting[sim_self], 1, __ATOMIC_RELAXED);
		give(c, number);
	}
}

static void conns_send(uint32_t number)
{
	struct pool *p = &pools[sim->msg[number].dst];

	sim->msg[number].next = SIM_NONE;
	if (p->first == SIM_NONE)
		p->first = number;
	else
		sim->msg[p->last].next = number;
	p->last = number;
	__atomic_add_fetch(&sim->waiting[sim_self], 1, __ATOMIC_RELAXED);
	dispatch(p);
}

static void conns_retry(void)
{
	for (unsigned int i = 0; i < sim->hosts; i++)
		dispatch(&pools[i]);
}

static void conns_init(void)
{
	buf = malloc(CHUNK);
	if (!buf)
		die("memory");
	for (unsigned int i = 0; i < sim->hosts; i++)
		pools[i].first = SIM_NONE;
	listener.fd = host_socket();
	listener.ready = listener_ready;
	fcntl(listener.fd, F_SETFL, O_NONBLOCK);
	room(listener.fd);
	if (listen(listener.fd, 4096))
		die("%s: listen", sim->f->name);
	host_watch(&listener, EPOLLIN, false);
}

const struct sim_way sim_conns = { conns_init, conns_send, conns_retry };
