// SPDX-License-Identifier: GPL-2.0
/* Sending and receiving EMT datagrams: boundaries, sizes, flags, calls. */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#include <linux/sockios.h>

#include "emt_test.h"

#define LO		1	/* the loopback's index in every namespace */
#define UNMAPPED	((void *)8)

/* b, bound to port 5000, and a, connected to it: across a wire or the loopback. */
FIXTURE(io)
{
	struct host h[2];
	int a, b;
	struct sockaddr_emt to;		/* b as a sees it */
	struct sockaddr_emt from;	/* a as b sees it */
	int max;
};

FIXTURE_VARIANT(io)
{
	int mtu;	/* of the wire; 0 for the loopback */
};

FIXTURE_VARIANT_ADD(io, wire) { .mtu = 1500 };
FIXTURE_VARIANT_ADD(io, jumbo) { .mtu = 9000 };
FIXTURE_VARIANT_ADD(io, loopback) { .mtu = 0 };

FIXTURE_SETUP(io)
{
	REQUIRE_EMT();
	hosts_enabled(self->h, variant->mtu ?: 1500);
	if (variant->mtu) {
		self->a = emt_bound(&self->h[0], 0, 6000);
		self->b = emt_bound(&self->h[1], 0, 5000);
		self->to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
		self->from = emt_addr(self->h[1].ifindex, self->h[0].mac, 6000);
		self->max = EMT_MAX_DGRAM(variant->mtu);
	} else {
		self->a = emt_bound(&self->h[0], 0, 6000);
		self->b = emt_bound(&self->h[0], 0, 5000);
		self->to = emt_addr(LO, emt_zero, 5000);
		self->from = emt_addr(LO, emt_zero, 6000);
		self->max = EMT_MAX_DGRAM_LO;
	}
	ASSERT_EQ(0, emt_connect(self->a, &self->to));
}

FIXTURE_TEARDOWN(io)
{
	close(self->a);
	close(self->b);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* Sends @len patterned bytes and expects to receive just these. */
static bool crosses(int a, int b, int len)
{
	static unsigned char out[65536], in[65536];
	int n;

	pattern(out, len, len);
	n = send(a, out, len, 0);
	if (n != len) {
		fprintf(stderr, "# send of %d: %d, %s\n", len, n, strerror(errno));
		return false;
	}
	memset(in, 0xaa, len + 1);
	n = recv(b, in, sizeof(in), 0);
	if (n != len) {
		fprintf(stderr, "# recv of %d: %d, %s\n", len, n, strerror(errno));
		return false;
	}
	return !memcmp(in, out, len) && in[len] == 0xaa;
}

TEST_F(io, datagrams_of_every_size_arrive_whole)
{
	static const int around[] = { 128, 256, 512, 1024, 1488, 2048, 4096, 8192, 16384, 32768 };
	int i, len;

	/* Every length around where Ethernet's padding ends. */
	for (len = 0; len <= 66; len++)
		ASSERT_EQ(true, crosses(self->a, self->b, len));
	for (i = 0; i < ARRAY_SIZE(around); i++)
		for (len = around[i] - 1; len <= around[i] + 1; len++)
			if (len <= self->max)
				ASSERT_EQ(true, crosses(self->a, self->b, len));
	for (len = self->max - 3; len <= self->max; len++)
		ASSERT_EQ(true, crosses(self->a, self->b, len));
}

TEST_F(io, datagrams_that_do_not_fit_the_device_are_refused)
{
	static unsigned char buf[1 << 17];

	EXPECT_ERRNO(EMSGSIZE, send(self->a, buf, self->max + 1, 0));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, buf, 65535, 0));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, buf, 65536, 0));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, buf, 65536 + 100, 0));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, buf, sizeof(buf), 0));
	EXPECT_EQ(true, crosses(self->a, self->b, self->max));
}

TEST_F(io, boundaries_and_order_are_kept)
{
	char buf[64];
	int i;

	for (i = 1; i <= 40; i++) {
		pattern(buf, i, i);
		ASSERT_EQ(i, send(self->a, buf, i, 0));
	}
	for (i = 1; i <= 40; i++) {
		char want[64];

		pattern(want, i, i);
		ASSERT_EQ(i, emt_recv(self->b, buf, sizeof(buf), 0));
		EXPECT_EQ(0, memcmp(buf, want, i));
	}
}

