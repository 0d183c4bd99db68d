// SPDX-License-Identifier: GPL-2.0
/*
 * Connections among processes and threads: shared, passed on, closed by one
 * while another waits; signals; and the ways in and out that are not send and
 * receive.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "emt_test.h"
#include "emt_conn.h"

#define MUCH	200000

FIXTURE(process)
{
	struct conn c;
	int a, b;	/* both ends; a is host 1's */
	unsigned char out[MUCH], in[MUCH];
};

FIXTURE_VARIANT(process)
{
	int type;
};

FIXTURE_VARIANT_ADD(process, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(process, seqpacket) { .type = SOCK_SEQPACKET };

FIXTURE_SETUP(process)
{
	REQUIRE_CONN(variant->type);
	conn_begin_connected(&self->c, variant->type);
	use_all_cpus();
	self->a = self->c.fd[1];
	self->b = self->c.fd[0];
	pattern_at(self->out, MUCH, 0, 1);
}

FIXTURE_TEARDOWN(process)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

static void nothing(int sig)
{
	(void)sig;
}

TEST_F(process, a_connection_lasts_as_long_as_anybody_has_it)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->b);
		if (recv(self->a, self->in, 10, 0) != 2 || send(self->a, "bye", 3, 0) != 3)
			_exit(1);
		_exit(0);
	}
	close(self->a);
	ASSERT_EQ(2, send(self->b, "hi", 2, 0));
	EXPECT_EQ(3, recv(self->b, self->in, 10, 0));
	EXPECT_EQ(0, ends(pid));
	EXPECT_EQ(0, recv(self->b, self->in, 10, 0));
}

TEST_F(process, shutdown_is_for_all_who_have_it)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, ends(pid));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(0, recv(self->b, self->in, 10, 0));
}

TEST_F(process, a_duplicate_is_the_same_socket)
{
	int fd = dup(self->a);

	ASSERT_LE(0, fd);
	close(self->a);
	ASSERT_EQ(2, send(fd, "hi", 2, 0));
	EXPECT_EQ(2, recv(self->b, self->in, 10, 0));
	close(fd);
	EXPECT_EQ(0, recv(self->b, self->in, 10, 0));
}

/* Four processes write at once; no record is torn, and no byte is lost. */
TEST_F(process, processes_write_to_the_same_socket)
{
	enum { WRITERS = 4, UNITS = 300, SIZE = 500 };
	unsigned int count[WRITERS] = { 0 }, i, k, w;
	pid_t pid[WRITERS];

	for (w = 0; w < WRITERS; w++) {
		pid[w] = fork();
		ASSERT_LE(0, pid[w]);
		if (pid[w])
			continue;
		memset(self->out, w, SIZE);
		for (i = 0; i < UNITS; i++)
			if (send(self->a, self->out, SIZE, 0) != SIZE)
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < WRITERS * UNITS; i++) {
		ASSERT_EQ(SIZE, recv_all(self->b, self->in, SIZE));
		for (k = 0; k < SIZE; k++) {
			w = self->in[k];
			ASSERT_GT(WRITERS, w);
			if (variant->type == SOCK_SEQPACKET)
				ASSERT_EQ(self->in[0], w);
			count[w]++;
		}
	}
	for (w = 0; w < WRITERS; w++) {
		EXPECT_EQ(0, ends(pid[w]));
		EXPECT_EQ(UNITS * SIZE, count[w]);
	}
}

/* Each byte or record goes to one of those who read. */
TEST_F(process, processes_read_from_the_same_socket)
{
	enum { READERS = 4, TOTAL = 4000 };
	unsigned int sum = 0, i, r;
	int result[2], part, n;
	pid_t pid[READERS];

	ASSERT_EQ(0, pipe(result));
	for (r = 0; r < READERS; r++) {
		pid[r] = fork();
		ASSERT_LE(0, pid[r]);
		if (pid[r])
			continue;
		part = 0;
		while ((n = recv(self->b, self->in, 7, 0)) > 0)
			part += n;
		_exit(write(result[1], &part, sizeof(part)) != sizeof(part));
	}
	for (i = 0; i < TOTAL; i++)
		ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	for (r = 0; r < READERS; r++) {
		ASSERT_EQ(sizeof(part), read(result[0], &part, sizeof(part)));
		sum += part;
		EXPECT_EQ(0, ends(pid[r]));
	}
	EXPECT_EQ(TOTAL, sum);
}

