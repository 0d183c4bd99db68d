// SPDX-License-Identifier: GPL-2.0
/*
 * What is on the wire, byte for byte, and what EMT makes of frames that are
 * not as they should be: each is refused, counted once, and does no harm.
 */
#include <linux/if_packet.h>

#include "emt_test.h"

/* Host a (02:..:0a) sends, host b (02:..:0b) receives; ports 6000 and 5000. */
static const unsigned char golden[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x88, 0xb5,
	0x45, 0x4d, 0x01, 0x01, 0x00, 0x17, 0x57, 0xa5, 0x17, 0x70, 0x13, 0x88,
	'h', 'e', 'l', 'l', 'o', ',', ' ', 'w', 'i', 'r', 'e',
};

static const unsigned char golden_empty[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x88, 0xb5,
	0x45, 0x4d, 0x01, 0x01, 0x00, 0x0c, 0x8a, 0x98, 0x17, 0x70, 0x13, 0x88,
};

static const unsigned char golden_bcast[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x88, 0xb5,
	0x45, 0x4d, 0x01, 0x01, 0x00, 0x10, 0xb7, 0xcd, 0x17, 0x70, 0x13, 0x88,
	'h', 'e', 'l', 'l',
};

/* Two hosts, with the sockets of the golden frame. */
struct pair {
	struct host h[2];
	int raw;	/* writes and watches at host a's end of the wire */
	int a, b;
	struct frame *f;
};

static void pair_open(struct pair *p)
{
	hosts_enabled(p->h, 9000);
	p->raw = frame_socket(&p->h[0], EMT_DEV);
	p->a = emt_bound(&p->h[0], 0, 6000);
	p->b = emt_bound(&p->h[1], 0, 5000);
	p->f = malloc(sizeof(*p->f));
	if (!p->f)
		die("no memory");
}

static void pair_close(struct pair *p)
{
	free(p->f);
	close(p->raw);
	close(p->a);
	close(p->b);
	host_free(&p->h[0]);
	host_free(&p->h[1]);
}

/* Who finishes the checksums of what is sent. */
FIXTURE(sending)
{
	struct pair p;
};

FIXTURE_VARIANT(sending)
{
	bool by_device;
};

FIXTURE_VARIANT_ADD(sending, device_sums) { .by_device = true };
FIXTURE_VARIANT_ADD(sending, sender_sums) { .by_device = false };

FIXTURE_SETUP(sending)
{
	REQUIRE_EMT();
	pair_open(&self->p);
	netns_enter(self->p.h[0].netns);
	if (!variant->by_device)
		link_no_tx_csum(EMT_DEV);
}

FIXTURE_TEARDOWN(sending)
{
	pair_close(&self->p);
}

FIXTURE(wire)
{
	struct pair p;
};

FIXTURE_SETUP(wire)
{
	REQUIRE_EMT();
	pair_open(&self->p);
}

FIXTURE_TEARDOWN(wire)
{
	pair_close(&self->p);
}

/* True if the next frame sent is @want; a sender may pad it with zeroes. */
static bool sent(int raw, struct frame *f, const unsigned char *want, size_t len)
{
	bool outgoing;
	size_t i;

	do {
		if (!frame_recv(raw, f, &outgoing, EMT_WAIT_S * 1000)) {
			fprintf(stderr, "# no frame was sent\n");
			return false;
		}
	} while (!outgoing);
	for (i = 0; i < f->len; i++) {
		if (f->data[i] == (i < len ? want[i] : 0))
			continue;
		fprintf(stderr, "# byte %zu of the frame is %02x\n", i, f->data[i]);
		return false;
	}
	return f->len == len || f->len == ETH_ZLEN;
}