TEST_F(io, source_is_told_in_full)
{
	unsigned char name[128], fresh[128];
	socklen_t len = sizeof(name);
	char buf[8];

	memset(fresh, 0xaa, sizeof(fresh));
	memset(name, 0xaa, sizeof(name));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	ASSERT_EQ(1, recvfrom(self->b, buf, sizeof(buf), 0, (void *)name, &len));
	EXPECT_EQ(sizeof(self->from), len);
	EXPECT_EQ(0, memcmp(name, &self->from, sizeof(self->from)));
	EXPECT_EQ(0, memcmp(name + len, fresh, sizeof(name) - len));

	/* As it came, it is where to answer. */
	ASSERT_EQ(3, sendto(self->b, "yes", 3, 0, (void *)name, len));
	EXPECT_EQ(3, emt_recv(self->a, buf, sizeof(buf), 0));
}

TEST_F(io, source_is_told_as_far_as_there_is_room)
{
	unsigned char name[32], fresh[32];
	socklen_t len, room;
	char buf[8];

	memset(fresh, 0xaa, sizeof(fresh));
	for (room = 0; room < sizeof(self->from); room++) {
		memset(name, 0xaa, sizeof(name));
		len = room;
		ASSERT_EQ(1, send(self->a, "x", 1, 0));
		ASSERT_EQ(1, recvfrom(self->b, buf, sizeof(buf), 0, (void *)name, &len));
		EXPECT_EQ(sizeof(self->from), len);
		EXPECT_EQ(0, memcmp(name, &self->from, room));
		EXPECT_EQ(0, memcmp(name + room, fresh, sizeof(name) - room));
	}
}

