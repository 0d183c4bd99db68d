// SPDX-License-Identifier: GPL-2.0
/*
 * Somebody on the wire asks for connections without end, from addresses that
 * are not his or as a host that he is, and sends packets of connections that
 * are not: others are served, and memory is bounded.
 */
#include <signal.h>
#include <sys/random.h>

#include "emt_test.h"
#include "emt_conn.h"

#define OPENS	4000
#define BACKLOG	16
#define LEGITIMATE	3
/* How long one of them may take. The protocol promises no time; this one bears waiting. */
#define PATIENCE_MS	10000

/* The protocol's packets of connections, as its documentation has them. */
#define TYPE_FLOW	7
#define FLOW_LEN	40
enum verb { GO, OPEN_STREAM, OPEN_RECORDS, ACCEPT, REFUSE, BUSY, ABORT };

/* Where fields are, from the packet's beginning. */
#define OFF_TAG		EMT_HLEN
#define OFF_TO		(EMT_HLEN + 4)
#define OFF_FROM	(EMT_HLEN + 8)
#define OFF_VERB	(EMT_HLEN + 38)
#define OFF_FLAGS	(EMT_HLEN + 39)

/*
 * Beside the hosts of the connections there is a third one on the wire. Once its
 * own kernel has shown it what an association's packets look like, that knows
 * EMT no more, and so does not disown what is sent in its name.
 */
FIXTURE(flood)
{
	struct conn c;
	struct host third;
	int raw;	/* the third host's device */
	struct frame *frame;
};

FIXTURE_VARIANT(flood)
{
	int type;
	enum verb verb;
};

FIXTURE_VARIANT_ADD(flood, stream) { .type = SOCK_STREAM, .verb = OPEN_STREAM };
FIXTURE_VARIANT_ADD(flood, seqpacket) { .type = SOCK_SEQPACKET, .verb = OPEN_RECORDS };

FIXTURE_SETUP(flood)
{
	EMT_ONLY();
	REQUIRE_CONN(variant->type);
	if (system("command -v ip >/dev/null"))
		SKIP(return, "no ip (iproute2)");
	hub_new(&self->c.h[0]);
	hub_join(&self->c.h[0], &self->c.h[1], 0);
	hub_join(&self->c.h[0], &self->third, 1);
	conn_begin_between(&self->c, variant->type);
	use_all_cpus();
	self->c.listener = conn_listener(&self->c.h[0], variant->type, CONN_PORT, BACKLOG);
	self->raw = frame_socket(&self->third, EMT_DEV);
	sock_set(self->raw, SO_RCVBUFFORCE, 64 << 20);
	self->frame = malloc(sizeof(*self->frame));
	ASSERT_NE(NULL, self->frame);
}

FIXTURE_TEARDOWN(flood)
{
	EXPECT_EQ(true, conn_end(&self->c));
	host_free(&self->third);
	free(self->frame);
}

static void random_bytes(void *buf, size_t len)
{
	if (getrandom(buf, len, GRND_NONBLOCK) != len)
		die("getrandom");
}

static unsigned int random_number(void)
{
	unsigned int n;

	random_bytes(&n, sizeof(n));
	return n;
}

