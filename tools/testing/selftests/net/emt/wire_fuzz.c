// SPDX-License-Identifier: GPL-2.0
/*
 * Random frames against EMT. A second reading of the protocol's documentation,
 * below, says what becomes of each; the kernel's counters must agree with it.
 */
#include <sys/random.h>
#include <time.h>

#include "emt_test.h"

#define FRAMES	100000
#define BATCH	200
#define PORT	5000

/* xorshift64*: any failure can be had again from the seed that is printed. */
static uint64_t rnd_state;

static unsigned int rnd(unsigned int below)
{
	rnd_state ^= rnd_state >> 12;
	rnd_state ^= rnd_state << 25;
	rnd_state ^= rnd_state >> 27;
	return (rnd_state * 2685821657736338717ull >> 33) % below;
}

static void rnd_bytes(unsigned char *p, size_t len)
{
	while (len--)
		*p++ = rnd(256);
}

FIXTURE(fuzz)
{
	struct host h[2];
	int raw, fd;
	struct frame *f;
};

FIXTURE_SETUP(fuzz)
{
	const char *seed = getenv("EMT_FUZZ_SEED");

	REQUIRE_EMT();
	hosts_enabled(self->h, 1500);
	self->raw = frame_socket(&self->h[0], EMT_DEV);
	self->fd = emt_bound(&self->h[1], 0, PORT);
	sock_set(self->fd, SO_RCVBUFFORCE, 8 << 20);
	self->f = malloc(sizeof(*self->f));
	ASSERT_NE(NULL, self->f);

	if (seed)
		rnd_state = strtoull(seed, NULL, 0);
	else if (getrandom(&rnd_state, sizeof(rnd_state), GRND_NONBLOCK) < 0)
		rnd_state = time(NULL);
	rnd_state |= 1;
	printf("# EMT_FUZZ_SEED=%#llx gives the same frames again\n",
	       (unsigned long long)rnd_state);
	fflush(stdout);
}

FIXTURE_TEARDOWN(fuzz)
{
	free(self->f);
	close(self->raw);
	close(self->fd);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Bytes of all headers of a packet of each type, and which have ports. */
static const struct {
	unsigned int hlen;
	bool ports;
} types[] = {
	[1] = { EMT_HLEN, true },
	[2] = { EMT_HLEN + 16, false },
	[3] = { EMT_HLEN + 4, false },
	[4] = { EMT_HLEN + 28, true },
	[5] = { EMT_HLEN + 40, true },
	[6] = { EMT_HLEN + 24, false },
	[7] = { EMT_HLEN + 40, true },
};

static bool is_zero(const unsigned char *p, size_t len)
{
	while (len--)
		if (*p++)
			return false;
	return true;
}

/*
 * What becomes of a packet of a reliable message or of a connection. No
 * association exists, so that one with a tag has the wrong one; one that
 * contradicts itself as well may be counted as either, which agree() allows for.
 */
static size_t reliable_verdict(const unsigned char *p, unsigned int type, size_t len)
{
	size_t body = len - types[type].hlen;

	if (type == 2 && !is_zero(p + EMT_HLEN, 8) && is_zero(p + EMT_HLEN + 8, 8))
		return STAT(rx_control);
	if (type == 4 && !body)
		return STAT(rx_bad_length);
	if (type == 6 && (body % 16 || body > 256))
		return STAT(rx_bad_length);
	if (type == 7 && p[EMT_HLEN + 38] > 6)
		return STAT(rx_bad_type);
	return STAT(rx_bad_tag);
}

/* The counter that frame @f adds to, as the documentation has it. */
static size_t verdict(const struct frame *f)
{
	size_t room = f->len - ETH_HLEN, len;
	const unsigned char *p = f->data + ETH_HLEN;
	bool group = f->data[0] & 1;
	unsigned int type;

	if (room < EMT_HLEN)
		return STAT(rx_too_short);
	if (p[0] != 'E' || p[1] != 'M')
		return STAT(rx_bad_magic);
	if (p[EMT_OFF_VERSION] != 1)
		return STAT(rx_bad_version);
	type = p[EMT_OFF_TYPE];
	if (!type || type >= ARRAY_SIZE(types))
		return STAT(rx_bad_type);
	len = get16(p + EMT_OFF_LENGTH);
	if (len < types[type].hlen || len > room)
		return STAT(rx_bad_length);
	if ((group && memcmp(f->data, emt_bcast, ETH_ALEN)) || f->data[ETH_ALEN] & 1 ||
	    !get16(p + EMT_OFF_SPORT) == types[type].ports ||
	    !get16(p + EMT_OFF_DPORT) == types[type].ports)
		return STAT(rx_bad_address);
	if (!frame_sum_ok(f))
		return STAT(rx_bad_checksum);
	if (type != 1)
		return group ? STAT(rx_bad_address) : reliable_verdict(p, type, len);
	if (get16(p + EMT_OFF_DPORT) != PORT)
		return STAT(rx_no_socket);
	return STAT(rx_packets);
}

/* Noise under a good Ethernet header, or a good packet with some faults. */
static void make_frame(struct frame *f, const struct host h[2])
{
	unsigned char payload[1500 - EMT_HLEN];
	unsigned int i, len = rnd(8) ? rnd(100) : rnd(sizeof(payload));

	rnd_bytes(payload, len);
	frame_build(f, rnd(8) ? h[1].mac : emt_bcast, h[0].mac, 1 + rnd(65535), PORT,
		    payload, len);
	switch (rnd(5)) {
	case 4:
		EMT_BYTE(f, EMT_OFF_TYPE) = 2 + rnd(6);
		if (rnd(4) && !types[EMT_BYTE(f, EMT_OFF_TYPE)].ports)
			memset(&EMT_BYTE(f, EMT_OFF_SPORT), 0, 4);
		if (len >= 16 && !rnd(4))
			memset(&EMT_BYTE(f, EMT_HLEN + 8), 0, 8);
		break;
	case 0:
		rnd_bytes(f->data + ETH_HLEN, f->len - ETH_HLEN);
		break;
	case 1:
		rnd_bytes(&EMT_BYTE(f, EMT_OFF_LENGTH), f->len - ETH_HLEN - EMT_OFF_LENGTH);
		if (rnd(2))
			put16(&EMT_BYTE(f, EMT_OFF_LENGTH), rnd(len + 40));
		break;
	default:
		for (i = rnd(4); i; i--)
			EMT_BYTE(f, rnd(f->len - ETH_HLEN)) = rnd(256);
		if (!rnd(16))
			f->data[ETH_ALEN] ^= 1;
		if (!rnd(16))
			put16(&EMT_BYTE(f, EMT_OFF_SPORT + 2 * rnd(2)), 0);
		break;
	}
	/* A right sum lets the packet reach the checks behind it. */
	if (rnd(2))
		frame_sum(f);
	if (!rnd(8))
		f->len = ETH_HLEN + rnd(f->len - ETH_HLEN + 1);
	if (!rnd(4))
		frame_pad(f, rnd(256));
}

static const struct {
	const char *name;
	size_t stat;
} counters[] = {
	{ "rx_packets", STAT(rx_packets) },
	{ "rx_too_short", STAT(rx_too_short) },
	{ "rx_bad_magic", STAT(rx_bad_magic) },
	{ "rx_bad_version", STAT(rx_bad_version) },
	{ "rx_bad_type", STAT(rx_bad_type) },
	{ "rx_bad_length", STAT(rx_bad_length) },
	{ "rx_bad_checksum", STAT(rx_bad_checksum) },
	{ "rx_bad_address", STAT(rx_bad_address) },
	{ "rx_no_socket", STAT(rx_no_socket) },
	{ "rx_queue_full", STAT(rx_queue_full) },
	{ "rx_filtered", STAT(rx_filtered) },
	{ "rx_no_memory", STAT(rx_no_memory) },
	{ "rx_control", STAT(rx_control) },
	{ "rx_bad_tag", STAT(rx_bad_tag) },
};

static unsigned long long count(const struct emt_stats *st, size_t stat)
{
	return *(const unsigned long long *)((const char *)st + stat);
}

/* Waits until all frames were counted, and compares each counter with @want. */
static bool agree(const struct host *h, const struct emt_stats *want)
{
	time_t end = time(NULL) + EMT_WAIT_S;
	unsigned long long sum, sent = 0;
	struct emt_stats now;
	bool ok = true;
	int i;

	for (i = 0; i < ARRAY_SIZE(counters); i++)
		sent += count(want, counters[i].stat);
	for (;;) {
		now = emt_stats(h, h->ifindex);
		now.rx_bad_tag += now.rx_invalid;
		for (i = 0, sum = 0; i < ARRAY_SIZE(counters); i++)
			sum += count(&now, counters[i].stat);
		if (sum >= sent || time(NULL) > end)
			break;
		usleep(1000);
	}
	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		if (count(&now, counters[i].stat) == count(want, counters[i].stat))
			continue;
		fprintf(stderr, "# %s is %llu, expected %llu\n", counters[i].name,
			count(&now, counters[i].stat), count(want, counters[i].stat));
		ok = false;
	}
	return ok;
}

