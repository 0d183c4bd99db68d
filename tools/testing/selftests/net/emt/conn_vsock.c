// SPDX-License-Identifier: GPL-2.0
/*
 * The cases of another connection-oriented family's tests, AF_VSOCK's
 * (tools/testing/vsock/vsock_test.c), as a list of what may go wrong: each is
 * done here with EMT, or named with the reason why it does not apply.
 */
#include <signal.h>

#include "emt_test.h"
#include "emt_conn.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	800

/* A case. The client is @c->fd[1], the server's end @c->fd[0]. */
typedef void (*run_fn)(struct __test_metadata *_metadata, struct conn *c);

static void connection_reset(struct __test_metadata *_metadata, struct conn *c)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT + 1);

	/* AF_VSOCK has ECONNRESET for it. */
	EXPECT_EQ(ECONNREFUSED, conn_connect(conn_socket(&c->h[1], c->type), &to));
}

static void bind_only(struct __test_metadata *_metadata, struct conn *c)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT + 1);
	union conn_addr own = conn_addr(&c->h[0], &c->h[0], CONN_PORT + 1);
	int fd = conn_socket(&c->h[0], c->type);

	ASSERT_EQ(0, bind(fd, &own.sa, CONN_ALEN));
	EXPECT_EQ(ECONNREFUSED, conn_connect(conn_socket(&c->h[1], c->type), &to));
}

/* Who is left cannot send, but has what was sent to it. */
static void one_side_closes(struct __test_metadata *_metadata, int goes, int stays)
{
	char byte;

	ASSERT_EQ(1, send(goes, "A", 1, 0));
	close(goes);
	EXPECT_NE(0, wait_ready(stays, POLLRDHUP) & POLLRDHUP);
	/* TCP sends, and has a reset for it. */
	if (conn_family != AF_INET)
		EXPECT_ERRNO(EPIPE, send(stays, "A", 1, MSG_NOSIGNAL));
	EXPECT_EQ(1, recv(stays, &byte, 1, 0));
	EXPECT_EQ(0, recv(stays, &byte, 1, 0));
}

static void client_close(struct __test_metadata *_metadata, struct conn *c)
{
	one_side_closes(_metadata, c->fd[1], c->fd[0]);
}

static void server_close(struct __test_metadata *_metadata, struct conn *c)
{
	one_side_closes(_metadata, c->fd[0], c->fd[1]);
}

#define MULTI	100

static void multiple_connections(struct __test_metadata *_metadata, struct conn *c)
{
	int fd[MULTI][2], i;
	char byte;

	for (i = 0; i < MULTI; i++)
		conn_pair(c, fd[i]);
	for (i = 0; i < MULTI; i++)
		ASSERT_EQ(1, send(fd[i][!(i & 1)], "A", 1, 0));
	for (i = 0; i < MULTI; i++)
		ASSERT_EQ(1, recv(fd[i][i & 1], &byte, 1, 0));
}

static void msg_peek(struct __test_metadata *_metadata, struct conn *c)
{
	unsigned char out[64], in[64];
	int fd = c->fd[0];

	pattern(out, sizeof(out), 1);
	EXPECT_ERRNO(EAGAIN, recv(fd, in, sizeof(in), MSG_PEEK | MSG_DONTWAIT));
	ASSERT_EQ(64, send(c->fd[1], out, 64, 0));
	EXPECT_EQ(32, recv(fd, in, 32, MSG_PEEK));
	EXPECT_EQ(0, memcmp(in, out, 32));
	EXPECT_EQ(64, recv(fd, in, 64, MSG_PEEK));
	EXPECT_EQ(0, memcmp(in, out, 64));
	if (c->type == SOCK_SEQPACKET)
		EXPECT_EQ(64, recv(fd, in, 32, MSG_PEEK | MSG_TRUNC));
	memset(in, 0, sizeof(in));
	EXPECT_EQ(64, recv(fd, in, 64, 0));
	EXPECT_EQ(0, memcmp(in, out, 64));
}