TEST_F(sending, datagram_is_sent_as_documented)
{
	struct sockaddr_emt to = emt_addr(self->p.h[0].ifindex, self->p.h[1].mac, 5000);

	ASSERT_EQ(11, emt_sendto(self->p.a, "hello, wire", 11, 0, &to));
	EXPECT_EQ(true, sent(self->p.raw, self->p.f, golden, sizeof(golden)));
	ASSERT_EQ(0, emt_sendto(self->p.a, NULL, 0, 0, &to));
	EXPECT_EQ(true, sent(self->p.raw, self->p.f, golden_empty, sizeof(golden_empty)));

	sock_set(self->p.a, SO_BROADCAST, 1);
	to = emt_addr(self->p.h[0].ifindex, emt_bcast, 5000);
	ASSERT_EQ(4, emt_sendto(self->p.a, "hell", 4, 0, &to));
	EXPECT_EQ(true, sent(self->p.raw, self->p.f, golden_bcast, sizeof(golden_bcast)));
}

TEST_F(sending, datagrams_of_every_length_carry_a_right_checksum)
{
	struct sockaddr_emt to = emt_addr(self->p.h[0].ifindex, self->p.h[1].mac, 5000);
	static unsigned char buf[EMT_MAX_DGRAM(9000)];
	bool outgoing;
	int len;

	for (len = 0; len <= sizeof(buf); len += len < 70 ? 1 : 499) {
		pattern(buf, len, len);
		ASSERT_EQ(len, emt_sendto(self->p.a, buf, len, 0, &to));
		ASSERT_EQ(true, frame_recv(self->p.raw, self->p.f, &outgoing, EMT_WAIT_S * 1000));
		EXPECT_EQ(true, outgoing);
		EXPECT_EQ(true, frame_sum_ok(self->p.f)) {
			TH_LOG("with %d bytes", len);
		}
		ASSERT_EQ(len, emt_recv(self->p.b, buf, sizeof(buf), 0));
	}
}

/* Receives the golden datagram: the socket still works. */
static bool hears_golden(int fd, const struct host *h, const unsigned char *src)
{
	struct sockaddr_emt from, want = emt_addr(h->ifindex, src, 6000);
	socklen_t len = sizeof(from);
	char buf[32];
	int n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);

	return n == 11 && !memcmp(buf, "hello, wire", 11) &&
	       !memcmp(&from, &want, sizeof(want));
}

static void load(struct frame *f, const unsigned char *bytes, size_t len)
{
	memcpy(f->data, bytes, len);
	f->len = len;
}

TEST_F(wire, documented_frame_is_received)
{
	struct emt_stats before = emt_stats(&self->p.h[1], self->p.h[1].ifindex);

	load(self->p.f, golden, sizeof(golden));
	frame_send(self->p.raw, self->p.f);
	EXPECT_EQ(true, hears_golden(self->p.b, &self->p.h[1], self->p.h[0].mac));
	load(self->p.f, golden_empty, sizeof(golden_empty));
	frame_send(self->p.raw, self->p.f);
	EXPECT_EQ(0, emt_recv(self->p.b, self->p.f->data, 100, MSG_TRUNC));
	load(self->p.f, golden_bcast, sizeof(golden_bcast));
	frame_send(self->p.raw, self->p.f);
	EXPECT_EQ(4, emt_recv(self->p.b, self->p.f->data, 100, 0));
	EXPECT_EQ(true, stats_grew_only(&self->p.h[1], self->p.h[1].ifindex, &before,
					STAT(rx_packets), 3));
}

TEST_F(wire, padding_is_not_part_of_the_datagram)
{
	int byte;

	/* Of whatever bytes: the length field decides, and the sum ends there. */
	for (byte = 0; byte <= 0xff; byte += 0x55) {
		load(self->p.f, golden, sizeof(golden));
		frame_pad(self->p.f, byte);
		frame_send(self->p.raw, self->p.f);
		EXPECT_EQ(true, hears_golden(self->p.b, &self->p.h[1], self->p.h[0].mac));
		load(self->p.f, golden_empty, sizeof(golden_empty));
		frame_pad(self->p.f, byte);
		frame_send(self->p.raw, self->p.f);
		EXPECT_EQ(0, emt_recv(self->p.b, self->p.f->data, 100, MSG_TRUNC));
	}
}

