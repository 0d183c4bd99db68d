/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hosts that send each other messages over a network, which others have built
 * and time belongs to, for emtsim: a process for each host, in a namespace of its
 * own, and what all of them share.
 *
 * As in emt_lib.h, a helper that fails says what failed and ends the program.
 */
#ifndef EMTSIM_H
#define EMTSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "emt_family.h"

#define SIM_MAX_HOSTS	65
#define SIM_MAX_MSGS	1000000
#define SIM_PORT	3000
/* Connections between two hosts at most, for each who opens them. */
#define SIM_MAX_CONNS	64
/* The longest message, with room for the longest of W5. */
#define SIM_MAX_SIZE	(32u << 20)
/* Nothing, where the number of a message is said. */
#define SIM_NONE	UINT32_MAX
/* In the number of a message on the wire: the answer to it. */
#define SIM_ANSWER	0x80000000u

/* Of a network that nothing but the plan's arithmetic knows: see sim_wire(). */
#define SIM_LINK_BPS	10000000000ll
#define SIM_PACKET	1448
#define SIM_OVERHEAD	66

/**
 * struct sim_head - what a message begins with, before its content
 * @number: of the message; with SIM_ANSWER, of the one that it answers
 * @size: bytes of content
 * @start: when the message arrived at its sender, struct sim_msg
 */
struct sim_head {
	uint32_t	number;
	uint32_t	size;
	int64_t		start;
};

/**
 * struct sim_msg - a message of the plan, and what became of it
 * @start: nanoseconds from the beginning of the measurement, negative before it;
 *	of a round that has not begun: not known yet
 * @finish: when all of it, or all of its answer, was received; 0: it was not
 * @size: bytes of content
 * @answer: bytes of the answer's content; 0: none is wanted
 * @round: it waits until all of the rounds before are finished; 0: for @start
 * @next: of those that wait for a connection, the next one's number
 * @src: the host that sends
 * @dst: the host that receives
 */
struct sim_msg {
	int64_t		start;
	int64_t		finish;
	uint32_t	size;
	uint32_t	answer;
	uint32_t	round;
	uint32_t	next;
	uint16_t	src;
	uint16_t	dst;
};

/**
 * struct sim_shared - one run, in memory that all processes share
 * @f: what the messages are sent by
 * @hosts: how many there are
 * @conns: connections between two hosts at most
 * @pipeline: a connection is free again when its socket has taken a message, not
 *	only when that has been received
 * @over: the hosts are being ended
 * @zero: CLOCK_MONOTONIC when the measurement begins
 * @count: messages in @msg
 * @finished: how many have been
 * @refused: errors of single messages
 * @opened: connections
 * @wake: for each host an eventfd, by which it learns that a message of its was
 *	received
 * @waiting: for each host, messages that wait for a connection
 * @mac: the hosts' addresses
 * @msg: the plan, in the order of start for each host
 */
struct sim_shared {
	const struct family	*f;
	unsigned int		hosts;
	unsigned int		conns;
	bool			pipeline, over;
	int64_t			zero;
	uint32_t		count;
	uint32_t		finished;
	uint32_t		refused;
	uint32_t		opened;
	int			wake[SIM_MAX_HOSTS];
	uint32_t		waiting[SIM_MAX_HOSTS];
	unsigned char		mac[SIM_MAX_HOSTS][ETH_ALEN];
	struct sim_msg		msg[];
};

/* Something that a host waits for, and when that is so, what for (EPOLLIN and so on). */
struct sim_watch {
	void		(*ready)(struct sim_watch *w);
	int		fd;
	uint32_t	events;
};

/* What this process knows besides. */
extern struct sim_shared *sim;
extern unsigned int sim_self;
extern int sim_ifindex;

/* emtsim_plan.c: which messages are sent, and when */

/* Bytes on a wire of a message with @size bytes of content, the same for all families. */
int64_t sim_wire(uint32_t size);

/* Fills @sim->msg by words such as "load w4 80 5000 1"; tells when they make no sense. */
bool sim_plan(int argc, char **argv);

extern const char sim_plan_usage[];

/* emtsim_content.c: what is in a message */

void content_init(void);

/*
 * The bytes of message @number's content from @offset on, as far as they are in one
 * place: at least one, and *@len says how many.
 */
const void *content_at(uint32_t number, uint32_t offset, size_t *len);

/* Dies if @buf is not the content from @offset on. */
void content_check(uint32_t number, uint32_t offset, const void *buf, size_t len);

/*
 * The message from byte @from on, its head included, as parts, not more than @max of
 * them; how many there are, and in *@bytes how long they are together. @head is
 * filled and must stay.
 */
int content_parts(uint32_t number, size_t from, struct sim_head *head, struct iovec *iov,
		  int max, size_t *bytes);

/* Bytes of message @number or, with SIM_ANSWER, of its answer, without the head. */
uint32_t content_size(uint32_t number);

/* Dies if a head that was received is not the one that was sent to this host. */
void content_check_head(const struct sim_head *head);

/* emtsim_host.c: a host */

__noreturn void host_run(unsigned int self);

int64_t host_now(void);
void host_watch(struct sim_watch *w, uint32_t events, bool known);

/* The address of another host's socket, or what to bind one's own to. */
socklen_t host_address(union address *a, unsigned int host, bool own);

/* A message or an answer has been received. Returns what is to be sent back, or SIM_NONE. */
uint32_t host_received(uint32_t number);

/* The socket of a host that is not a connection, made ready. */
int host_socket(void);

/* emtsim_conn.c, emtsim_rdm.c: how messages go */

/**
 * struct sim_way - what differs between connections and messages without
 * @init: called once in each host
 * @send: a message has arrived and is to be sent
 * @retry: something was received, which may let others go
 */
struct sim_way {
	void	(*init)(void);
	void	(*send)(uint32_t number);
	void	(*retry)(void);
};

extern const struct sim_way sim_conns;
extern const struct sim_way sim_rdm;

#endif /* EMTSIM_H */