static void peek_after_partial(struct __test_metadata *_metadata, struct conn *c)
{
	unsigned char out[64], in[64];
	int fd = c->fd[0];

	pattern(out, sizeof(out), 1);
	ASSERT_EQ(64, send(c->fd[1], out, 64, 0));
	EXPECT_EQ(1, recv(fd, in, 1, 0));
	EXPECT_EQ(63, recv(fd, in, 64, MSG_PEEK));
	EXPECT_EQ(0, memcmp(in, out + 1, 63));
	EXPECT_EQ(63, recv(fd, in, 63, 0));
	EXPECT_EQ(0, memcmp(in, out + 1, 63));
}

static void msg_bounds(struct __test_metadata *_metadata, struct conn *c)
{
	pid_t pid = CHILD(pattern_send(c->fd[1], 1 << 20, 1));

	EXPECT_EQ(true, pattern_recv(c->fd[0], 1 << 20, 1));
	EXPECT_EQ(0, ends(pid));
}

static void msg_trunc(struct __test_metadata *_metadata, struct conn *c)
{
	char buf[32] = { 0 };
	int flags;

	ASSERT_EQ(32, send(c->fd[1], buf, 32, 0));
	EXPECT_EQ(32, recv_flags(c->fd[0], buf, 16, MSG_TRUNC, &flags));
}

static void timeout(struct __test_metadata *_metadata, struct conn *c)
{
	double start = seconds();
	char byte;

	set_timeout(c->fd[1], SO_RCVTIMEO, 300);
	EXPECT_ERRNO(EAGAIN, read(c->fd[1], &byte, 1));
	start = seconds() - start;
	EXPECT_EQ(true, start > 0.28 && start < 5);
}

#define PAGES	(3 * 4096)

/* A buffer with a hole in it gets an error, and the next one its record. */
static void invalid_receive_buffer(struct __test_metadata *_metadata, struct conn *c)
{
	char *broken = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	char *buf = calloc(1, PAGES);
	int n;

	ASSERT_EQ(0, munmap(broken + 4096, 4096));
	memset(buf, 'a', PAGES);
	ASSERT_EQ(PAGES, send(c->fd[1], buf, PAGES, 0));
	memset(buf, 'b', PAGES);
	ASSERT_EQ(PAGES, send(c->fd[1], buf, PAGES, 0));
	EXPECT_ERRNO(EFAULT, read(c->fd[0], broken, PAGES));
	/* What is left of the first, if it was not dropped, is as it was sent. */
	do {
		n = read(c->fd[0], buf, PAGES);
		ASSERT_LT(0, n);
	} while (buf[0] == 'a');
	EXPECT_EQ(PAGES, n);
	EXPECT_EQ('b', buf[0]);
	EXPECT_EQ('b', buf[PAGES - 1]);
}

static void poll_rcvlowat(struct __test_metadata *_metadata, struct conn *c)
{
	char buf[128] = { 0 };
	int i, fd = c->fd[1];

	if (conn_family == AF_UNIX)
		return;
	sock_set(fd, SO_RCVLOWAT, 128);
	ASSERT_EQ(1, send(c->fd[0], "A", 1, 0));
	usleep(100000);
	EXPECT_EQ(POLLOUT, ready(fd));
	for (i = 0; i < 127; i++)
		ASSERT_EQ(1, send(c->fd[0], "A", 1, 0));
	EXPECT_EQ(POLLIN, wait_ready(fd, POLLIN));
	EXPECT_EQ(128, recv(fd, buf, 128, MSG_DONTWAIT));
}

static void big_message(struct __test_metadata *_metadata, struct conn *c)
{
	struct emt_limits limits = { .max_message = 50000 };
	char *buf = calloc(1, 50001);

	if (conn_family != AF_EMT)
		return;
	ASSERT_EQ(0, ioctl(c->h[1].ctl, SIOCEMTSETLIMITS, &limits));
	EXPECT_ERRNO(EMSGSIZE, send(c->fd[1], buf, 50001, 0));
	free(buf);
}

static void invalid_buffer(struct __test_metadata *_metadata, struct conn *c)
{
	char buf[512] = { 0 };
	int n;

	ASSERT_EQ(512, send(c->fd[0], buf, 512, 0));
	ASSERT_EQ(POLLIN, wait_ready(c->fd[1], POLLIN));
	EXPECT_ERRNO(EFAULT, recv(c->fd[1], NULL, 512, 0));
	n = recv(c->fd[1], buf, 512, MSG_DONTWAIT);
	/* AF_VSOCK drops the record; it may also be kept, whole. */
	if (n < 0)
		n = errno == EAGAIN && c->type != SOCK_STREAM ? 512 : -errno;
	EXPECT_EQ(512, n);
}

