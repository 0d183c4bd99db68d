// SPDX-License-Identifier: GPL-2.0
/* Hosts, sockets and data for the tests of connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "emt_conn.h"

/* Adds up a number of each line of a file that begins with @name; dies if there is none. */
static long proc_sum(const char *file, const char *name, const char *format)
{
	long value, sum = 0, lines = 0;
	char line[256];
	FILE *f = fopen(file, "r");

	if (!f)
		die("%s", file);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) ||
		    sscanf(line + strlen(name), format, &value) != 1)
			continue;
		sum += value;
		lines++;
	}
	fclose(f);
	/* Else nothing would ever be missed. */
	if (!lines)
		die("%s has no line of \"%s\"", file, name);
	return sum;
}

struct conn_left conn_left(const struct host h[2])
{
	struct conn_left left = { .users = -1 };
	int i;

	if (conn_family != AF_EMT)
		return left;
	if (!access("/sys/module/emt/refcnt", R_OK))
		left.users = proc_sum("/sys/module/emt/refcnt", "", "%ld");
	for (i = 0; i < 2; i++) {
		netns_enter(h[i].netns);
		left.sockets[i][0] = proc_sum("/proc/thread-self/net/protocols", "EMT-",
					      "%*s %*u %ld");
		left.sockets[i][1] = proc_sum("/proc/thread-self/net/sockstat",
					      "sockets: used ", "%ld");
	}
	return left;
}

bool conn_left_nothing(const struct host h[2], const struct conn_left *before)
{
	double end = seconds() + EMT_WAIT_S;
	struct conn_left now;
	bool more;
	int i, k;

	do {
		now = conn_left(h);
		more = now.users > before->users;
		for (i = 0; i < 2; i++)
			for (k = 0; k < 2; k++)
				more |= now.sockets[i][k] > before->sockets[i][k];
		if (!more)
			return true;
		usleep(10000);
	} while (seconds() < end);
	fprintf(stderr, "# sockets are left: %ld and %ld of EMT, %ld and %ld of all\n",
		now.sockets[0][0] - before->sockets[0][0],
		now.sockets[1][0] - before->sockets[1][0],
		now.sockets[0][1] - before->sockets[0][1],
		now.sockets[1][1] - before->sockets[1][1]);
	fprintf(stderr, "# references on the module: %ld, there were %ld\n",
		now.users, before->users);
	return false;
}

void conn_begin(struct conn *c, int type)
{
	hosts_enabled(c->h, 1500);
	conn_begin_between(c, type);
}

void conn_begin_between(struct conn *c, int type)
{
	c->type = type;
	c->listener = -1;
	c->fd[0] = -1;
	c->fd[1] = -1;
	c->before = conn_left(c->h);
	/* File descriptors are given in order, and all before this are in use. */
	c->mark = dup(0);
	close(c->mark);
}

void conn_begin_listening(struct conn *c, int type)
{
	conn_begin(c, type);
	c->listener = conn_listener(&c->h[0], type, CONN_PORT, 16);
}

void conn_begin_connected(struct conn *c, int type)
{
	conn_begin_listening(c, type);
	conn_pair(c, c->fd);
}

bool conn_end(struct conn *c)
{
	bool nothing;

	if (c->mark < 3)
		return true;
	syscall(SYS_close_range, c->mark, ~0U, 0);
	nothing = conn_left_nothing(c->h, &c->before);
	host_free(&c->h[0]);
	host_free(&c->h[1]);
	return nothing;
}

union conn_addr conn_addr(const struct host *from, const struct host *to, int port)
{
	union conn_addr addr;

	memset(&addr, 0, sizeof(addr));
	switch (CONN_FAMILY) {
	case AF_EMT:
		addr.emt = emt_addr(from->ifindex, to->mac, port);
		break;
	case AF_INET:
		addr.in.sin_family = AF_INET;
		addr.in.sin_port = htons(port);
		addr.in.sin_addr.s_addr = htonl(10 << 24 | to->mac[4] << 8 | to->mac[5]);
		break;
	case AF_UNIX:
		addr.un.sun_family = AF_UNIX;
		snprintf(addr.un.sun_path + 1, 15, "emt%02x%02x.%05d", to->mac[4],
			 to->mac[5], port & 0xffff);
		break;
	}
	return addr;
}

int conn_socket(const struct host *h, int type)
{
	int fd;

	/* Names of AF_UNIX are the namespace's. */
	if (conn_family != AF_UNIX)
		netns_enter(h->netns);
	fd = socket(CONN_FAMILY, type, 0);
	if (fd < 0)
		die("socket(%d, %d, 0)", CONN_FAMILY, type);
	if (conn_family == AF_INET)
		sock_set(fd, SO_REUSEADDR, 1);
	set_timeout(fd, SO_RCVTIMEO, EMT_WAIT_S * 1000);
	return fd;
}

