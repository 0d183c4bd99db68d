// SPDX-License-Identifier: GPL-2.0
/*
 * Connections whose hosts restart or vanish, whose readers stop, whose devices
 * and namespaces go, and whose processes are killed.
 */
#include <signal.h>
#include <sys/syscall.h>

#include <linux/sock_diag.h>

#include "emt_test.h"
#include "emt_conn.h"

#define TIMEOUT_MS	1500
#define ROUNDS	10

FIXTURE(lifecycle)
{
	struct host hub, peer;
	struct conn_left before;
	int home, type;
	char buf[100000];
};

FIXTURE_VARIANT(lifecycle)
{
	int type;
};

FIXTURE_VARIANT_ADD(lifecycle, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(lifecycle, seqpacket) { .type = SOCK_SEQPACKET };

/* The hub goes on while peers come and go. */
FIXTURE_SETUP(lifecycle)
{
	struct host both[2];

	EMT_ONLY();
	REQUIRE_CONN(variant->type);
	if (system("command -v ip >/dev/null"))
		SKIP(return, "no ip (iproute2)");
	self->type = variant->type;
	self->home = netns_self();
	hub_new(&self->hub);
	both[0] = self->hub;
	both[1] = self->hub;
	self->before = conn_left(both);
}

FIXTURE_TEARDOWN(lifecycle)
{
	struct host both[2] = { self->hub, self->hub };

	EXPECT_EQ(true, conn_left_nothing(both, &self->before));
	host_free(&self->hub);
	close(self->home);
}

/*
 * A process on a peer that joins now: it listens, which it says through a pipe,
 * takes one connection, reads @bytes of it, and waits to be killed. Only it has
 * sockets there.
 */
static pid_t peer_start(struct _test_data_lifecycle *self, int bytes)
{
	int ready_pipe[2], listener, fd;
	pid_t pid;
	char byte;

	hub_join(&self->hub, &self->peer, 0);
	if (pipe(ready_pipe))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(ready_pipe[0]);
		listener = conn_listener(&self->peer, self->type, CONN_PORT, 4);
		if (write(ready_pipe[1], "l", 1) != 1)
			_exit(1);
		fd = accept(listener, NULL, NULL);
		if (fd < 0 || (bytes && recv_all(fd, self->buf, bytes) != bytes))
			_exit(1);
		for (;;)
			pause();
	}
	close(ready_pipe[1]);
	if (read(ready_pipe[0], &byte, 1) != 1)
		die("the peer does not listen");
	close(ready_pipe[0]);
	netns_enter(self->hub.netns);
	return pid;
}

static int to_peer(struct _test_data_lifecycle *self)
{
	union conn_addr to = conn_addr(&self->hub, &self->peer, CONN_PORT);
	int fd = conn_socket(&self->hub, self->type);

	set_user_timeout(fd, TIMEOUT_MS);
	errno = conn_connect(fd, &to);
	if (errno)
		die("connect to the peer");
	return fd;
}

static void peer_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The peer is switched off: nothing that it still does is seen. */
static void peer_vanish(struct _test_data_lifecycle *self)
{
	netns_enter(self->hub.netns);
	if (system("ip link del port0"))
		die("deleting the peer's link");
}

static void peer_free(struct _test_data_lifecycle *self, pid_t pid)
{
	peer_kill(pid);
	host_free(&self->peer);
}

TEST_F_TIMEOUT(lifecycle, a_peer_that_restarts_is_a_reset, 400)
{
	pid_t pid, again;
	int fd, round;

	for (round = 0; round < 4; round++) {
		pid = peer_start(self, 5);
		fd = to_peer(self);
		/* A peer may take long to restart. */
		set_user_timeout(fd, EMT_WAIT_S * 1000);
		ASSERT_EQ(5, send(fd, "hello", 5, 0));
		ASSERT_EQ(true, wait_sent(fd));
		/* Something may be under way. */
		peer_vanish(self);
		if (round & 1)
			ASSERT_EQ(1000, send(fd, self->buf, 1000, 0));
		peer_free(self, pid);
		again = peer_start(self, 0);
		/* What was under way may have brought the news before. */
		if (send(fd, "still there?", 12, MSG_NOSIGNAL) < 0) {
			EXPECT_EQ(ECONNRESET, errno);
		} else {
			EXPECT_NE(0, wait_ready(fd, 0) & POLLERR);
			EXPECT_EQ(ECONNRESET, sock_get(fd, SO_ERROR));
		}
		EXPECT_EQ(0, recv(fd, self->buf, 1, 0));
		close(fd);
		/* What is there now is as good as what was. */
		fd = to_peer(self);
		EXPECT_EQ(5, send(fd, "hello", 5, 0));
		EXPECT_EQ(true, wait_sent(fd));
		close(fd);
		peer_vanish(self);
		peer_free(self, again);
	}
}

