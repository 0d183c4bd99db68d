// SPDX-License-Identifier: GPL-2.0
/*
 * Connections whose senders write, shut down and close at once, over a wire
 * that loses: each byte arrives. CONN_LAST in the environment is how many.
 */
#include "emt_test.h"
#include "emt_conn.h"

#define COUNT	2000
#define CLIENTS	16

FIXTURE(last)
{
	struct conn c;
	unsigned int count;
	/* How often each was received whole, in memory that all processes see. */
	unsigned char *seen;
};

FIXTURE_VARIANT(last)
{
	int type;
};

FIXTURE_VARIANT_ADD(last, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(last, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(last)
{
	const char *count = getenv("CONN_LAST");
	struct conn *c = &self->c;
	int i;

	NOT_FOR(AF_UNIX);
	REQUIRE_CONN(variant->type);
	self->count = count ? atoi(count) : COUNT;
	conn_begin(c, variant->type);
	c->listener = conn_listener(&c->h[0], variant->type, CONN_PORT, 64);
	for (i = 0; i < 2; i++) {
		netns_enter(c->h[i].netns);
		if (system("command -v tc >/dev/null && tc qdisc add dev " EMT_DEV
			   " root netem loss 5%"))
			SKIP(return, "no netem (tc and CONFIG_NET_SCH_NETEM)");
	}
	self->seen = mmap(NULL, self->count, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->seen);
	use_all_cpus();
}

FIXTURE_TEARDOWN(last)
{
	EXPECT_EQ(true, conn_end(&self->c));
	if (self->seen)
		munmap(self->seen, self->count);
}

#define LONGEST	20000

/* Bytes of a connection: its number, and then some. */
static size_t size_of(unsigned int number)
{
	return number % 10 == 9 ? LONGEST : 4 + number % 1700;
}

static void make(unsigned char *buf, unsigned int number)
{
	pattern_at(buf, size_of(number), 0, number);
	memcpy(buf, &number, sizeof(number));
}

static int client(struct conn *c, unsigned int first, unsigned int count)
{
	unsigned char buf[LONGEST];
	unsigned int number;
	int fd;

	for (number = first; number < count; number += CLIENTS) {
		make(buf, number);
		fd = conn_client(c);
		if (send_all(fd, buf, size_of(number), 0) != size_of(number))
			return 1;
		/* With one word of its end, or two. */
		if (number & 1 && shutdown(fd, SHUT_WR))
			return 2;
		close(fd);
	}
	return 0;
}

/* Takes one connection after the other, until one comes that says nothing. */
static int server(int listener, unsigned char *seen, unsigned int count)
{
	unsigned char buf[LONGEST + 1], want[LONGEST];
	unsigned int number;
	long n;
	int fd;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0) {
			fprintf(stderr, "# accept: %s\n", strerror(errno));
			return 1;
		}
		set_timeout(fd, SO_RCVTIMEO, EMT_WAIT_S * 1000);
		n = recv_all(fd, buf, sizeof(buf));
		close(fd);
		if (!n)
			return 0;
		memcpy(&number, buf, sizeof(number));
		if (n < (long)sizeof(number) || number >= count || n != size_of(number)) {
			fprintf(stderr, "# connection %u: %ld bytes, %s\n", number, n,
				n < 0 ? strerror(-n) : "which is wrong");
			return 2;
		}
		make(want, number);
		if (memcmp(want, buf, n))
			return 3;
		__atomic_add_fetch(&seen[number], 1, __ATOMIC_RELAXED);
	}
}

TEST_F_TIMEOUT(last, each_byte_arrives, 800)
{
	struct conn *c = &self->c;
	pid_t clients[CLIENTS], servers[CLIENTS];
	unsigned int i, missing = 0;
	double start = seconds();

	for (i = 0; i < CLIENTS; i++) {
		servers[i] = fork();
		ASSERT_LE(0, servers[i]);
		if (!servers[i])
			_exit(server(c->listener, self->seen, self->count));
		clients[i] = fork();
		ASSERT_LE(0, clients[i]);
		if (!clients[i]) {
			close(c->listener);
			_exit(client(c, i, self->count));
		}
	}
	for (i = 0; i < CLIENTS; i++) {
		int status;

		/* As long as it takes: the harness has its own clock. */
		ASSERT_EQ(clients[i], waitpid(clients[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	for (i = 0; i < CLIENTS; i++)
		close(conn_client(c));
	for (i = 0; i < CLIENTS; i++)
		EXPECT_EQ(0, ends(servers[i]));
	for (i = 0; i < self->count; i++)
		missing += self->seen[i] != 1;
	EXPECT_EQ(0, missing);
	TH_LOG("%u connections, %u not received whole, %.1f s", self->count, missing,
	       seconds() - start);
}

TEST_HARNESS_MAIN