int conn_listener(const struct host *h, int type, int port, int backlog)
{
	union conn_addr addr = conn_addr(h, h, port);
	int fd = conn_socket(h, type);

	if (conn_family == AF_EMT)
		addr.emt = emt_addr(0, NULL, port);
	if (conn_family == AF_INET)
		addr.in.sin_addr.s_addr = 0;
	if (bind(fd, &addr.sa, CONN_ALEN))
		die("bind to port %d", port);
	if (listen(fd, backlog))
		die("listen at port %d", port);
	return fd;
}

int conn_connect(int fd, const union conn_addr *to)
{
	return connect(fd, &to->sa, CONN_ALEN) ? errno : 0;
}

static int client(const struct conn *c, bool block)
{
	union conn_addr to = conn_addr(&c->h[1], &c->h[0], CONN_PORT);
	int fd = conn_socket(&c->h[1], c->type);

	if (!block)
		set_nonblock(fd, true);
	errno = conn_connect(fd, &to);
	if (errno && (block || errno != EINPROGRESS))
		die("connect to the listener");
	return fd;
}

int conn_client(const struct conn *c)
{
	return client(c, true);
}

int conn_client_start(const struct conn *c)
{
	return client(c, false);
}

void conn_pair(struct conn *c, int fd[2])
{
	fd[1] = conn_client(c);
	fd[0] = accept(c->listener, NULL, NULL);
	if (fd[0] < 0)
		die("accept");
	set_timeout(fd[0], SO_RCVTIMEO, EMT_WAIT_S * 1000);
}

void set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK))
		die("O_NONBLOCK");
}

void set_timeout(int fd, int option, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv)))
		die("timeout %d of %d ms", option, ms);
}

void set_linger(int fd, int on, int secs)
{
	struct linger linger = { .l_onoff = on, .l_linger = secs };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		die("SO_LINGER");
}

void set_user_timeout(int fd, unsigned int ms)
{
	if (conn_family == AF_EMT &&
	    setsockopt(fd, SOL_EMT, EMT_USER_TIMEOUT, &ms, sizeof(ms)))
		die("EMT_USER_TIMEOUT");
}

int ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = READY_ALL };

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents;
}

int wait_ready(int fd, int events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, EMT_WAIT_S * 1000) == 1 ? pfd.revents : 0;
}

bool wait_ready_is(int fd, int events)
{
	double end = seconds() + EMT_WAIT_S;

	while (ready(fd) != events) {
		if (seconds() > end) {
			fprintf(stderr, "# poll gives %#x, not %#x\n", ready(fd), events);
			return false;
		}
		usleep(1000);
	}
	return true;
}

int inq(int fd)
{
	int n;

	return ioctl(fd, SIOCINQ, &n) ? -errno : n;
}

int outq(int fd)
{
	int n;

	return ioctl(fd, SIOCOUTQ, &n) ? -errno : n;
}

static bool wait_queue(int (*queue)(int fd), int fd, int bytes)
{
	double end = seconds() + EMT_WAIT_S;

	while (queue(fd) != bytes) {
		if (seconds() > end) {
			fprintf(stderr, "# %d bytes are in the queue, not %d\n", queue(fd), bytes);
			return false;
		}
		usleep(1000);
	}
	return true;
}

bool wait_inq(int fd, int bytes)
{
	return wait_queue(inq, fd, bytes);
}

bool wait_sent(int fd)
{
	return wait_queue(outq, fd, 0);
}

long send_all(int fd, const void *buf, size_t len, int flags)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < len) {
		n = send(fd, buf + sent, len - sent, flags | MSG_NOSIGNAL);
		if (n < 0)
			return -errno;
		sent += n;
	}
	return sent;
}

long recv_all(int fd, void *buf, size_t len)
{
	size_t got = 0;
	ssize_t n;

	while (got < len) {
		n = recv(fd, buf + got, len - got, 0);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += n;
	}
	return got;
}