TEST_F(lifecycle, a_peer_that_vanishes_is_missed_when_bytes_are_for_it)
{
	pid_t pid = peer_start(self, 5);
	int fd = to_peer(self);
	double start;

	ASSERT_EQ(5, send(fd, "hello", 5, 0));
	ASSERT_EQ(true, wait_sent(fd));
	peer_vanish(self);
	start = seconds();
	ASSERT_EQ(1000, send(fd, self->buf, 1000, 0));
	/* A reader learns it, too. */
	EXPECT_ERRNO(ETIMEDOUT, recv(fd, self->buf, 1, 0));
	start = seconds() - start;
	EXPECT_EQ(true, start > TIMEOUT_MS / 1000. * 0.5 && start < TIMEOUT_MS / 1000. * 3 + 5) {
		TH_LOG("it took %.2f s", start);
	}
	EXPECT_EQ(0, recv(fd, self->buf, 1, 0));
	EXPECT_ERRNO(EPIPE, send(fd, "x", 1, MSG_NOSIGNAL));
	close(fd);
	peer_free(self, pid);
}

TEST_F(lifecycle, a_writer_that_waits_learns_that_the_peer_has_vanished)
{
	pid_t pid = peer_start(self, 0);
	int fd = to_peer(self);
	struct call call;

	sock_set(fd, SO_SNDBUF, 30000);
	call_start(&call, do_send_much, fd);
	EXPECT_EQ(true, call_waits(&call));
	peer_vanish(self);
	EXPECT_EQ(-ETIMEDOUT, call_end(&call));
	close(fd);
	peer_free(self, pid);
}

TEST_F(lifecycle, who_was_closed_gives_up_on_a_peer_that_has_vanished)
{
	pid_t pid = peer_start(self, 0);
	int fd = to_peer(self);

	fill(fd, 1000);
	peer_vanish(self);
	close(fd);
	peer_free(self, pid);
	/* That nothing is left is seen when the test ends. */
}

TEST_F(lifecycle, a_reader_that_stops_stops_its_writer)
{
	unsigned int info[SK_MEMINFO_VARS];
	socklen_t size = sizeof(info);
	int fd, peer, listener;
	long sent, got = 0, n;
	pid_t pid;

	hub_join(&self->hub, &self->peer, 0);
	listener = conn_listener(&self->peer, self->type, CONN_PORT, 1);
	sock_set(listener, SO_RCVBUF, 50000);
	fd = to_peer(self);
	peer = accept(listener, NULL, NULL);
	ASSERT_LE(0, peer);
	sock_set(fd, SO_SNDBUF, 50000);
	sent = fill(fd, 1000);
	EXPECT_GE(100000 + 100000 + 10000, sent);
	ASSERT_EQ(0, getsockopt(peer, SOL_SOCKET, SO_MEMINFO, info, &size));
	EXPECT_GE(info[SK_MEMINFO_RCVBUF] + 20000, info[SK_MEMINFO_RMEM_ALLOC]);
	/* It has time: its host answers. */
	usleep(TIMEOUT_MS * 2000);
	EXPECT_EQ(0, sock_get(fd, SO_ERROR));
	EXPECT_ERRNO(EAGAIN, send(fd, "x", 1, MSG_DONTWAIT));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(peer);
		_exit(send_all(fd, self->buf, 1000, 0) != 1000);
	}
	wait_asleep(pid);
	while (got < sent + 1000) {
		n = recv(peer, self->buf, sizeof(self->buf), 0);
		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_EQ(sent + 1000, got);
	EXPECT_EQ(0, ends(pid));
	close(fd);
	close(peer);
	close(listener);
	peer_vanish(self);
	host_free(&self->peer);
}