static void skb_merge(struct __test_metadata *_metadata, struct conn *c)
{
	char buf[64];

	ASSERT_EQ(5, send(c->fd[1], "HELLO", 5, 0));
	ASSERT_EQ(2, recv(c->fd[0], buf, 2, 0));
	ASSERT_EQ(5, send(c->fd[1], "WORLD", 5, 0));
	ASSERT_EQ(8, recv_all(c->fd[0], buf + 2, 8));
	EXPECT_EQ(0, memcmp(buf, "HELLOWORLD", 10));
	EXPECT_ERRNO(EAGAIN, recv(c->fd[0], buf, sizeof(buf), MSG_DONTWAIT));
}

static sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

static void check_sigpipe(struct __test_metadata *_metadata, int fd)
{
	struct sigaction act = { .sa_handler = on_signal };
	double end = seconds() + EMT_WAIT_S;

	sigaction(SIGPIPE, &act, NULL);
	while (send(fd, "A", 1, 0) == 1 && seconds() < end)
		usleep(10000);
	EXPECT_EQ(EPIPE, errno);
	EXPECT_EQ(1, signals);
	EXPECT_ERRNO(EPIPE, send(fd, "A", 1, MSG_NOSIGNAL));
	EXPECT_EQ(1, signals);
}

static void shut_wr(struct __test_metadata *_metadata, struct conn *c)
{
	ASSERT_EQ(0, shutdown(c->fd[1], SHUT_WR));
	check_sigpipe(_metadata, c->fd[1]);
}

static void shut_rd(struct __test_metadata *_metadata, struct conn *c)
{
	/* TCP does not tell. */
	if (conn_family == AF_INET)
		return;
	ASSERT_EQ(0, shutdown(c->fd[0], SHUT_RD));
	check_sigpipe(_metadata, c->fd[1]);
}

static void double_bind_connect(struct __test_metadata *_metadata, struct conn *c)
{
	union conn_addr own = conn_addr(&c->h[1], &c->h[1], CONN_PORT + 1);
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);
	int i, fd, peer;
	char byte;

	if (conn_family == AF_UNIX)
		return;
	for (i = 0; i < 2; i++) {
		fd = conn_socket(&c->h[1], c->type);
		ASSERT_EQ(0, bind(fd, &own.sa, CONN_ALEN)) {
			TH_LOG("%s", strerror(errno));
		}
		ASSERT_EQ(0, conn_connect(fd, &to));
		peer = accept(c->listener, NULL, NULL);
		ASSERT_LE(0, peer);
		/* So that it is not the client who keeps the port for TCP. */
		close(peer);
		EXPECT_EQ(0, recv(fd, &byte, 1, 0));
		close(fd);
		usleep(10000);
	}
}

#define ROOM	(128 * 1024)