long fill(int fd, size_t step)
{
	unsigned char *buf = calloc(1, step);
	long sent = 0;
	ssize_t n;
	int quiet = 0;

	/* What has been sent may make room for more, until the other end has no room. */
	while (quiet < 20) {
		n = send(fd, buf, step, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			die("filling a socket");
		if (n > 0) {
			sent += n;
			quiet = 0;
			continue;
		}
		quiet++;
		usleep(1000);
	}
	free(buf);
	return sent;
}

void pattern_at(unsigned char *buf, size_t len, size_t at, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (at + i) * 7 + ((at + i) >> 8) + ((at + i) >> 16) * 3 + seed * 31 + 1;
}

#define MOST	40000

/* Bytes of a record or write: those that fit in a frame and those that do not. */
static size_t size_of(unsigned int seq, size_t left)
{
	static const size_t size[] = { 8, 100, 1400, 1448, 1449, 3000, 10000, 1, 700, 33333 };
	size_t len = size[seq % ARRAY_SIZE(size)];

	return len < left ? len : left;
}

bool pattern_send(int fd, size_t len, unsigned int seed)
{
	unsigned char *buf = malloc(MOST);
	unsigned int seq;
	size_t at, n;
	long sent;

	for (seq = 0, at = 0; at < len; seq++, at += n) {
		n = size_of(seq, len - at);
		pattern_at(buf, n, at, seed);
		sent = send_all(fd, buf, n, 0);
		if (sent != (long)n) {
			fprintf(stderr, "# at %zu of %zu: %s\n", at, len, strerror(-sent));
			free(buf);
			return false;
		}
	}
	free(buf);
	return true;
}

bool pattern_recv(int fd, size_t len, unsigned int seed)
{
	bool records = sock_get(fd, SO_TYPE) == SOCK_SEQPACKET;
	unsigned char *buf = malloc(MOST), *want = malloc(MOST);
	size_t at = 0, record = 0, room;
	unsigned int seq = 0;
	const char *wrong = NULL;
	int flags = 0;
	long got = 0;

	for (unsigned int calls = 0; at < len && !wrong; calls++) {
		/* Whole records, and parts. */
		room = calls % 3 && conn_family != AF_UNIX ? 1000 + calls % 3000 : MOST;
		got = recv_flags(fd, buf, room, 0, &flags);
		if (got <= 0) {
			wrong = got ? strerror(-got) : "it has ended";
			break;
		}
		pattern_at(want, got, at, seed);
		if (memcmp(want, buf, got))
			wrong = "other bytes";
		at += got;
		record += got;
		if (!records)
			continue;
		if (conn_family == AF_UNIX || flags & MSG_EOR) {
			if (record != size_of(seq++, len - (at - record)))
				wrong = "a record of another length";
			record = 0;
		}
	}
	if (!wrong && (at != len || (records && record)))
		wrong = "a record does not end";
	if (wrong)
		fprintf(stderr, "# at %zu of %zu, after %u records: %s\n", at, len, seq, wrong);
	free(buf);
	free(want);
	return !wrong;
}

long recv_flags(int fd, void *buf, size_t len, int flags, int *msg_flags)
{
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = recvmsg(fd, &msg, flags);

	*msg_flags = msg.msg_flags;
	return n < 0 ? -errno : n;
}

int ends(pid_t pid)
{
	double end = seconds() + 4 * EMT_WAIT_S;
	int status;

	while (seconds() < end) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		usleep(1000);
	}
	fprintf(stderr, "# process %d does not end\n", pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -1;
}

static bool is_asleep(pid_t tid)
{
	char file[64], line[256] = "", *state;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/stat", tid);
	f = fopen(file, "r");
	if (!f)
		return true;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	/* The name before it may have anything in it. */
	state = strrchr(line, ')');
	return !state || strchr("SDTZ", state[2]);
}

void wait_asleep(pid_t tid)
{
	double end = seconds() + EMT_WAIT_S;

	/* Not in one that it passes on the way, with luck. */
	while (seconds() < end) {
		usleep(2000);
		if (is_asleep(tid)) {
			usleep(2000);
			if (is_asleep(tid))
				return;
		}
	}
	die("thread %d does not sleep", tid);
}

static void *call_run(void *arg)
{
	struct call *call = arg;
	long result;

	__atomic_store_n(&call->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	result = call->fn(call->fd);
	call->result = result < 0 ? -errno : result;
	return NULL;
}

void call_start(struct call *call, long (*fn)(int fd), int fd)
{
	pid_t tid;

	*call = (struct call){ .fn = fn, .fd = fd };
	if (pthread_create(&call->thread, NULL, call_run, call))
		die("pthread_create");
	do {
		usleep(1000);
		tid = __atomic_load_n(&call->tid, __ATOMIC_ACQUIRE);
	} while (!tid);
	wait_asleep(tid);
}

long call_end(struct call *call)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 2 * EMT_WAIT_S;
	if (pthread_timedjoin_np(call->thread, NULL, &end))
		die("a call is still waiting");
	return call->result;
}

bool call_waits(const struct call *call)
{
	usleep(20000);
	return pthread_tryjoin_np(call->thread, NULL) == EBUSY;
}

long do_accept(int fd)
{
	return accept(fd, NULL, NULL);
}

long do_recv(int fd)
{
	char buf[100];

	return recv(fd, buf, sizeof(buf), 0);
}

long do_send_much(int fd)
{
	static const char buf[65536];
	long n;

	do {
		n = send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
	} while (n > 0);
	return n;
}