TEST_F(lifecycle, a_device_that_is_disabled_ends_its_connections)
{
	int fd, peer, listener, round;
	struct call call;

	for (round = 0; round < 4; round++) {
		hub_join(&self->hub, &self->peer, 0);
		listener = conn_listener(&self->peer, self->type, CONN_PORT, 2);
		fd = to_peer(self);
		peer = accept(listener, NULL, NULL);
		ASSERT_LE(0, peer);
		set_user_timeout(peer, TIMEOUT_MS);
		if (round & 1)
			fill(fd, 1000);
		set_timeout(fd, SO_RCVTIMEO, 0);
		call_start(&call, do_recv, fd);
		ASSERT_EQ(0, emt_disable(self->hub.ctl, self->hub.ifindex));
		EXPECT_EQ(-ENETDOWN, call_end(&call));
		EXPECT_NE(0, ready(fd) & POLLHUP);
		EXPECT_ERRNO(EPIPE, send(fd, "x", 1, MSG_NOSIGNAL));
		close(fd);
		ASSERT_EQ(0, emt_enable(self->hub.ctl, self->hub.ifindex));
		/* The other end learns it when it says something. */
		send(peer, "x", 1, MSG_NOSIGNAL);
		EXPECT_NE(0, wait_ready(peer, 0) & (POLLERR | POLLHUP));
		fd = to_peer(self);
		close(fd);
		close(peer);
		close(listener);
		peer_vanish(self);
		host_free(&self->peer);
	}
}

TEST_F(lifecycle, a_listener_outlives_a_device)
{
	int listener = conn_listener(&self->hub, self->type, CONN_PORT, 4);
	union conn_addr to;
	int fd, round;

	for (round = 0; round < 3; round++) {
		hub_join(&self->hub, &self->peer, 0);
		to = conn_addr(&self->peer, &self->hub, CONN_PORT);
		fd = conn_socket(&self->peer, self->type);
		set_user_timeout(fd, TIMEOUT_MS);
		ASSERT_EQ(0, conn_connect(fd, &to));
		/* One waits to be accepted while the device goes. */
		ASSERT_EQ(0, emt_disable(self->hub.ctl, self->hub.ifindex));
		ASSERT_EQ(0, emt_enable(self->hub.ctl, self->hub.ifindex));
		EXPECT_EQ(0, sock_get(listener, SO_ERROR));
		close(fd);
		fd = conn_socket(&self->peer, self->type);
		set_user_timeout(fd, TIMEOUT_MS);
		EXPECT_EQ(0, conn_connect(fd, &to));
		close(fd);
		set_nonblock(listener, true);
		while ((fd = accept(listener, NULL, NULL)) >= 0)
			close(fd);
		peer_vanish(self);
		host_free(&self->peer);
	}
	close(listener);
}

TEST_F(lifecycle, a_device_that_is_deleted_ends_its_connections)
{
	int fd[2], listener = conn_listener(&self->hub, self->type, CONN_PORT, 2), round;
	union conn_addr to;

	for (round = 0; round < 3; round++) {
		hub_join(&self->hub, &self->peer, 0);
		to = conn_addr(&self->peer, &self->hub, CONN_PORT);
		fd[1] = conn_socket(&self->peer, self->type);
		ASSERT_EQ(0, conn_connect(fd[1], &to));
		fd[0] = accept(listener, NULL, NULL);
		ASSERT_LE(0, fd[0]);
		set_user_timeout(fd[0], TIMEOUT_MS);
		fill(fd[round & 1], 1000);
		/* The peer's device, and the hub only loses sight of it. */
		netns_enter(self->peer.netns);
		link_del(EMT_DEV);
		EXPECT_NE(0, wait_ready(fd[1], 0) & POLLERR);
		EXPECT_EQ(ENETDOWN, sock_get(fd[1], SO_ERROR));
		close(fd[1]);
		close(fd[0]);
		host_free(&self->peer);
	}
	close(listener);
}

