// SPDX-License-Identifier: GPL-2.0
/* What the simulation's messages hold, and whether it has arrived; see emtsim.h. */
#include <stdio.h>
#include <string.h>

#include "emtsim.h"

/*
 * Content comes from a block of noise, from where the number of the message and of
 * the block in it say. Nothing is copied for sending, and neither another message's
 * bytes nor those of another place look alike.
 */
#define BLOCK	65536u

static unsigned char noise[2 * BLOCK];

void content_init(void)
{
	uint64_t x = 1;

	for (unsigned int i = 0; i < BLOCK; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		noise[i] = x >> 56;
		noise[i + BLOCK] = x >> 56;
	}
}

const void *content_at(uint32_t number, uint32_t offset, size_t *len)
{
	uint32_t start = (number * 40503u + (offset / BLOCK) * 7919u) % BLOCK;

	*len = BLOCK - offset % BLOCK;
	return noise + start + offset % BLOCK;
}

void content_check(uint32_t number, uint32_t offset, const void *buf, size_t len)
{
	while (len) {
		const void *want;
		size_t part;

		want = content_at(number, offset, &part);
		if (part > len)
			part = len;
		if (memcmp(buf, want, part))
			die("%s: message %x is broken between bytes %u and %zu", sim->f->name,
			    number, offset, offset + part);
		offset += part;
		buf = (const char *)buf + part;
		len -= part;
	}
}

uint32_t content_size(uint32_t number)
{
	const struct sim_msg *m = &sim->msg[number & ~SIM_ANSWER];

	return number & SIM_ANSWER ? m->answer : m->size;
}

int content_parts(uint32_t number, size_t from, struct sim_head *head, struct iovec *iov,
		  int max, size_t *bytes)
{
	uint32_t size = content_size(number), offset = 0;
	int n = 0;

	*bytes = 0;
	*head = (struct sim_head){
		.number = number,
		.size = size,
		.start = sim->msg[number & ~SIM_ANSWER].start,
	};
	if (from < sizeof(*head)) {
		iov[n].iov_base = (char *)head + from;
		iov[n].iov_len = sizeof(*head) - from;
		*bytes += iov[n++].iov_len;
	} else {
		offset = from - sizeof(*head);
	}
	while (offset < size && n < max) {
		iov[n].iov_base = (void *)content_at(number, offset, &iov[n].iov_len);
		if (iov[n].iov_len > size - offset)
			iov[n].iov_len = size - offset;
		offset += iov[n].iov_len;
		*bytes += iov[n++].iov_len;
	}
	return n;
}

void content_check_head(const struct sim_head *head)
{
	uint32_t number = head->number & ~SIM_ANSWER;
	const struct sim_msg *m = &sim->msg[number];
	bool answer = head->number & SIM_ANSWER;

	if (number >= sim->count || head->size != content_size(head->number) ||
	    head->start != m->start || sim_self != (answer ? m->src : m->dst) || m->finish)
		die("%s: host %u has what was not sent to it, or twice: number %x, size %u",
		    sim->f->name, sim_self, head->number, head->size);
}
