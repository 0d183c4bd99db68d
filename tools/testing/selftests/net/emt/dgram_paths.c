// SPDX-License-Identifier: GPL-2.0
/* The ways into a socket other than send and receive: sendfile, splice, io_uring. */
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include <linux/io_uring.h>

#include "emt_test.h"

FIXTURE(paths)
{
	struct host h[2];
	int a, b;	/* a is connected to b, port 5000 */
	unsigned char out[10000], in[10000];
};

FIXTURE_SETUP(paths)
{
	struct sockaddr_emt to;

	REQUIRE_EMT();
	hosts_enabled(self->h, 9000);
	self->a = emt_socket(&self->h[0]);
	self->b = emt_bound(&self->h[1], 0, 5000);
	to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
	ASSERT_EQ(0, emt_connect(self->a, &to));
	pattern(self->out, sizeof(self->out), 1);
}

FIXTURE_TEARDOWN(paths)
{
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* A file in memory with @len bytes of @data. */
static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("emt", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))
		die("memfd of %zu bytes", len);
	return fd;
}

TEST_F(paths, sendfile_sends_the_file)
{
	int file = file_of(self->out, 4000);
	off_t off = 100;

	ASSERT_EQ(3000, sendfile(self->a, file, &off, 3000));
	EXPECT_EQ(3100, off);
	ASSERT_EQ(3000, emt_recv(self->b, self->in, sizeof(self->in), 0));
	EXPECT_EQ(0, memcmp(self->in, self->out + 100, 3000));
	close(file);
}

TEST_F(paths, sendfile_in_steps_sends_a_long_file)
{
	size_t want = sizeof(self->out), len = 0;
	int file = file_of(self->out, want), n;

	/* At once it would be one datagram, which is too long. */
	EXPECT_ERRNO(EMSGSIZE, sendfile(self->a, file, NULL, want));
	ASSERT_EQ(0, lseek(file, 0, SEEK_SET));
	while ((n = sendfile(self->a, file, NULL, 3000)) > 0) {
		ASSERT_EQ(n, emt_recv(self->b, self->in + len, want - len, 0));
		len += n;
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(want, len);
	EXPECT_EQ(0, memcmp(self->in, self->out, want));
	close(file);
}

TEST_F(paths, splice_moves_a_pipe_into_the_socket)
{
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(1000, write(fds[1], self->out, 1000));
	ASSERT_EQ(1000, splice(fds[0], NULL, self->a, NULL, 1000, 0));
	ASSERT_EQ(1000, emt_recv(self->b, self->in, sizeof(self->in), 0));
	EXPECT_EQ(0, memcmp(self->in, self->out, 1000));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(paths, splice_into_a_socket_without_peer_fails)
{
	int fd = emt_socket(&self->h[0]), fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(10, write(fds[1], self->out, 10));
	EXPECT_ERRNO(EDESTADDRREQ, splice(fds[0], NULL, fd, NULL, 10, 0));
	close(fds[0]);
	close(fds[1]);
	close(fd);
}

TEST_F(paths, splice_from_the_socket_works_or_says_it_does_not)
{
	int fds[2], n;

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(700, send(self->a, self->out, 700, 0));
	n = splice(self->b, NULL, fds[1], NULL, 4096, SPLICE_F_NONBLOCK);
	if (n < 0) {
		EXPECT_EQ(EINVAL, errno);
	} else {
		EXPECT_EQ(700, n);
		ASSERT_EQ(700, read(fds[0], self->in, sizeof(self->in)));
		EXPECT_EQ(0, memcmp(self->in, self->out, 700));
	}
	close(fds[0]);
	close(fds[1]);
}

/* A ring with room for a few requests, used one batch at a time. */
struct ring {
	int fd;
	struct io_uring_params p;
	unsigned char *sq, *cq;
	struct io_uring_sqe *sqes;
};

static bool ring_open(struct ring *r)
{
	size_t cq_len, sq_len;

	memset(r, 0, sizeof(*r));
	r->fd = syscall(__NR_io_uring_setup, 8, &r->p);
	if (r->fd < 0)
		return false;
	sq_len = r->p.sq_off.array + r->p.sq_entries * sizeof(__u32);
	cq_len = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->sq = mmap(NULL, sq_len, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		     IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, cq_len, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		     IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE,
		       MAP_SHARED, r->fd, IORING_OFF_SQES);
	if (r->sq == MAP_FAILED || r->cq == MAP_FAILED || (void *)r->sqes == MAP_FAILED)
		die("mmap of an io_uring");
	return true;
}

/* Queues one request; @user comes back with its result. */
static void ring_submit(struct ring *r, int op, int fd, const void *addr, int len, int user)
{
	__u32 *tail = (__u32 *)(r->sq + r->p.sq_off.tail);
	__u32 mask = *(__u32 *)(r->sq + r->p.sq_off.ring_mask);
	__u32 slot = *tail & mask;

	memset(&r->sqes[slot], 0, sizeof(r->sqes[slot]));
	r->sqes[slot].opcode = op;
	r->sqes[slot].fd = fd;
	r->sqes[slot].addr = (uintptr_t)addr;
	r->sqes[slot].len = len;
	r->sqes[slot].user_data = user;
	((__u32 *)(r->sq + r->p.sq_off.array))[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) != 1)
		die("io_uring_enter");
}

/* Waits for one result. */
static int ring_result(struct ring *r, int *user)
{
	__u32 *head = (__u32 *)(r->cq + r->p.cq_off.head);
	__u32 mask = *(__u32 *)(r->cq + r->p.cq_off.ring_mask);
	struct io_uring_cqe *cqe;
	int res;

	if (syscall(__NR_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		die("io_uring_enter");
	cqe = (struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes) + (*head & mask);
	*user = cqe->user_data;
	res = cqe->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

TEST_F(paths, io_uring_receives_what_was_not_there_yet)
{
	struct ring r;
	int user, i;

	if (!ring_open(&r))
		SKIP(return, "io_uring_setup: %s (CONFIG_IO_URING)", strerror(errno));

	/* The receive waits; the send completes first and wakes it. */
	ring_submit(&r, IORING_OP_RECV, self->b, self->in, sizeof(self->in), 1);
	ring_submit(&r, IORING_OP_SEND, self->a, self->out, 500, 2);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(500, ring_result(&r, &user)) {
			TH_LOG("of the %s", user == 1 ? "receive" : "send");
		}
	}
	EXPECT_EQ(0, memcmp(self->in, self->out, 500));
	close(r.fd);
}

TEST_F(paths, io_uring_reports_the_sockets_errors)
{
	int fd = emt_socket(&self->h[0]), user;
	struct ring r;

	if (!ring_open(&r))
		SKIP(return, "io_uring_setup: %s (CONFIG_IO_URING)", strerror(errno));
	ring_submit(&r, IORING_OP_SEND, fd, self->out, 10, 1);
	EXPECT_EQ(-EDESTADDRREQ, ring_result(&r, &user));
	ring_submit(&r, IORING_OP_SEND, self->a, self->out, EMT_MAX_DGRAM(9000) + 1, 1);
	EXPECT_EQ(-EMSGSIZE, ring_result(&r, &user));
	close(r.fd);
	close(fd);
}

TEST_HARNESS_MAIN
