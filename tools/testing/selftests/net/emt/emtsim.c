// SPDX-License-Identifier: GPL-2.0
/*
 * How long messages take between hosts of a simulated network, for EMT and its
 * peers: the same plan of messages for each. The namespaces h0, h1 and so on are
 * the hosts, with addresses and the device that joins them; who made them has
 * also seen to how fast that is. Meant for a kernel whose time stands still while
 * it works: elsewhere the figures are those of its CPU.
 *
 * Writes a line for each message of the measurement: number, sender, receiver,
 * bytes, bytes of the answer, and in nanoseconds when it arrived at its sender and
 * when all of it, or of its answer, was received; -1 if it was not. What was
 * received is what was sent, or the run fails.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emtsim.h"

/* From the start of the processes to the beginning of the measurement. */
#define LEAD_NS		2000000000ll

struct sim_shared *sim;

static pid_t child[SIM_MAX_HOSTS];

static void share(void)
{
	size_t len = sizeof(*sim) + SIM_MAX_MSGS * sizeof(sim->msg[0]);

	sim = mmap(NULL, len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sim == MAP_FAILED)
		die("memory");
}

static void make_hosts(void)
{
	unsigned int i;

	for (i = 0; i < sim->hosts; i++) {
		unsigned char mac[ETH_ALEN] = { 0x02, 0, 0, 0, 0, i };

		memcpy(sim->mac[i], mac, ETH_ALEN);
		sim->wake[i] = eventfd(0, EFD_NONBLOCK);
		if (sim->wake[i] < 0)
			die("eventfd");
	}
	sim->zero = host_now() + LEAD_NS;
	for (i = 0; i < sim->hosts; i++) {
		child[i] = fork();
		if (child[i] < 0)
			die("fork");
		if (!child[i])
			host_run(i);
	}
}

/* True if no host has failed. */
static bool wait_finished(int64_t limit)
{
	while (sim->finished < sim->count && host_now() < limit) {
		usleep(1000);
		if (waitpid(-1, NULL, WNOHANG))
			return false;
	}
	return true;
}

static void end_hosts(void)
{
	unsigned int i;

	sim->over = true;
	for (i = 0; i < sim->hosts; i++)
		kill(child[i], SIGKILL);
	while (wait(NULL) > 0)
		;
}

static void report(const char *path)
{
	FILE *file = fopen(path, "w");
	uint32_t i;

	if (!file)
		die("%s", path);
	for (i = 0; i < sim->count; i++) {
		const struct sim_msg *m = &sim->msg[i];

		if (m->start < 0)
			continue;
		fprintf(file, "%u,%u,%u,%u,%u,%lld,%lld\n", i, m->src, m->dst, m->size,
			m->answer, (long long)m->start, m->finish ? (long long)m->finish : -1);
	}
	if (fclose(file))
		die("%s", path);
	printf("finished %u of %u, %u refused, %u connections, %.6f s\n", sim->finished,
	       sim->count, sim->refused, sim->opened, host_now() / 1e9);
}

int main(int argc, char **argv)
{
	unsigned int i, seconds;
	bool good;

	share();
	if (argc > 6) {
		for (i = 0; i < nr_families; i++)
			if (!strcmp(families[i].name, argv[1]))
				sim->f = &families[i];
		sim->hosts = atoi(argv[2]);
		sim->conns = atoi(argv[3]);
	}
	seconds = argc > 6 ? atoi(argv[4]) : 0;
	if (!sim->f || !sim->hosts || sim->hosts > SIM_MAX_HOSTS || !sim->conns ||
	    sim->conns > SIM_MAX_CONNS || !seconds || !sim_plan(argc - 6, argv + 6)) {
		fprintf(stderr, "usage: emtsim FAMILY HOSTS CONNECTIONS SECONDS FILE PLAN\n"
			"  CONNECTIONS  between two hosts, for each that opens them, at most\n"
			"  SECONDS      when to give up\n"
			"  FILE         what to write to\n"
			"  PLAN\n%s", sim_plan_usage);
		return 2;
	}
	content_init();
	make_hosts();
	good = wait_finished(seconds * 1000000000ll);
	end_hosts();
	if (good)
		report(argv[5]);
	return !good;
}