TEST_F(io, too_short_a_buffer_loses_the_rest_and_says_so)
{
	char buf[16];
	struct iovec iov = { buf, 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	ASSERT_EQ(10, send(self->a, "0123456789", 10, 0));
	ASSERT_EQ(3, send(self->a, "end", 3, 0));
	memset(buf, 0xaa, sizeof(buf));
	EXPECT_EQ(4, recvmsg(self->b, &msg, 0));
	EXPECT_EQ(MSG_TRUNC, msg.msg_flags);
	EXPECT_EQ(0, memcmp(buf, "0123", 4));
	EXPECT_EQ((char)0xaa, buf[4]);
	EXPECT_EQ(3, recvmsg(self->b, &msg, 0));
	EXPECT_EQ(0, msg.msg_flags);

	ASSERT_EQ(10, send(self->a, "0123456789", 10, 0));
	EXPECT_EQ(10, recvmsg(self->b, &msg, MSG_TRUNC));
	EXPECT_EQ(MSG_TRUNC, msg.msg_flags & MSG_TRUNC);
	ASSERT_EQ(10, send(self->a, "0123456789", 10, 0));
	EXPECT_EQ(10, emt_recv(self->b, NULL, 0, MSG_TRUNC));
	ASSERT_EQ(10, send(self->a, "0123456789", 10, 0));
	EXPECT_EQ(0, emt_recv(self->b, NULL, 0, 0));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_F(io, empty_datagrams_are_datagrams)
{
	struct sockaddr_emt from;
	socklen_t len = sizeof(from);
	char buf[4];

	ASSERT_EQ(0, send(self->a, NULL, 0, 0));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(0, recvfrom(self->b, buf, sizeof(buf), 0, (void *)&from, &len));
	EXPECT_EQ(0, memcmp(&from, &self->from, sizeof(from)));
	EXPECT_EQ(1, emt_recv(self->b, buf, sizeof(buf), 0));
}

TEST_F(io, peeking_leaves_the_datagram)
{
	char buf[16];

	ASSERT_EQ(5, send(self->a, "first", 5, 0));
	ASSERT_EQ(6, send(self->a, "second", 6, 0));
	EXPECT_EQ(5, emt_recv(self->b, buf, sizeof(buf), MSG_PEEK));
	EXPECT_EQ(2, emt_recv(self->b, buf, 2, MSG_PEEK));
	EXPECT_EQ(5, emt_recv(self->b, buf, 2, MSG_PEEK | MSG_TRUNC));
	EXPECT_EQ(5, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp(buf, "first", 5));
	EXPECT_EQ(6, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
	EXPECT_ERRNO(EOPNOTSUPP, setsockopt(self->b, SOL_SOCKET, SO_PEEK_OFF,
					    &(int){ 1 }, sizeof(int)));
}

TEST_F(io, waiting_for_all_ends_with_the_datagram)
{
	char buf[16];

	ASSERT_EQ(5, send(self->a, "first", 5, 0));
	ASSERT_EQ(6, send(self->a, "second", 6, 0));
	EXPECT_EQ(5, emt_recv(self->b, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_EQ(6, emt_recv(self->b, buf, sizeof(buf), MSG_WAITALL));
}

TEST_F(io, out_of_band_data_does_not_exist)
{
	char buf[4];

	EXPECT_EQ(-EOPNOTSUPP, emt_sendto(self->a, "x", 1, MSG_OOB, NULL));
	EXPECT_EQ(-EOPNOTSUPP, emt_recv(self->b, buf, sizeof(buf), MSG_OOB));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_F(io, nothing_to_receive_is_eagain_without_waiting)
{
	char buf[4];

	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_ERRQUEUE));
	ASSERT_EQ(0, fcntl(self->b, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), 0));
}

TEST_F(io, vectors_are_gathered_and_scattered)
{
	char one[3] = "abc", two[1] = "d", in[5], in2[8];
	struct iovec out[4] = { { one, 3 }, { NULL, 0 }, { two, 1 }, { one, 2 } };
	struct iovec into[2] = { { in, 5 }, { in2, 8 } };

	ASSERT_EQ(6, writev(self->a, out, 4));
	ASSERT_EQ(6, readv(self->b, into, 2));
	EXPECT_EQ(0, memcmp(in, "abcda", 5));
	EXPECT_EQ('b', in2[0]);
}

TEST_F(io, read_and_write_work_as_on_any_file)
{
	char buf[8];

	ASSERT_EQ(5, write(self->a, "hello", 5));
	ASSERT_EQ(0, write(self->a, "", 0));
	EXPECT_EQ(5, read(self->b, buf, sizeof(buf)));
	EXPECT_EQ(0, read(self->b, buf, sizeof(buf)));
	EXPECT_ERRNO(ESPIPE, pread(self->b, buf, 1, 0));
	EXPECT_ERRNO(ESPIPE, lseek(self->b, 0, SEEK_SET));
}

#define BATCH 10

TEST_F(io, many_messages_go_with_one_call)
{
	struct mmsghdr out[BATCH + 1] = { 0 }, in[BATCH + 5] = { 0 };
	struct iovec oiov[BATCH + 1], iiov[BATCH + 5];
	char obuf[BATCH + 1][16], ibuf[BATCH + 5][16];
	struct sockaddr_emt bad = self->to;
	int i;

	for (i = 0; i <= BATCH; i++) {
		pattern(obuf[i], sizeof(obuf[i]), i);
		oiov[i] = (struct iovec){ obuf[i], i };
		out[i].msg_hdr.msg_iov = &oiov[i];
		out[i].msg_hdr.msg_iovlen = 1;
	}
	/* The last has an address that is refused: the others count. */
	bad.semt_port = 0;
	out[BATCH].msg_hdr.msg_name = &bad;
	out[BATCH].msg_hdr.msg_namelen = sizeof(bad);
	ASSERT_EQ(BATCH, sendmmsg(self->a, out, BATCH + 1, 0));
	for (i = 0; i < BATCH; i++)
		EXPECT_EQ(i, out[i].msg_len);
	EXPECT_ERRNO(EINVAL, sendmmsg(self->a, out + BATCH, 1, 0));

	for (i = 0; i < BATCH + 5; i++) {
		iiov[i] = (struct iovec){ ibuf[i], sizeof(ibuf[i]) };
		in[i].msg_hdr.msg_iov = &iiov[i];
		in[i].msg_hdr.msg_iovlen = 1;
	}
	ASSERT_EQ(BATCH, recvmmsg(self->b, in, BATCH + 5, MSG_DONTWAIT, NULL));
	for (i = 0; i < BATCH; i++) {
		EXPECT_EQ(i, in[i].msg_len);
		EXPECT_EQ(0, memcmp(obuf[i], ibuf[i], i));
	}
}

TEST_F(io, sending_from_unmapped_memory_sends_nothing)
{
	struct iovec iov[2] = { { "abc", 3 }, { UNMAPPED, 4 } };
	char buf[8];

	EXPECT_ERRNO(EFAULT, send(self->a, UNMAPPED, 100, 0));
	EXPECT_ERRNO(EFAULT, writev(self->a, iov, 2));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(true, crosses(self->a, self->b, 100));
}

TEST_F(io, receiving_into_unmapped_memory_loses_the_datagram)
{
	socklen_t len = sizeof(self->from);
	char buf[8];

	ASSERT_EQ(3, send(self->a, "one", 3, 0));
	ASSERT_EQ(4, send(self->a, "four", 4, 0));
	EXPECT_ERRNO(EFAULT, recv(self->b, UNMAPPED, 100, MSG_PEEK));
	EXPECT_ERRNO(EFAULT, recv(self->b, UNMAPPED, 100, 0));
	EXPECT_ERRNO(EFAULT, recvfrom(self->b, buf, sizeof(buf), 0, UNMAPPED, &len));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(true, crosses(self->a, self->b, 100));
}

TEST_F(io, receiving_gives_up_after_its_timeout)
{
	struct timeval tv = { .tv_usec = 200000 };
	double start = seconds();
	char buf[4];

	ASSERT_EQ(0, setsockopt(self->b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	EXPECT_EQ(-EAGAIN, emt_recv(self->b, buf, sizeof(buf), 0));
	EXPECT_LE(0.15, seconds() - start);
}

/* True once thread or process @tid sleeps. */
static void wait_until_asleep(pid_t tid)
{
	time_t end = time(NULL) + EMT_WAIT_S;
	char path[64], line[512], *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	do {
		usleep(1000);
		f = fopen(path, "r");
		if (!f || !fgets(line, sizeof(line), f))
			die("%s", path);
		fclose(f);
		state = strrchr(line, ')') + 2;
	} while (*state != 'S' && time(NULL) < end);
}

TEST_F(io, blocked_receiver_wakes_when_a_datagram_comes)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		char buf[8];

		_exit(recv(self->b, buf, sizeof(buf), 0));
	}
	wait_until_asleep(pid);
	ASSERT_EQ(5, send(self->a, "hello", 5, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(true, WIFEXITED(status));
	EXPECT_EQ(5, WEXITSTATUS(status));
}

static void nothing(int sig)
{
	(void)sig;
}

/* What a receiver that a signal interrupts says, with these sigaction flags. */
static int interrupted_recv(int fd, int other, int flags)
{
	struct sigaction sa = { .sa_handler = nothing, .sa_flags = flags };
	struct timeval forever = { 0 };
	pid_t pid = fork();
	int status;

	if (!pid) {
		char buf[8];
		int n;

		/* A timeout would make the call fail with EINTR in any case. */
		if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever)))
			_exit(200);
		sigaction(SIGUSR1, &sa, NULL);
		n = recv(fd, buf, sizeof(buf), 0);
		_exit(n < 0 ? errno : 100 + n);
	}
	wait_until_asleep(pid);
	kill(pid, SIGUSR1);
	if (flags & SA_RESTART) {
		wait_until_asleep(pid);
		send(other, "xyz", 3, 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(io, signal_interrupts_a_blocked_receiver)
{
	EXPECT_EQ(EINTR, interrupted_recv(self->b, self->a, 0));
	EXPECT_EQ(103, interrupted_recv(self->b, self->a, SA_RESTART));
}

TEST_F(io, one_datagram_goes_to_one_of_several_readers)
{
	pid_t pid[4];
	int i, status, sum = 0;

	for (i = 0; i < 4; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			char buf[8];

			_exit(recv(self->b, buf, sizeof(buf), 0));
		}
		wait_until_asleep(pid[i]);
	}
	for (i = 0; i < 4; i++)
		ASSERT_EQ(i + 1, send(self->a, "datagram", i + 1, 0));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		ASSERT_EQ(true, WIFEXITED(status));
		sum += WEXITSTATUS(status);
	}
	EXPECT_EQ(1 + 2 + 3 + 4, sum);
}

TEST_F(io, sigpipe_is_never_raised)
{
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(-EPIPE, emt_sendto(self->a, "x", 1, 0, NULL));
	EXPECT_EQ(-EPIPE, emt_sendto(self->a, "x", 1, MSG_NOSIGNAL, NULL));
	EXPECT_ERRNO(EPIPE, write(self->a, "x", 1));
}

TEST_F(io, inq_is_the_length_of_the_next_datagram)
{
	char buf[8];
	int n = -1;

	ASSERT_EQ(0, ioctl(self->b, SIOCINQ, &n));
	EXPECT_EQ(0, n);
	ASSERT_EQ(5, send(self->a, "first", 5, 0));
	ASSERT_EQ(3, send(self->a, "two", 3, 0));
	ASSERT_EQ(0, ioctl(self->b, SIOCINQ, &n));
	EXPECT_EQ(5, n);
	ASSERT_EQ(5, emt_recv(self->b, buf, sizeof(buf), 0));
	ASSERT_EQ(0, ioctl(self->b, SIOCINQ, &n));
	EXPECT_EQ(3, n);
	EXPECT_ERRNO(EFAULT, ioctl(self->b, SIOCINQ, UNMAPPED));
}

TEST_F(io, outq_is_empty_when_everything_was_received)
{
	time_t end = time(NULL) + EMT_WAIT_S;
	char buf[8];
	int n = -1;

	ASSERT_EQ(0, ioctl(self->a, SIOCOUTQ, &n));
	EXPECT_EQ(0, n);
	ASSERT_EQ(5, send(self->a, "hello", 5, 0));
	ASSERT_EQ(5, emt_recv(self->b, buf, sizeof(buf), 0));
	do {
		ASSERT_EQ(0, ioctl(self->a, SIOCOUTQ, &n));
	} while (n && time(NULL) < end);
	EXPECT_EQ(0, n);
	EXPECT_ERRNO(EFAULT, ioctl(self->a, SIOCOUTQ, UNMAPPED));
}

TEST_HARNESS_MAIN