/* The sender is held up by a full buffer, and goes on in time for who waits for a lot. */
static void credit_update(struct __test_metadata *_metadata, struct conn *c, bool before)
{
	char *buf = calloc(1, ROOM + 1);
	long got = 0, n;
	pid_t pid;

	sock_set(c->fd[0], SO_RCVBUF, ROOM);
	if (before)
		sock_set(c->fd[0], SO_RCVLOWAT, ROOM / 2 + 1);
	pid = CHILD(send(c->fd[1], buf, ROOM + 1, 0) == ROOM + 1);
	EXPECT_LT(0, recv(c->fd[0], buf, ROOM, MSG_PEEK));
	n = recv(c->fd[0], buf, ROOM / 2, 0);
	ASSERT_LT(0, n);
	got += n;
	if (!before)
		sock_set(c->fd[0], SO_RCVLOWAT, ROOM / 2 + 1);
	EXPECT_EQ(POLLIN, wait_ready(c->fd[0], POLLIN));
	n = recv(c->fd[0], buf, ROOM, MSG_DONTWAIT);
	EXPECT_LE(ROOM / 2 + 1, n);
	got += n;
	sock_set(c->fd[0], SO_RCVLOWAT, 1);
	while (got < ROOM + 1) {
		n = recv(c->fd[0], buf, ROOM, 0);
		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_EQ(0, ends(pid));
	free(buf);
}

static void credit_update_on_rcvlowat(struct __test_metadata *_metadata, struct conn *c)
{
	credit_update(_metadata, c, false);
}

static void credit_update_on_low_bytes(struct __test_metadata *_metadata, struct conn *c)
{
	credit_update(_metadata, c, true);
}

static void unsent_bytes(struct __test_metadata *_metadata, struct conn *c)
{
	char buf[64] = { 0 };

	ASSERT_EQ(64, send(c->fd[1], buf, 64, 0));
	ASSERT_EQ(64, recv(c->fd[0], buf, 64, 0));
	EXPECT_EQ(true, wait_sent(c->fd[1]));
}

static void unread_bytes(struct __test_metadata *_metadata, struct conn *c)
{
	char buf[64] = { 0 };

	ASSERT_EQ(64, send(c->fd[0], buf, 64, 0));
	EXPECT_EQ(true, wait_inq(c->fd[1], 64));
	ASSERT_EQ(64, recv(c->fd[1], buf, 64, 0));
	EXPECT_EQ(0, inq(c->fd[1]));
}

static bool connect_until(double end, struct conn *c, const union conn_addr *to)
{
	while (seconds() < end) {
		int fd = conn_socket(&c->h[1], c->type);

		conn_connect(fd, to);
		close(fd);
	}
	return true;
}

/* Connections are made while their listener goes; that nothing is left is seen at the end. */
static void leak_accept_queue(struct __test_metadata *_metadata, struct conn *c)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT + 1);
	double end = seconds() + 2;
	pid_t pid;

	use_all_cpus();
	pid = CHILD(connect_until(end, c, &to));
	while (seconds() < end)
		close(conn_listener(&c->h[0], c->type, CONN_PORT + 1, 5));
	EXPECT_EQ(0, ends(pid));
}

static void connect_retry(struct __test_metadata *_metadata, struct conn *c)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT + 1);
	int fd = conn_socket(&c->h[1], c->type);

	EXPECT_EQ(ECONNREFUSED, conn_connect(fd, &to));
	conn_listener(&c->h[0], c->type, CONN_PORT + 1, 1);
	EXPECT_EQ(0, conn_connect(fd, &to));
}

static void linger_close(struct __test_metadata *_metadata, struct conn *c)
{
	int fd = conn_socket(&c->h[1], c->type);

	set_linger(fd, 1, 1);
	close(fd);
	set_linger(c->fd[1], 1, 1);
	close(c->fd[1]);
	EXPECT_NE(0, wait_ready(c->fd[0], POLLRDHUP) & POLLRDHUP);
}

static void linger_on_unread(struct __test_metadata *_metadata, struct conn *c)
{
	double start;

	set_linger(c->fd[1], 1, 5);
	ASSERT_EQ(1, send(c->fd[1], "A", 1, 0));
	if (conn_family != AF_UNIX)
		ASSERT_EQ(true, wait_sent(c->fd[1]));
	start = seconds();
	close(c->fd[1]);
	EXPECT_GT(4, seconds() - start);
}

static bool keep_signalling(pid_t pid)
{
	while (!kill(pid, SIGUSR1))
		usleep(50);
	return true;
}

/* Signals fall on a connect() that is done again at another address, with lingering. */
static void interrupted_connects(struct __test_metadata *_metadata, struct conn *c)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);
	union conn_addr other = conn_addr(&c->h[1], &c->h[0], CONN_PORT + 1);
	struct sigaction act = { .sa_handler = on_signal };
	double end = seconds() + 2;
	pid_t pid, client;
	int fd;

	use_all_cpus();
	sigaction(SIGUSR1, &act, NULL);
	client = fork();
	ASSERT_LE(0, client);
	while (!client && seconds() < end) {
		fd = conn_socket(&c->h[1], c->type);
		set_linger(fd, 1, 1);
		conn_connect(fd, &to);
		conn_connect(fd, &other);
		close(fd);
	}
	if (!client)
		_exit(0);
	pid = CHILD(keep_signalling(client));
	set_nonblock(c->listener, true);
	while (seconds() < end + 0.2) {
		fd = accept(c->listener, NULL, NULL);
		if (fd >= 0)
			close(fd);
		else
			usleep(100);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_EQ(0, ends(client));
}