TEST_F_TIMEOUT(fuzz, random_frames_are_counted_as_documented, 800)
{
	struct emt_stats want = { 0 };
	unsigned char buf[2000];
	int i, got, delivered;
	size_t stat;

	for (i = 0; i < FRAMES; i += BATCH) {
		uint64_t seed = rnd_state;
		int n;

		for (n = 0, delivered = 0; n < BATCH; n++) {
			make_frame(self->f, self->h);
			stat = verdict(self->f);
			(*(unsigned long long *)((char *)&want + stat))++;
			delivered += stat == STAT(rx_packets);
			frame_send(self->raw, self->f);
		}
		ASSERT_EQ(true, agree(&self->h[1], &want)) {
			TH_LOG("frames %d to %d, seed %#llx", i, i + BATCH,
			       (unsigned long long)seed);
		}
		for (got = 0; emt_recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0; got++)
			;
		ASSERT_EQ(delivered, got);
	}
	/* The mixture is worth something: each kind came often. */
	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		if (i >= 9 && counters[i].stat < STAT(rx_control))
			continue;
		EXPECT_LT(FRAMES / 1000, count(&want, counters[i].stat)) {
			TH_LOG("%s", counters[i].name);
		}
	}
}

TEST_F_TIMEOUT(fuzz, good_frame_arrives_after_noise, 400)
{
	unsigned char buf[2000];
	int i;

	for (i = 0; i < FRAMES / 10; i++) {
		make_frame(self->f, self->h);
		/* All of it noise, the EtherType excepted. */
		rnd_bytes(self->f->data + ETH_HLEN, self->f->len - ETH_HLEN);
		if (rnd(2))
			rnd_bytes(self->f->data, 2 * ETH_ALEN);
		frame_send(self->raw, self->f);
	}
	while (emt_recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
		;
	frame_build(self->f, self->h[1].mac, self->h[0].mac, 6000, PORT, "still here", 10);
	frame_send(self->raw, self->f);
	ASSERT_EQ(10, emt_recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp(buf, "still here", 10));
}

TEST_HARNESS_MAIN