/*
 * Writes frame @f: exactly the counter @stat of the receiver grows, by one,
 * nothing is delivered, and a good frame still is.
 */
static bool refused(struct pair *w, size_t stat)
{
	struct emt_stats before = emt_stats(&w->h[1], w->h[1].ifindex);

	frame_send(w->raw, w->f);
	if (!stats_grew_only(&w->h[1], w->h[1].ifindex, &before, stat, 1))
		return false;
	if (emt_recv(w->b, w->f->data, 100, MSG_DONTWAIT) != -EAGAIN) {
		fprintf(stderr, "# something was delivered\n");
		return false;
	}
	load(w->f, golden, sizeof(golden));
	frame_send(w->raw, w->f);
	return hears_golden(w->b, &w->h[1], w->h[0].mac);
}

TEST_F(wire, frames_cut_short_are_refused)
{
	int len;

	for (len = 0; len < sizeof(golden) - ETH_HLEN; len++) {
		load(self->p.f, golden, ETH_HLEN + len);
		EXPECT_EQ(true, refused(&self->p, len < EMT_HLEN ? STAT(rx_too_short) :
							       STAT(rx_bad_length))) {
			TH_LOG("after %d bytes of the packet", len);
		}
	}
}

TEST_F(wire, length_field_must_fit_header_and_frame)
{
	int len;

	for (len = 0; len < 65536; len += len < 70 || len > 65530 ? 1 : 997) {
		load(self->p.f, golden, sizeof(golden));
		frame_pad(self->p.f, 0);
		put16(&EMT_BYTE(self->p.f, EMT_OFF_LENGTH), len);
		if (len >= EMT_HLEN && len <= ETH_ZLEN - ETH_HLEN)
			continue;
		frame_sum(self->p.f);
		EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_length))) {
			TH_LOG("length field %d", len);
		}
	}
}

/* What is counted when the golden datagram, of 23 bytes, says that it is of type @type. */
static size_t stat_of_type(int type)
{
	switch (type) {
	case 2: case 4: case 5: case 6: case 7:
		/* Too short to be one of these. */
		return STAT(rx_bad_length);
	case 3:
		/* One of these has no ports. */
		return STAT(rx_bad_address);
	default:
		return STAT(rx_bad_type);
	}
}

TEST_F(wire, every_flipped_bit_is_noticed)
{
	static const struct {
		int from, to;
		size_t stat;
	} field[] = {
		{ EMT_OFF_MAGIC, EMT_OFF_VERSION, STAT(rx_bad_magic) },
		{ EMT_OFF_VERSION, EMT_OFF_TYPE, STAT(rx_bad_version) },
		{ EMT_OFF_TYPE, EMT_OFF_LENGTH, STAT(rx_bad_type) },
		{ EMT_OFF_CSUM, sizeof(golden) - ETH_HLEN, STAT(rx_bad_checksum) },
	};
	int i, at, bit;

	for (i = 0; i < ARRAY_SIZE(field); i++) {
		for (at = field[i].from; at < field[i].to; at++) {
			for (bit = 0; bit < 8; bit++) {
				size_t stat = field[i].stat;

				load(self->p.f, golden, sizeof(golden));
				EMT_BYTE(self->p.f, at) ^= 1 << bit;
				if (at == EMT_OFF_TYPE)
					stat = stat_of_type(EMT_BYTE(self->p.f, at));
				EXPECT_EQ(true, refused(&self->p, stat)) {
					TH_LOG("bit %d of byte %d", bit, at);
				}
			}
		}
	}
	/* A source address that lost a bit fails the sum as well. */
	for (bit = 0; bit < 8; bit++) {
		load(self->p.f, golden, sizeof(golden));
		self->p.f->data[2 * ETH_ALEN - 1] ^= 1 << bit;
		EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_checksum)));
	}
}