static void put32(unsigned char *p, unsigned int v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static unsigned int get32(const unsigned char *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* A packet of a connection; the fields that are not given are 0. */
static void flow_build(struct frame *f, const unsigned char *dst, const unsigned char *src,
		       enum verb verb, unsigned int tag, unsigned int to, unsigned int from,
		       int sport)
{
	static const unsigned char none[FLOW_LEN];

	frame_build(f, dst, src, sport ? sport : 1 + random_number() % 65535, CONN_PORT, none,
		    FLOW_LEN);
	EMT_BYTE(f, EMT_OFF_TYPE) = TYPE_FLOW;
	put32(&EMT_BYTE(f, OFF_TAG), tag);
	put32(&EMT_BYTE(f, OFF_TO), to);
	put32(&EMT_BYTE(f, OFF_FROM), from);
	EMT_BYTE(f, OFF_VERB) = verb;
	frame_sum(f);
}

/* The third host sends one of a connection that is numbered @to there and @from here. */
static void third_sends(struct _test_data_flood *self, enum verb verb, unsigned int tag,
			unsigned int to, unsigned int from, int sport)
{
	flow_build(self->frame, self->c.h[0].mac, self->third.mac, verb, tag, to, from, sport);
	frame_send(self->raw, self->frame);
}

/* The next packet of a connection that the third host sends, with @verb. */
static void flow_seen(int tap, struct frame *f, enum verb verb)
{
	bool outgoing;

	while (frame_recv(tap, f, &outgoing, EMT_WAIT_S * 1000))
		if (outgoing && EMT_BYTE(f, EMT_OFF_TYPE) == TYPE_FLOW &&
		    EMT_BYTE(f, OFF_VERB) == verb)
			return;
	die("no packet of a connection was seen");
}

/* What the third host is answered. */
struct answers {
	unsigned int accepts, busy, others;
};

/*
 * Takes what has come. Where @tag is not 0, who is told that he has a connection
 * says that he knows.
 */
static void take_answers(struct _test_data_flood *self, struct answers *answers,
			 unsigned int tag, int wait_ms)
{
	struct frame *f = self->frame;
	unsigned int to, from;
	bool outgoing;

	while (frame_recv(self->raw, f, &outgoing, wait_ms)) {
		if (outgoing || EMT_BYTE(f, EMT_OFF_TYPE) != TYPE_FLOW)
			continue;
		to = get32(&EMT_BYTE(f, OFF_TO));
		from = get32(&EMT_BYTE(f, OFF_FROM));
		answers->accepts += EMT_BYTE(f, OFF_VERB) == ACCEPT;
		answers->busy += EMT_BYTE(f, OFF_VERB) == BUSY;
		answers->others += EMT_BYTE(f, OFF_VERB) != ACCEPT &&
				   EMT_BYTE(f, OFF_VERB) != BUSY;
		if (!tag || EMT_BYTE(f, OFF_VERB) != ACCEPT)
			continue;
		third_sends(self, GO, tag, from, to, get16(&EMT_BYTE(f, EMT_OFF_DPORT)));
	}
}

static long mem_available_kb(void)
{
	char line[128];
	long kb = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/* One that is what it says: it connects from host @from, is served, and goes. */
static bool legitimate(const struct conn *c, const struct host *from)
{
	union conn_addr to = conn_addr(from, &c->h[0], CONN_PORT);
	int fd = conn_socket(from, c->type);
	char byte;
	bool ok;

	set_timeout(fd, SO_SNDTIMEO, PATIENCE_MS);
	errno = conn_connect(fd, &to);
	if (errno) {
		fprintf(stderr, "# who connects is not let in: %s\n", strerror(errno));
		close(fd);
		return false;
	}

	ok = send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
	if (!ok)
		fprintf(stderr, "# who connects is not served: %s\n", strerror(errno));
	close(fd);
	return ok;
}

/* Serves who comes, one after the other, and does not wait long for anybody. */
static void serve(int listener)
{
	char byte;
	int fd;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		set_timeout(fd, SO_RCVTIMEO, 200);
		if (recv(fd, &byte, 1, 0) == 1)
			send(fd, &byte, 1, MSG_NOSIGNAL);
		close(fd);
	}
}

static pid_t serve_start(const struct conn *c)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		serve(c->listener);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Whether host 0 knows anything of that address. */
static bool is_known(const struct conn *c, const unsigned char *mac)
{
	struct emt_peerreq req = { .ifindex = c->h[0].ifindex, .halen = ETH_ALEN };

	memcpy(req.addr, mac, ETH_ALEN);
	return !ioctl(c->h[0].ctl, SIOCEMTGETPEER, &req) || errno != ENOENT;
}

/* A wire without a bridge, which would learn all the addresses. */
FIXTURE(strangers)
{
	struct conn c;
	int raw;
};

FIXTURE_VARIANT(strangers)
{
	int type;
	enum verb verb;
};

FIXTURE_VARIANT_ADD(strangers, stream) { .type = SOCK_STREAM, .verb = OPEN_STREAM };
FIXTURE_VARIANT_ADD(strangers, seqpacket) { .type = SOCK_SEQPACKET, .verb = OPEN_RECORDS };

FIXTURE_SETUP(strangers)
{
	EMT_ONLY();
	REQUIRE_CONN(variant->type);
	conn_begin(&self->c, variant->type);
	self->c.listener = conn_listener(&self->c.h[0], variant->type, CONN_PORT, BACKLOG);
	self->raw = frame_socket(&self->c.h[1], EMT_DEV);
}

FIXTURE_TEARDOWN(strangers)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

TEST_F_TIMEOUT(strangers, who_is_not_known_leaves_nothing, 400)
{
	struct frame *f = malloc(sizeof(*f));
	struct conn *c = &self->c;
	long before = mem_available_kb(), after;
	unsigned char macs[64][ETH_ALEN], *src;
	struct emt_stats was, is;
	unsigned int i, known = 0;
	pid_t server;

	was = emt_stats(&c->h[0], c->h[0].ifindex);
	for (i = 0; i < OPENS; i++) {
		src = macs[i % ARRAY_SIZE(macs)];
		random_bytes(src, ETH_ALEN);
		/* A station, and nobody that is there. */
		src[0] = (src[0] & ~1) | 2;
		src[1] |= 0x80;
		flow_build(f, c->h[0].mac, src, variant->verb, random_number(), 0,
			   random_number() | 1, 0);
		frame_send(self->raw, f);
	}
	for (i = 0; i < 1000 * EMT_WAIT_S; i++) {
		is = emt_stats(&c->h[0], c->h[0].ifindex);
		if (is.rx_bad_tag - was.rx_bad_tag >= OPENS)
			break;
		usleep(1000);
	}
	EXPECT_EQ(OPENS, is.rx_bad_tag - was.rx_bad_tag);
	for (i = 0; i < ARRAY_SIZE(macs); i++)
		known += is_known(c, macs[i]);
	EXPECT_EQ(0, known);
	EXPECT_EQ(0, ready(c->listener));
	after = mem_available_kb();
	EXPECT_GE(65536, before - after);
	server = serve_start(c);
	EXPECT_EQ(true, legitimate(c, &c->h[1]));
	stop(server);
	TH_LOG("%d requests from as many addresses, %ld kB", OPENS, before - after);
}

/* The tag of the third host's packets, from a connection that its kernel makes. */
static unsigned int learn_tag(struct _test_data_flood *self, enum verb verb)
{
	pid_t server = serve_start(&self->c);
	bool ok = legitimate(&self->c, &self->third);

	stop(server);
	if (!ok)
		die("a connection before the flood");
	flow_seen(self->raw, self->frame, verb);
	return get32(&EMT_BYTE(self->frame, OFF_TAG));
}

/* The same, and from now on nobody there says otherwise. */
static unsigned int take_over(struct _test_data_flood *self, enum verb verb)
{
	unsigned int tag = learn_tag(self, verb);
	bool outgoing;

	errno = emt_disable(self->third.ctl, self->third.ifindex);
	if (errno)
		die("disabling the third host's device");
	while (frame_recv(self->raw, self->frame, &outgoing, 50))
		;
	return tag;
}

/* How many connections wait to be accepted now. */
static unsigned int drain(int listener)
{
	unsigned int n = 0;
	int fd;

	set_nonblock(listener, true);
	while (n < OPENS) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			break;
		set_linger(fd, 1, 0);
		close(fd);
		n++;
	}
	set_nonblock(listener, false);
	return n;
}

TEST_F_TIMEOUT(flood, who_asks_and_says_no_more_takes_little_room, 400)
{
	unsigned int tag = take_over(self, variant->verb), i;
	struct conn_left was = conn_left(self->c.h), is;
	long before = mem_available_kb(), after;
	struct answers answers = { 0 };
	pid_t server;

	for (i = 0; i < OPENS; i++) {
		third_sends(self, variant->verb, tag, 0, random_number() | 1, 0);
		if (i % 64 == 0)
			take_answers(self, &answers, 0, 0);
	}
	is = conn_left(self->c.h);
	after = mem_available_kb();
	take_answers(self, &answers, 0, 100);
	/* It was a flood, and most of it was turned away. */
	EXPECT_LE(1, answers.accepts);
	EXPECT_LE(OPENS / 2, answers.busy);
	EXPECT_GE(was.sockets[0][1] + BACKLOG + 2, is.sockets[0][1]);
	EXPECT_GE(65536, before - after);
	/* Nothing of it is a connection. */
	EXPECT_EQ(0, drain(self->c.listener));
	server = serve_start(&self->c);
	EXPECT_EQ(true, legitimate(&self->c, &self->c.h[1]));
	stop(server);
	TH_LOG("%d requests: %u accepts, %u busy, %u others, %ld sockets, %ld kB", OPENS,
	       answers.accepts, answers.busy, answers.others,
	       is.sockets[0][1] - was.sockets[0][1], before - after);
}

TEST_F_TIMEOUT(flood, no_more_than_the_backlog_wait, 400)
{
	unsigned int tag = take_over(self, variant->verb), i, waiting;
	struct conn_left was = conn_left(self->c.h), is;
	long before = mem_available_kb(), after;
	struct answers answers = { 0 };
	pid_t server;

	for (i = 0; i < OPENS; i++) {
		third_sends(self, variant->verb, tag, 0, random_number() | 1, 0);
		take_answers(self, &answers, tag, 0);
	}
	take_answers(self, &answers, tag, 100);
	is = conn_left(self->c.h);
	after = mem_available_kb();
	EXPECT_LE(OPENS / 2, answers.busy);
	EXPECT_GE(was.sockets[0][1] + BACKLOG + 2, is.sockets[0][1]);
	EXPECT_GE(65536, before - after);
	waiting = drain(self->c.listener);
	EXPECT_EQ(BACKLOG + 1, waiting);
	server = serve_start(&self->c);
	EXPECT_EQ(true, legitimate(&self->c, &self->c.h[1]));
	stop(server);
	TH_LOG("%d requests: %u accepts, %u busy, %u others, %u connections, %ld kB", OPENS,
	       answers.accepts, answers.busy, answers.others, waiting, before - after);
}

/* Requests for connections until its end, at some 50,000 a second if it can. */
static void flood_opens(struct _test_data_flood *self, enum verb verb, unsigned int tag)
{
	unsigned int i;

	for (i = 0;; i++) {
		third_sends(self, verb, tag, 0, random_number() | 1, 0);
		if (i % 16 == 0)
			usleep(300);
	}
}

TEST_F_TIMEOUT(flood, others_are_served_meanwhile, 400)
{
	struct conn *c = &self->c;
	unsigned int tag = take_over(self, variant->verb), i, served = 0;
	struct emt_stats was = emt_stats(&c->h[0], c->h[0].ifindex), is;
	double start = seconds(), began, longest = 0;
	pid_t server = serve_start(c), flooder;

	flooder = fork();
	ASSERT_LE(0, flooder);
	if (!flooder)
		flood_opens(self, variant->verb, tag);
	do {
		usleep(1000);
		is = emt_stats(&c->h[0], c->h[0].ifindex);
	} while (is.rx_control - was.rx_control < 100 && seconds() < start + EMT_WAIT_S);
	for (i = 0; i < LEGITIMATE; i++) {
		began = seconds();
		served += legitimate(c, &c->h[1]);
		if (seconds() - began > longest)
			longest = seconds() - began;
	}
	EXPECT_EQ(LEGITIMATE, served);
	is = emt_stats(&c->h[0], c->h[0].ifindex);
	/* It was a flood. */
	EXPECT_LE(100, is.rx_control - was.rx_control);
	stop(flooder);
	EXPECT_EQ(true, legitimate(c, &c->h[1]));
	stop(server);
	TH_LOG("%u of %d were served, after %.2f s at most, during %llu packets", served,
	       LEGITIMATE, longest, is.rx_control - was.rx_control);
}

/* Packets with all fields random but those that decide who they are for. */
static void send_random(struct _test_data_flood *self, unsigned int tag, unsigned int to,
			unsigned int from, int sport)
{
	struct frame *f = self->frame;
	unsigned int len = random_number() % 100;
	unsigned char payload[FLOW_LEN + 100];

	random_bytes(payload, sizeof(payload));
	frame_build(f, self->c.h[0].mac, self->third.mac,
		    sport ? sport : 1 + random_number() % 65535, CONN_PORT, payload,
		    FLOW_LEN + len);
	EMT_BYTE(f, EMT_OFF_TYPE) = TYPE_FLOW;
	put32(&EMT_BYTE(f, OFF_TAG), tag);
	if (to)
		put32(&EMT_BYTE(f, OFF_TO), to);
	if (from)
		put32(&EMT_BYTE(f, OFF_FROM), from);
	EMT_BYTE(f, OFF_VERB) %= ABORT + 2;
	frame_sum(f);
	frame_send(self->raw, f);
}

TEST_F_TIMEOUT(flood, packets_of_no_connection_do_no_harm, 400)
{
	struct conn *c = &self->c;
	unsigned int tag = learn_tag(self, variant->verb), i;
	pid_t pid;

	conn_pair(c, c->fd);
	pid = CHILD(pattern_send(c->fd[1], 200000, 1));
	for (i = 0; i < OPENS; i++)
		send_random(self, tag, 0, 0, 0);
	EXPECT_EQ(true, pattern_recv(c->fd[0], 200000, 1));
	EXPECT_EQ(0, ends(pid));
	pid = CHILD(pattern_send(c->fd[0], 200000, 2));
	EXPECT_EQ(true, pattern_recv(c->fd[1], 200000, 2));
	EXPECT_EQ(0, ends(pid));
}

TEST_F_TIMEOUT(flood, packets_that_make_no_sense_end_their_own_connection_at_most, 400)
{
	struct conn *c = &self->c;
	union conn_addr peer = conn_addr(&self->third, &c->h[0], CONN_PORT);
	unsigned int tag, to, from, i, round;
	int tap, sport;
	pid_t server;
	char buf[64];

	for (round = 0; round < 50; round++) {
		tap = frame_socket(&self->third, EMT_DEV);
		c->fd[1] = conn_socket(&self->third, variant->type);
		ASSERT_EQ(0, conn_connect(c->fd[1], &peer));
		c->fd[0] = accept(c->listener, NULL, NULL);
		ASSERT_LE(0, c->fd[0]);
		ASSERT_EQ(5, send(c->fd[1], "hello", 5, 0));
		ASSERT_EQ(5, recv(c->fd[0], buf, sizeof(buf), 0));
		ASSERT_EQ(5, send(c->fd[0], "hello", 5, 0));
		ASSERT_EQ(5, recv(c->fd[1], buf, sizeof(buf), 0));
		flow_seen(tap, self->frame, GO);
		close(tap);
		tag = get32(&EMT_BYTE(self->frame, OFF_TAG));
		to = get32(&EMT_BYTE(self->frame, OFF_TO));
		from = get32(&EMT_BYTE(self->frame, OFF_FROM));
		sport = get16(&EMT_BYTE(self->frame, EMT_OFF_SPORT));
		for (i = 0; i < 100; i++)
			send_random(self, tag, to, from, sport);
		/* What comes of it is nobody else's business. */
		recv(c->fd[0], buf, sizeof(buf), MSG_DONTWAIT);
		send(c->fd[0], buf, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		set_linger(c->fd[round & 1], 1, 0);
		close(c->fd[round & 1]);
		close(c->fd[!(round & 1)]);
	}
	drain(c->listener);
	server = serve_start(c);
	EXPECT_EQ(true, legitimate(c, &c->h[1]));
	stop(server);
}

TEST_HARNESS_MAIN