TEST_F(process, processes_accept_from_the_same_listener)
{
	enum { SERVERS = 4, CLIENTS = 40 };
	pid_t pid[SERVERS];
	int i, fd;

	for (i = 0; i < SERVERS; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		for (;;) {
			fd = accept(self->c.listener, NULL, NULL);
			if (fd < 0 || recv(fd, self->in, 1, 0) != 1)
				_exit(1);
			if (self->in[0] == 'q')
				_exit(0);
			send(fd, self->in, 1, 0);
			close(fd);
		}
	}
	for (i = 0; i < CLIENTS; i++) {
		fd = conn_client(&self->c);
		ASSERT_EQ(1, send(fd, "x", 1, 0));
		ASSERT_EQ(1, recv(fd, self->in, 1, 0));
		close(fd);
	}
	for (i = 0; i < SERVERS; i++)
		ASSERT_EQ(1, send(conn_client(&self->c), "q", 1, 0));
	for (i = 0; i < SERVERS; i++)
		EXPECT_EQ(0, ends(pid[i]));
}

static void pass_fd(int unix_fd, int fd)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { "f", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	control.hdr.cmsg_level = SOL_SOCKET;
	control.hdr.cmsg_type = SCM_RIGHTS;
	control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(int));
	if (sendmsg(unix_fd, &msg, 0) != 1)
		die("passing a file descriptor");
}

static int take_fd(int unix_fd)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(unix_fd, &msg, 0) != 1 || control.hdr.cmsg_type != SCM_RIGHTS)
		die("taking a file descriptor");
	memcpy(&fd, CMSG_DATA(&control.hdr), sizeof(int));
	return fd;
}

TEST_F(process, a_socket_is_passed_to_another_process)
{
	int pair[2], client, fd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		SKIP(return, "no AF_UNIX: %s", strerror(errno));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* What it has is what it is given. */
		close(self->a);
		close(self->b);
		close(self->c.listener);
		close(pair[0]);
		fd = take_fd(pair[1]);
		if (recv(fd, self->in, 10, 0) != 2 || send(fd, "ok", 2, 0) != 2)
			_exit(1);
		close(fd);
		fd = accept(take_fd(pair[1]), NULL, NULL);
		_exit(fd < 0 || send(fd, "and", 3, 0) != 3);
	}
	pass_fd(pair[0], self->b);
	close(self->b);
	ASSERT_EQ(2, send(self->a, "hi", 2, 0));
	EXPECT_EQ(2, recv(self->a, self->in, 10, 0));
	EXPECT_EQ(0, recv(self->a, self->in, 10, 0));
	pass_fd(pair[0], self->c.listener);
	close(self->c.listener);
	client = conn_client(&self->c);
	EXPECT_EQ(3, recv(client, self->in, 10, 0));
	EXPECT_EQ(0, ends(pid));
}

TEST_F(process, a_socket_in_flight_that_nobody_takes_is_closed)
{
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pass_fd(pair[0], self->b);
	close(self->b);
	ASSERT_EQ(2, send(self->a, "hi", 2, 0));
	EXPECT_ERRNO(EAGAIN, recv(self->a, self->in, 1, MSG_DONTWAIT));
	close(pair[1]);
	close(pair[0]);
	/* With bytes unread. */
	EXPECT_ERRNO(ECONNRESET, recv(self->a, self->in, 1, 0));
}

TEST_F(process, who_waits_keeps_what_another_thread_closes)
{
	struct call call;
	int fd;

	set_timeout(self->b, SO_RCVTIMEO, 0);
	call_start(&call, do_recv, self->b);
	close(self->b);
	EXPECT_EQ(true, call_waits(&call));
	ASSERT_EQ(2, send(self->a, "hi", 2, 0));
	EXPECT_EQ(2, call_end(&call));
	/* With that call it has ended. */
	EXPECT_EQ(0, recv(self->a, self->in, 10, 0));

	set_timeout(self->c.listener, SO_RCVTIMEO, 0);
	call_start(&call, do_accept, self->c.listener);
	close(self->c.listener);
	fd = conn_client(&self->c);
	EXPECT_LE(0, call_end(&call));
	close(fd);
}

TEST_F(process, a_blocked_writer_keeps_what_another_thread_closes)
{
	struct call call;
	long n, got = 0;

	call_start(&call, do_send_much, self->a);
	EXPECT_EQ(true, call_waits(&call));
	close(self->a);
	/* It goes on to the end of the call it was in; the next finds nothing. */
	while ((n = recv(self->b, self->in, MUCH, 0)) > 0)
		got += n;
	EXPECT_EQ(0, n);
	EXPECT_EQ(0, got % 65536);
	EXPECT_EQ(-EBADF, call_end(&call));
}

TEST_F(process, a_signal_interrupts)
{
	struct sigaction act = { .sa_handler = nothing };
	struct call call;

	sigaction(SIGUSR1, &act, NULL);
	set_timeout(self->b, SO_RCVTIMEO, 0);
	call_start(&call, do_recv, self->b);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(-EINTR, call_end(&call));
	set_timeout(self->c.listener, SO_RCVTIMEO, 0);
	call_start(&call, do_accept, self->c.listener);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(-EINTR, call_end(&call));
	/* None of that has cost anything. */
	ASSERT_EQ(2, send(self->a, "hi", 2, 0));
	EXPECT_EQ(2, recv(self->b, self->in, 10, 0));
	conn_pair(&self->c, self->c.fd);
}