TEST_F(wire, other_values_of_the_fixed_fields_are_refused_though_the_sum_is_right)
{
	int v;

	for (v = 0; v <= 0xff; v++) {
		load(self->p.f, golden, sizeof(golden));
		EMT_BYTE(self->p.f, EMT_OFF_VERSION) = v;
		frame_sum(self->p.f);
		if (v != 1)
			EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_version)));
		load(self->p.f, golden, sizeof(golden));
		EMT_BYTE(self->p.f, EMT_OFF_TYPE) = v;
		frame_sum(self->p.f);
		if (v != 1)
			EXPECT_EQ(true, refused(&self->p, stat_of_type(v)));
	}
}

/* What comes first on the list of checks is what is counted. */
TEST_F(wire, first_of_several_faults_is_counted)
{
	load(self->p.f, golden, sizeof(golden));
	EMT_BYTE(self->p.f, EMT_OFF_MAGIC) = 0;
	EMT_BYTE(self->p.f, EMT_OFF_VERSION) = 9;
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_magic)));

	load(self->p.f, golden, sizeof(golden));
	EMT_BYTE(self->p.f, EMT_OFF_VERSION) = 9;
	EMT_BYTE(self->p.f, EMT_OFF_TYPE) = 9;
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_version)));

	load(self->p.f, golden, sizeof(golden));
	EMT_BYTE(self->p.f, EMT_OFF_TYPE) = 9;
	put16(&EMT_BYTE(self->p.f, EMT_OFF_LENGTH), 0);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_type)));

	load(self->p.f, golden, sizeof(golden));
	put16(&EMT_BYTE(self->p.f, EMT_OFF_LENGTH), 0xffff);
	put16(&EMT_BYTE(self->p.f, EMT_OFF_DPORT), 0);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_length)));

	load(self->p.f, golden, sizeof(golden));
	put16(&EMT_BYTE(self->p.f, EMT_OFF_DPORT), 0);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_address)));

	load(self->p.f, golden, sizeof(golden));
	put16(&EMT_BYTE(self->p.f, EMT_OFF_DPORT), 5001);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_checksum)));
}

TEST_F(wire, addresses_that_name_no_endpoint_are_refused)
{
	static const unsigned char multicast[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 1 };
	const unsigned char *a = self->p.h[0].mac, *b = self->p.h[1].mac;

	frame_build(self->p.f, b, multicast, 6000, 5000, "x", 1);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_address)));
	frame_build(self->p.f, b, emt_bcast, 6000, 5000, "x", 1);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_address)));
	frame_build(self->p.f, multicast, a, 6000, 5000, "x", 1);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_address)));
	frame_build(self->p.f, b, a, 0, 5000, "x", 1);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_address)));
	frame_build(self->p.f, b, a, 6000, 0, "x", 1);
	EXPECT_EQ(true, refused(&self->p, STAT(rx_bad_address)));
}

TEST_F(wire, ports_without_socket_are_counted)
{
	static const int port[] = { 1, 80, 1023, 4999, 5001, 6000, 32768, 65535 };
	int i;

	for (i = 0; i < ARRAY_SIZE(port); i++) {
		frame_build(self->p.f, self->p.h[1].mac, self->p.h[0].mac, 6000, port[i], "x", 1);
		EXPECT_EQ(true, refused(&self->p, STAT(rx_no_socket)));
	}
}

/* Writes frame @f, then a good one: nothing but that is seen or counted. */
static bool ignored(struct pair *w)
{
	struct emt_stats before = emt_stats(&w->h[1], w->h[1].ifindex);

	frame_send(w->raw, w->f);
	load(w->f, golden, sizeof(golden));
	frame_send(w->raw, w->f);
	return hears_golden(w->b, &w->h[1], w->h[0].mac) &&
	       stats_grew_only(&w->h[1], w->h[1].ifindex, &before, STAT(rx_packets), 1);
}

