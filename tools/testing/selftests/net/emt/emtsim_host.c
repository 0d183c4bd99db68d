// SPDX-License-Identifier: GPL-2.0
/* A host of the simulation: sends what the plan says, when it says, and answers; see emtsim.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "emtsim.h"

unsigned int sim_self;
int sim_ifindex;

static const struct sim_way *way;
static int epoll;
static struct sim_watch timer, waker;
/* The numbers of what this host sends, in order, and how many of these have begun. */
static uint32_t *mine;
static uint32_t mine_count, begun;
/* Of the rounds: which one it is, and how many of what has begun are not finished. */
static uint32_t current_round, open_count;

int64_t host_now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t))
		die("the clock");
	return t.tv_sec * 1000000000ll + t.tv_nsec - sim->zero;
}

void host_watch(struct sim_watch *w, uint32_t events, bool known)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (epoll_ctl(epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e))
		die("epoll_ctl");
}

socklen_t host_address(union address *a, unsigned int host, bool own)
{
	memset(a, 0, sizeof(*a));
	if (sim->f->domain == AF_EMT) {
		a->emt = emt_addr(own ? 0 : sim_ifindex, own ? NULL : sim->mac[host], SIM_PORT);
		return sizeof(a->emt);
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons(SIM_PORT);
	a->in.sin_addr.s_addr = htonl(0x0a000001 + host);
	return sizeof(a->in);
}

int host_socket(void)
{
	union address own;
	int fd = family_socket(sim->f);

	if (bind(fd, &own.sa, host_address(&own, sim_self, true)))
		die("%s: bind", sim->f->name);
	return fd;
}

/* Sets the timer for the next message; 0 would stop it. */
static void arm(void)
{
	struct itimerspec at = { 0 };
	int64_t when;

	if (begun == mine_count || sim->msg[mine[begun]].round)
		return;
	when = sim->msg[mine[begun]].start + sim->zero;
	at.it_value.tv_sec = when / 1000000000;
	at.it_value.tv_nsec = when % 1000000000;
	if (timerfd_settime(timer.fd, TFD_TIMER_ABSTIME, &at, NULL))
		die("timerfd_settime");
}

/* Begins what is due, by the clock or because the rounds before are finished. */
static void begin(void)
{
	while (begun < mine_count) {
		struct sim_msg *m = &sim->msg[mine[begun]];
		int64_t now = host_now();

		if (m->round ? m->round > current_round && open_count : m->start > now)
			break;
		if (m->round) {
			m->start = now;
			current_round = m->round;
		}
		open_count++;
		way->send(mine[begun++]);
	}
	arm();
}

static void timer_ready(struct sim_watch *w)
{
	uint64_t times;

	if (read(w->fd, &times, sizeof(times)) == sizeof(times))
		begin();
}

static void waker_ready(struct sim_watch *w)
{
	uint64_t times;

	if (read(w->fd, &times, sizeof(times)) == sizeof(times))
		way->retry();
}

uint32_t host_received(uint32_t number)
{
	struct sim_msg *m = &sim->msg[number & ~SIM_ANSWER];
	uint64_t one = 1;

	if (m->answer && !(number & SIM_ANSWER))
		return number | SIM_ANSWER;
	m->finish = host_now();
	__atomic_add_fetch(&sim->finished, 1, __ATOMIC_RELAXED);
	/* Its sender would know from an answer. Here it is told by the side, if it waits. */
	if (sim->waiting[m->src] && write(sim->wake[m->src], &one, sizeof(one)) < 0)
		die("an eventfd");
	if (m->src == sim_self) {
		open_count--;
		begin();
	}
	return SIM_NONE;
}

static void collect(void)
{
	uint32_t i;

	mine = malloc(sim->count * sizeof(*mine));
	if (!mine)
		die("memory");
	for (i = 0; i < sim->count; i++)
		if (sim->msg[i].src == sim_self)
			mine[mine_count++] = i;
}

static void enable(void)
{
	struct emt_limits limits = { .max_message = sizeof(struct sim_head) + SIM_MAX_SIZE };
	int ctl = socket(AF_EMT, SOCK_DGRAM, 0);

	if (ctl < 0 || ioctl(ctl, SIOCEMTSETLIMITS, &limits))
		die("a host's EMT");
	errno = emt_enable(ctl, sim_ifindex);
	if (errno)
		die("SIOCEMTENABLE");
	close(ctl);
}

void host_run(unsigned int self)
{
	struct epoll_event ready[64];
	char path[32];
	int netns;

	sim_self = self;
	snprintf(path, sizeof(path), "/run/netns/h%u", self);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		die("%s", path);
	netns_enter(netns);
	sim_ifindex = link_index(EMT_DEV);
	if (sim->f->domain == AF_EMT)
		enable();
	collect();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	timer.ready = timer_ready;
	waker.fd = sim->wake[self];
	waker.ready = waker_ready;
	if (epoll < 0 || timer.fd < 0)
		die("epoll and a timer");
	host_watch(&timer, EPOLLIN, false);
	host_watch(&waker, EPOLLIN, false);
	way = sim->f->listens ? &sim_conns : &sim_rdm;
	way->init();
	begin();
	for (;;) {
		int n = epoll_wait(epoll, ready, ARRAY_SIZE(ready), -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct sim_watch *w = ready[i].data.ptr;

			w->events = ready[i].events;
			w->ready(w);
		}
	}
}