static void accepted_setsockopt(struct __test_metadata *_metadata, struct conn *c)
{
	int on = 1;

	sock_set(c->fd[0], SO_KEEPALIVE, 1);
	EXPECT_EQ(1, sock_get(c->fd[0], SO_KEEPALIVE));
	if (conn_family == AF_EMT)
		EXPECT_EQ(0, setsockopt(c->fd[0], SOL_EMT, EMT_NODELAY, &on, sizeof(on)));
}

static void tx_bounds(struct __test_metadata *_metadata, struct conn *c)
{
	long sent;

	sock_set(c->fd[1], SO_SNDBUF, 64 * 1024);
	sock_set(c->fd[0], SO_RCVBUF, 1024 * 1024);
	sent = fill(c->fd[1], 4096);
	EXPECT_GE(sock_get(c->fd[1], SO_SNDBUF) + sock_get(c->fd[0], SO_RCVBUF) + 10000, sent);
}

#define COLLAPSE	(2 << 20)

/* In steps of 129 to 512 bytes. */
static bool send_in_steps(int fd, const unsigned char *buf)
{
	int at, step;

	for (at = 0; at < COLLAPSE; at += step) {
		step = 129 + at % 384;
		if (step > COLLAPSE - at)
			step = COLLAPSE - at;
		if (send(fd, buf + at, step, 0) != step)
			return false;
	}
	return true;
}

static void collapse(struct __test_metadata *_metadata, struct conn *c)
{
	unsigned char *out = malloc(COLLAPSE), *in = malloc(COLLAPSE);
	pid_t pid;

	pattern_at(out, COLLAPSE, 0, 1);
	pid = CHILD(send_in_steps(c->fd[1], out));
	wait_asleep(pid);
	EXPECT_EQ(COLLAPSE, recv_all(c->fd[0], in, COLLAPSE));
	EXPECT_EQ(0, memcmp(in, out, COLLAPSE));
	EXPECT_EQ(0, ends(pid));
}

/* The names are AF_VSOCK's. */
static const struct {
	const char *name;
	int type;
	run_fn run;
} cases[] = {
	{ "SOCK_STREAM connection reset", SOCK_STREAM, connection_reset },
	{ "SOCK_STREAM bind only", SOCK_STREAM, bind_only },
	{ "SOCK_STREAM client close", SOCK_STREAM, client_close },
	{ "SOCK_STREAM server close", SOCK_STREAM, server_close },
	{ "SOCK_STREAM multiple connections", SOCK_STREAM, multiple_connections },
	{ "SOCK_STREAM MSG_PEEK", SOCK_STREAM, msg_peek },
	{ "SOCK_SEQPACKET msg bounds", SOCK_SEQPACKET, msg_bounds },
	{ "SOCK_SEQPACKET MSG_TRUNC flag", SOCK_SEQPACKET, msg_trunc },
	{ "SOCK_SEQPACKET timeout", SOCK_SEQPACKET, timeout },
	{ "SOCK_SEQPACKET invalid receive buffer", SOCK_SEQPACKET, invalid_receive_buffer },
	{ "SOCK_STREAM poll() + SO_RCVLOWAT", SOCK_STREAM, poll_rcvlowat },
	{ "SOCK_SEQPACKET big message", SOCK_SEQPACKET, big_message },
	{ "SOCK_STREAM test invalid buffer", SOCK_STREAM, invalid_buffer },
	{ "SOCK_SEQPACKET test invalid buffer", SOCK_SEQPACKET, invalid_buffer },
	{ "SOCK_STREAM virtio skb merge", SOCK_STREAM, skb_merge },
	{ "SOCK_SEQPACKET MSG_PEEK", SOCK_SEQPACKET, msg_peek },
	{ "SOCK_STREAM SHUT_WR", SOCK_STREAM, shut_wr },
	{ "SOCK_STREAM SHUT_RD", SOCK_STREAM, shut_rd },
	{ "SOCK_STREAM double bind connect", SOCK_STREAM, double_bind_connect },
	{ "SOCK_STREAM virtio credit update + SO_RCVLOWAT", SOCK_STREAM,
	  credit_update_on_rcvlowat },
	{ "SOCK_STREAM virtio credit update + low rx_bytes", SOCK_STREAM,
	  credit_update_on_low_bytes },
	{ "SOCK_STREAM ioctl(SIOCOUTQ) 0 unsent bytes", SOCK_STREAM, unsent_bytes },
	{ "SOCK_SEQPACKET ioctl(SIOCOUTQ) 0 unsent bytes", SOCK_SEQPACKET, unsent_bytes },
	{ "SOCK_STREAM leak accept queue", SOCK_STREAM, leak_accept_queue },
	{ "SOCK_STREAM retry failed connect()", SOCK_STREAM, connect_retry },
	{ "SOCK_STREAM SO_LINGER null-ptr-deref", SOCK_STREAM, linger_close },
	{ "SOCK_STREAM SO_LINGER close() on unread", SOCK_STREAM, linger_on_unread },
	{ "SOCK_STREAM transport change null-ptr-deref, lockdep warn", SOCK_STREAM,
	  interrupted_connects },
	{ "SOCK_STREAM ioctl(SIOCINQ) functionality", SOCK_STREAM, unread_bytes },
	{ "SOCK_SEQPACKET ioctl(SIOCINQ) functionality", SOCK_SEQPACKET, unread_bytes },
	{ "SOCK_STREAM accept()ed socket custom setsockopt()", SOCK_STREAM, accepted_setsockopt },
	{ "SOCK_STREAM TX credit bounds", SOCK_STREAM, tx_bounds },
	{ "SOCK_STREAM MSG_PEEK after partial recv", SOCK_STREAM, peek_after_partial },
	{ "SOCK_STREAM small packets backpressure", SOCK_STREAM, collapse },
};