TEST_F(wire, frames_for_another_station_are_ignored)
{
	static const unsigned char other[ETH_ALEN] = { 2, 0, 0, 0, 0, 0x0c };
	struct packet_mreq mreq = {
		.mr_ifindex = self->p.h[1].ifindex, .mr_type = PACKET_MR_PROMISC,
	};
	int fd;

	/* A promiscuous device shows them to all, with a mark that they are not ours. */
	fd = frame_socket(&self->p.h[1], EMT_DEV);
	ASSERT_EQ(0, setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, sizeof(mreq)));
	frame_build(self->p.f, other, self->p.h[0].mac, 6000, 5000, "x", 1);
	EXPECT_EQ(true, ignored(&self->p));
	/* Not even their faults are counted. */
	frame_build(self->p.f, other, self->p.h[0].mac, 6000, 5000, "x", 1);
	EMT_BYTE(self->p.f, 0) = 0;
	EXPECT_EQ(true, ignored(&self->p));
	close(fd);
}

TEST_F(wire, other_ethertypes_are_ignored)
{
	load(self->p.f, golden, sizeof(golden));
	put16(self->p.f->data + 2 * ETH_ALEN, ETH_P_EMT + 1);
	EXPECT_EQ(true, ignored(&self->p));
	put16(self->p.f->data + 2 * ETH_ALEN, ETH_P_LOOP);
	EXPECT_EQ(true, ignored(&self->p));
}

/* Puts an 802.1Q tag into the frame. */
static void tag(struct frame *f, int tci)
{
	unsigned char *at = f->data + 2 * ETH_ALEN;

	memmove(at + 4, at, f->len - 2 * ETH_ALEN);
	put16(at, ETH_P_8021Q);
	put16(at + 2, tci);
	f->len += 4;
}

TEST_F(wire, frames_of_a_vlan_are_not_the_devices)
{
	load(self->p.f, golden, sizeof(golden));
	tag(self->p.f, 5);
	EXPECT_EQ(true, ignored(&self->p));

	/* VLAN 0 is no VLAN, only a priority. */
	load(self->p.f, golden, sizeof(golden));
	tag(self->p.f, 0xe000);
	frame_send(self->p.raw, self->p.f);
	EXPECT_EQ(true, hears_golden(self->p.b, &self->p.h[1], self->p.h[0].mac));
}

TEST_F(wire, frames_in_pieces_are_understood)
{
	static unsigned char out[EMT_MAX_DGRAM(9000)], in[EMT_MAX_DGRAM(9000)];
	struct emt_stats before;
	int linear;

	pattern(out, sizeof(out), 1);
	for (linear = ETH_HLEN; linear <= ETH_HLEN + EMT_HLEN + 4; linear++) {
		frame_build(self->p.f, self->p.h[1].mac, self->p.h[0].mac, 6000, 5000, out,
			    sizeof(out));
		frame_send_split(self->p.raw, self->p.f, linear);
		ASSERT_EQ(sizeof(out), emt_recv(self->p.b, in, sizeof(in), 0));
		EXPECT_EQ(0, memcmp(in, out, sizeof(out)));

		/* The last byte of the last piece is summed too. */
		before = emt_stats(&self->p.h[1], self->p.h[1].ifindex);
		self->p.f->data[self->p.f->len - 1] ^= 1;
		frame_send_split(self->p.raw, self->p.f, linear);
		EXPECT_EQ(true, stats_grew_only(&self->p.h[1], self->p.h[1].ifindex, &before,
						STAT(rx_bad_checksum), 1));

		/* A short packet in a long frame: all the pieces behind it are padding. */
		frame_build(self->p.f, self->p.h[1].mac, self->p.h[0].mac, 6000, 5000, out,
			    sizeof(out));
		put16(&EMT_BYTE(self->p.f, EMT_OFF_LENGTH), EMT_HLEN + 100);
		frame_sum(self->p.f);
		frame_send_split(self->p.raw, self->p.f, linear);
		ASSERT_EQ(100, emt_recv(self->p.b, in, sizeof(in), 0));
		EXPECT_EQ(0, memcmp(in, out, 100));
	}
}

TEST_HARNESS_MAIN