/* Sockets of the peer's in every state there is. */
static void every_state(struct _test_data_lifecycle *self, int listener)
{
	union conn_addr to = conn_addr(&self->peer, &self->hub, CONN_PORT);
	union conn_addr nobody = conn_addr(&self->peer, &self->peer, CONN_PORT);
	union conn_addr own = conn_addr(&self->peer, &self->peer, CONN_PORT + 1);
	int own_listener = conn_listener(&self->peer, self->type, CONN_PORT + 1, 1);
	int fd, i;

	nobody.emt.semt_addr[5] ^= 0x77;
	for (i = 0; i < 12; i++) {
		fd = conn_socket(&self->peer, self->type);
		set_user_timeout(fd, TIMEOUT_MS);
		if (i == 11) {
			/* Nobody answers it. */
			set_nonblock(fd, true);
			conn_connect(fd, &nobody);
			continue;
		}
		if (i >= 8) {
			/* To itself: accepted, waiting, and waiting for room. */
			set_nonblock(fd, true);
			conn_connect(fd, &own);
			if (i == 8 && accept(own_listener, NULL, NULL) < 0)
				die("accept");
			continue;
		}
		if (conn_connect(fd, &to))
			die("connect to the hub");
		if (i & 1)
			fill(fd, 1000);
		if (i & 2)
			shutdown(fd, SHUT_WR);
		if (i & 4)
			close(fd);
		else if (accept(listener, NULL, NULL) < 0)
			die("accept");
	}
}

TEST_F_TIMEOUT(lifecycle, a_namespace_goes_with_its_connections, 400)
{
	int listener = conn_listener(&self->hub, self->type, CONN_PORT, 100), round, mark;
	char name[16];

	for (round = 0; round < ROUNDS; round++) {
		mark = dup(0);
		close(mark);
		hub_join(&self->hub, &self->peer, round);
		every_state(self, listener);
		netns_enter(self->hub.netns);
		/* Some together with the wire, and some with it still there. */
		if (round & 1) {
			snprintf(name, sizeof(name), "port%d", round);
			link_del(name);
		}
		syscall(SYS_close_range, mark, ~0U, 0);
	}
	close(listener);
}

TEST_F(lifecycle, the_hub_goes_with_its_connections)
{
	struct host hub;
	int round, listener;

	for (round = 0; round < ROUNDS; round++) {
		int mark = dup(0);

		close(mark);
		hub = self->hub;
		hub_new(&self->hub);
		hub_join(&self->hub, &self->peer, round);
		listener = conn_listener(&self->hub, self->type, CONN_PORT, 100);
		every_state(self, listener);
		netns_enter(self->home);
		syscall(SYS_close_range, mark, ~0U, 0);
		self->hub = hub;
	}
}

TEST_F(lifecycle, who_is_killed_has_closed)
{
	int listener = conn_listener(&self->hub, self->type, CONN_PORT, 8), fd, i, n;
	union conn_addr to;
	pid_t pid;

	hub_join(&self->hub, &self->peer, 0);
	to = conn_addr(&self->peer, &self->hub, CONN_PORT);
	for (i = 0; i < 4; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(listener);
			fd = conn_socket(&self->peer, self->type);
			if (conn_connect(fd, &to) || send(fd, "hello", 5, 0) != 5)
				_exit(1);
			/* In the middle of something. */
			if (i & 1)
				do_send_much(fd);
			do_recv(fd);
			pause();
		}
		fd = accept(listener, NULL, NULL);
		ASSERT_LE(0, fd);
		set_timeout(fd, SO_RCVTIMEO, EMT_WAIT_S * 1000);
		ASSERT_EQ(5, recv(fd, self->buf, 5, 0));
		/* With bytes that it has not read, or none. */
		if (i & 2)
			ASSERT_EQ(3, send(fd, "hey", 3, 0));
		wait_asleep(pid);
		peer_kill(pid);
		do {
			n = recv(fd, self->buf, sizeof(self->buf), 0);
		} while (n > 0);
		EXPECT_EQ(true, !n || errno == ECONNRESET) {
			TH_LOG("%s", strerror(errno));
		}
		close(fd);
	}
	/* Who is killed while it connects is no matter to the listener. */
	for (i = 0; i < 20; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			for (;;)
				conn_connect(conn_socket(&self->peer, self->type), &to);
		}
		usleep(5000);
		peer_kill(pid);
		set_nonblock(listener, true);
		do {
			usleep(1000);
			while ((fd = accept(listener, NULL, NULL)) >= 0)
				close(fd);
		} while (ready(listener));
	}
	set_nonblock(listener, false);
	fd = conn_socket(&self->peer, self->type);
	EXPECT_EQ(0, conn_connect(fd, &to));
	close(fd);
	close(listener);
	peer_vanish(self);
	host_free(&self->peer);
}

TEST_HARNESS_MAIN