/* See conn_options.c. */
static const char no_zerocopy[] = "there is no SO_ZEROCOPY";

static const struct {
	const char *name;
	const char *why;
} not_done[] = {
	{ "SOCK_STREAM MSG_ZEROCOPY", no_zerocopy },
	{ "SOCK_SEQPACKET MSG_ZEROCOPY", no_zerocopy },
	{ "SOCK_STREAM MSG_ZEROCOPY empty MSG_ERRQUEUE", no_zerocopy },
	{ "SOCK_STREAM MSG_ZEROCOPY leak MSG_ERRQUEUE", no_zerocopy },
	{ "SOCK_STREAM MSG_ZEROCOPY leak completion skb", no_zerocopy },
	{ "SOCK_STREAM transport release use-after-free",
	  "a socket has one transport all its life" },
	{ "SOCK_STREAM virtio MSG_ZEROCOPY coalescence corruption", no_zerocopy },
};

/* One case, in a process of its own. True: it passed. */
static bool run_case(struct __test_metadata *_metadata, int n)
{
	struct conn c;
	pid_t pid = fork();

	if (pid)
		return pid > 0 && !ends(pid);
	conn_begin_connected(&c, cases[n].type);
	cases[n].run(_metadata, &c);
	EXPECT_EQ(true, conn_end(&c));
	_exit(_metadata->exit_code);
}

TEST(cases_of_af_vsock)
{
	const char * const results[] = { "FAILED", "passed" };
	int i, failed = 0, passed = 0;

	if (conn_family == AF_EMT)
		REQUIRE_EMT();
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ok;

		if (conn_family == AF_INET && cases[i].type == SOCK_SEQPACKET)
			continue;
		ok = run_case(_metadata, i);
		passed += ok;
		failed += !ok;
		printf("# %s: %s\n", cases[i].name, results[ok]);
		fflush(stdout);
	}
	for (i = 0; i < ARRAY_SIZE(not_done); i++)
		printf("# %s: does not apply, %s\n", not_done[i].name, not_done[i].why);
	printf("# of %zu cases %d passed, %d failed, %zu do not apply\n",
	       ARRAY_SIZE(cases) + ARRAY_SIZE(not_done), passed, failed, ARRAY_SIZE(not_done));
	EXPECT_EQ(0, failed);
}

TEST_HARNESS_MAIN
