// SPDX-License-Identifier: GPL-2.0
/* Which messages the simulation sends, and when: the same for all families; see emtsim.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emtsim.h"

const char sim_plan_usage[] =
	"  load FILE NAME PERCENT COUNT SEED [trip]\n"
	"                               sizes as in FILE under NAME, at random times, between\n"
	"                               all hosts; trip: each is answered by one as long\n"
	"  incast BYTES ROUNDS          all others answer the first host at once\n"
	"  bulk MEGABYTES COUNT SEED    beside a flow, short messages to the same host\n"
	"  fair MEGABYTES               flows from all others to the first host\n";

/* Long before the measurement, so that connections are open and idle by then. */
#define WARM_START	(-500000000ll)
#define WARM_APART	1000000ll
#define WARM_BYTES	1000
#define WARM_EACH	4
/* A flow is written in pieces of this size. */
#define PIECE		100000
/* Between the short messages beside a flow, on the average. */
#define BESIDE_NS	20000

#define MAX_STEPS	1000

/* A distribution: of messages, @up_to[i] have at most @size[i] bytes. */
struct sizes {
	uint32_t	size[MAX_STEPS];
	double		up_to[MAX_STEPS];
	unsigned int	count;
};

/* Random numbers of splitmix64, so that they are the same with every C library. */
static uint64_t random_state;

static uint64_t random64(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* More than 0, up to 1. */
static double uniform(void)
{
	return ((random64() >> 11) + 1) / 9007199254740992.0;
}

int64_t sim_wire(uint32_t size)
{
	int64_t bytes = size + sizeof(struct sim_head);

	return bytes + (bytes + SIM_PACKET - 1) / SIM_PACKET * SIM_OVERHEAD;
}

static struct sim_msg *add(unsigned int src, unsigned int dst, int64_t start, uint32_t size)
{
	struct sim_msg *m = &sim->msg[sim->count++];

	if (sim->count > SIM_MAX_MSGS)
		die("more than %u messages", SIM_MAX_MSGS);
	*m = (struct sim_msg){ .src = src, .dst = dst, .start = start, .size = size };
	return m;
}

/* Between two hosts, one pair after the other: @each opens as many connections. */
static void warm(unsigned int src, unsigned int dst, unsigned int each, uint32_t answer)
{
	int64_t start = WARM_START + (src * sim->hosts + dst) * WARM_APART / 20;

	while (each--)
		add(src, dst, start, WARM_BYTES)->answer = answer;
}

static bool read_sizes(const char *path, const char *name, struct sizes *s)
{
	FILE *file = fopen(path, "r");
	char line[128], word[16];

	if (!file)
		die("%s", path);
	while (fgets(line, sizeof(line), file) && s->count < MAX_STEPS)
		if (sscanf(line, "%15[^,],%u,%lf", word, &s->size[s->count],
			   &s->up_to[s->count]) == 3 && !strcmp(word, name))
			s->count++;
	fclose(file);
	return s->count;
}

/* What messages take of a wire on the average. */
static double mean_wire(const struct sizes *s)
{
	double mean = 0, before = 0;

	for (unsigned int i = 0; i < s->count; i++) {
		mean += (s->up_to[i] - before) * sim_wire(s->size[i]);
		before = s->up_to[i];
	}
	return mean;
}

static uint32_t draw(const struct sizes *s)
{
	double point = uniform();
	unsigned int i = 0;

	while (i + 1 < s->count && s->up_to[i] < point)
		i++;
	return s->size[i];
}

static bool plan_load(int argc, char **argv)
{
	static struct sizes sizes;
	unsigned int percent, count, seed, src, dst, i;
	bool trip = argc == 7;
	double gap, at;
	uint32_t size;

	if (argc < 6 || !read_sizes(argv[1], argv[2], &sizes) || sim->hosts < 2)
		return false;
	percent = atoi(argv[3]);
	count = atoi(argv[4]);
	seed = atoi(argv[5]);
	if (!percent || !count)
		return false;
	gap = mean_wire(&sizes) * 8e9 / SIM_LINK_BPS * 100 / percent * (1 + trip);
	for (src = 0; src < sim->hosts; src++) {
		for (dst = 0; dst < sim->hosts; dst++)
			if (dst != src)
				warm(src, dst, WARM_EACH, trip * WARM_BYTES);
		/* Its own numbers for each host, so that none depends on how many there are. */
		random_state = seed * 1000003ull + src;
		at = 0;
		for (i = 0; i < count / sim->hosts; i++) {
			at -= log(uniform()) * gap;
			dst = random64() % (sim->hosts - 1);
			dst += dst >= src;
			size = draw(&sizes);
			add(src, dst, at, size)->answer = trip * size;
		}
	}
	return true;
}

static bool plan_incast(int argc, char **argv)
{
	unsigned int bytes, rounds, host, round;
	struct sim_msg *m;

	if (argc != 3)
		return false;
	bytes = atoi(argv[1]);
	rounds = atoi(argv[2]);
	for (host = 1; host < sim->hosts; host++)
		warm(0, host, 1, WARM_BYTES);
	/* The first message of all that the rounds wait for, at the beginning. */
	add(0, 1, 0, 1)->answer = 1;
	for (round = 1; round <= rounds; round++) {
		for (host = 1; host < sim->hosts; host++) {
			m = add(0, host, 0, 1);
			m->answer = bytes;
			m->round = round;
		}
	}
	return bytes;
}

static void flow(unsigned int src, unsigned int megabytes)
{
	warm(src, 0, 1, 0);
	for (unsigned int i = 0; i < megabytes * (1000000 / PIECE); i++)
		add(src, 0, 0, PIECE);
}

static bool plan_bulk(int argc, char **argv)
{
	unsigned int count, src;
	double at;

	if (argc != 4 || sim->hosts < 3)
		return false;
	count = atoi(argv[2]);
	random_state = atoi(argv[3]);
	sim->pipeline = true;
	flow(1, atoi(argv[1]));
	/* From another host; when the flow is under way. */
	src = 2;
	warm(src, 0, WARM_EACH, 0);
	for (at = 5000000; count--; at -= log(uniform()) * BESIDE_NS)
		add(src, 0, at, count % 2 ? 100 : 1000);
	return true;
}

static bool plan_fair(int argc, char **argv)
{
	if (argc != 2 || sim->hosts < 3)
		return false;
	sim->pipeline = true;
	sim->conns = 1;
	for (unsigned int src = 1; src < sim->hosts; src++)
		flow(src, atoi(argv[1]));
	return true;
}

bool sim_plan(int argc, char **argv)
{
	static const struct {
		const char *name;
		bool (*plan)(int argc, char **argv);
	} kinds[] = {
		{ "load", plan_load }, { "incast", plan_incast }, { "bulk", plan_bulk },
		{ "fair", plan_fair },
	};

	for (int i = 0; argc && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(argv[0], kinds[i].name))
			return kinds[i].plan(argc, argv);
	return false;
}