TEST_F(process, a_signal_restarts_what_is_to_be_restarted)
{
	struct sigaction act = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	struct call call;

	sigaction(SIGUSR1, &act, NULL);
	set_timeout(self->b, SO_RCVTIMEO, 0);
	call_start(&call, do_recv, self->b);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(true, call_waits(&call));
	ASSERT_EQ(2, send(self->a, "hi", 2, 0));
	EXPECT_EQ(2, call_end(&call));
	set_timeout(self->c.listener, SO_RCVTIMEO, 0);
	call_start(&call, do_accept, self->c.listener);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(true, call_waits(&call));
	conn_client(&self->c);
	EXPECT_LE(0, call_end(&call));
	/* With a time limit it cannot be. */
	set_timeout(self->b, SO_RCVTIMEO, EMT_WAIT_S * 1000);
	call_start(&call, do_recv, self->b);
	pthread_kill(call.thread, SIGUSR1);
	EXPECT_EQ(-EINTR, call_end(&call));
}

TEST_F(process, read_and_write_are_ways_in_and_out)
{
	struct iovec iov = { self->in, MUCH };

	ASSERT_EQ(1000, write(self->a, self->out, 1000));
	ASSERT_EQ(1000, read(self->b, self->in, MUCH));
	EXPECT_EQ(0, memcmp(self->in, self->out, 1000));
	ASSERT_EQ(1000, write(self->a, self->out, 1000));
	ASSERT_EQ(1000, readv(self->b, &iov, 1));
	/* There are no places in it. */
	EXPECT_ERRNO(ESPIPE, pread(self->b, self->in, 10, 0));
	EXPECT_ERRNO(ESPIPE, lseek(self->b, 0, SEEK_SET));
}

/* A file in memory with the pattern in it. */
static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("emt", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))
		die("memfd of %zu bytes", len);
	return fd;
}

TEST_F(process, a_file_is_sent)
{
	int file = file_of(self->out, MUCH), n;
	off_t off = 0;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		while (off < MUCH) {
			n = sendfile(self->a, file, &off, MUCH - off);
			if (n <= 0)
				_exit(1);
		}
		_exit(0);
	}
	ASSERT_EQ(MUCH, recv_all(self->b, self->in, MUCH));
	EXPECT_EQ(0, memcmp(self->in, self->out, MUCH));
	EXPECT_EQ(0, ends(pid));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->in, 1, MSG_DONTWAIT));
}

TEST_F(process, pipes_are_spliced_in_and_out)
{
	int in[2], out[2], n, got;

	ASSERT_EQ(0, pipe(in));
	ASSERT_EQ(0, pipe(out));
	ASSERT_EQ(30000, write(in[1], self->out, 30000));
	for (n = 30000; n > 0; n -= got) {
		got = splice(in[0], NULL, self->a, NULL, n, 0);
		ASSERT_LT(0, got);
	}
	got = 0;
	while (got < 30000) {
		n = splice(self->b, NULL, out[1], NULL, 30000 - got, 0);
		ASSERT_LT(0, n) {
			TH_LOG("after %d bytes: %s", got, strerror(errno));
		}
		ASSERT_EQ(n, read(out[0], self->in + got, n));
		got += n;
	}
	EXPECT_EQ(0, memcmp(self->in, self->out, 30000));
	set_nonblock(self->b, true);
	EXPECT_ERRNO(EAGAIN, splice(self->b, NULL, out[1], NULL, 1, 0));
	set_nonblock(self->b, false);
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, splice(self->b, NULL, out[1], NULL, 100, 0));
}

TEST_F(process, many_messages_in_one_call)
{
	struct mmsghdr out[5], in[8];
	struct iovec iov[8];
	int i, n, sum = 0;

	memset(out, 0, sizeof(out));
	memset(in, 0, sizeof(in));
	for (i = 0; i < 5; i++) {
		iov[i] = (struct iovec){ self->out + 100 * i, 100 };
		out[i].msg_hdr.msg_iov = &iov[i];
		out[i].msg_hdr.msg_iovlen = 1;
	}
	ASSERT_EQ(5, sendmmsg(self->a, out, 5, 0));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(100, out[i].msg_len);
	if (conn_family != AF_UNIX)
		ASSERT_EQ(true, wait_inq(self->b, 500));
	for (i = 0; i < 8; i++) {
		iov[i] = (struct iovec){ self->in + 100 * i, 100 };
		in[i].msg_hdr.msg_iov = &iov[i];
		in[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(self->b, in, 8, MSG_DONTWAIT, NULL);
	ASSERT_EQ(5, n);
	for (i = 0; i < n; i++)
		sum += in[i].msg_len;
	EXPECT_EQ(500, sum);
	EXPECT_EQ(0, memcmp(self->in, self->out, 500));
}

TEST_HARNESS_MAIN
