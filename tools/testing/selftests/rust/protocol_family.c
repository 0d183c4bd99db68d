// SPDX-License-Identifier: GPL-2.0
/*
 * The sample of a protocol family (samples/rust/rust_protocol_family.rs): two
 * hosts, namespaces joined by a veth pair, and a module that comes and goes.
 * MODPROBE is how to load it (default: modprobe).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "protocol_family.h"
#include "../kselftest_harness.h"

#define MODULE "rust_protocol_family"
#define DEV "ash0"
#define MTU 1500
#define MAX_DATA (MTU - (int)sizeof(struct ash_header))
#define ROUNDS 10
/* How long anything that must happen may take, on an emulated debug kernel. */
#define WAIT_S 60
/* How long a test may take there. */
#define LIMIT_S 600
/* How long to wait for what must not happen. */
#define QUIET_MS 200

static const __u8 macs[2][6] = { { 2, 0, 0, 0, 0, 0xa }, { 2, 0, 0, 0, 0, 0xb } };

static int __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static const char *modprobe(void)
{
	return getenv("MODPROBE") ?: "modprobe";
}

static int load(void)
{
	return run("%s " MODULE, modprobe());
}

static bool loaded(void)
{
	return !access("/sys/module/" MODULE, F_OK);
}

/* A socket's last reference goes a moment after its close. */
static int unload(void)
{
	int i;

	for (i = 0; i < WAIT_S * 20; i++) {
		if (!syscall(SYS_delete_module, MODULE, O_NONBLOCK) || errno == ENOENT)
			return 0;
		usleep(50000);
	}
	return -1;
}

/* How many sockets of the sample this namespace has, -1 if it does not know the type. */
static int sockets(void)
{
	char line[256];
	int count = -1;
	FILE *f = fopen("/proc/self/net/protocols", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "RUST-SAMPLE %*d %d", &count);
	if (f)
		fclose(f);
	return count;
}

static int new_namespace(void)
{
	return unshare(CLONE_NEWNET) ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool running(void)
{
	struct ifreq req = { .ifr_name = DEV };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	bool up = !ioctl(fd, SIOCGIFFLAGS, &req) && req.ifr_flags & IFF_RUNNING;

	close(fd);
	return up;
}

static int ready(int fd, short events, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, ms) == 1 ? pfd.revents : 0;
}

FIXTURE(hosts)
{
	int home;
	int net[2];
	int ifindex[2];
};

FIXTURE_SETUP(hosts)
{
	int i, j;

	if (geteuid())
		SKIP(return, "needs root");
	if (run("%s -n -q " MODULE, modprobe()))
		SKIP(return, "needs CONFIG_SAMPLE_RUST_PROTOCOL_FAMILY");
	ASSERT_EQ(0, load());
	self->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (i = 0; i < 2; i++) {
		self->net[i] = new_namespace();
		ASSERT_GE(self->net[i], 0);
	}
	ASSERT_EQ(0, setns(self->net[0], CLONE_NEWNET));
	ASSERT_EQ(0, run("ip link add " DEV " address 02:00:00:00:00:0a type veth peer name " DEV
			 " address 02:00:00:00:00:0b netns /proc/%d/fd/%d",
			 getpid(), self->net[1]));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, setns(self->net[i], CLONE_NEWNET));
		ASSERT_EQ(0, run("ip link set " DEV " up"));
		self->ifindex[i] = if_nametoindex(DEV);
	}
	/* A veth drops in silence until both of its ends have come up. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, setns(self->net[i], CLONE_NEWNET));
		for (j = 0; j < WAIT_S * 20 && !running(); j++)
			usleep(50000);
		ASSERT_TRUE(running());
	}
}

FIXTURE_TEARDOWN(hosts)
{
	EXPECT_EQ(0, setns(self->home, CLONE_NEWNET));
	close(self->net[0]);
	close(self->net[1]);
	EXPECT_EQ(0, unload());
}

/* A socket of host i, bound to port unless that is 0. */
static int new_socket(FIXTURE_DATA(hosts) *hosts, int i, __u32 port)
{
	struct sockaddr_ash own = { .sash_family = AF_ASH, .sash_port = htonl(port) };
	int fd;

	if (setns(hosts->net[i], CLONE_NEWNET))
		return -1;
	fd = socket(AF_ASH, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && port && bind(fd, (struct sockaddr *)&own, sizeof(own))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Where a socket of host i finds a port of the other host. */
static struct sockaddr_ash other(FIXTURE_DATA(hosts) *hosts, int i, __u32 port)
{
	struct sockaddr_ash addr = {
		.sash_family = AF_ASH,
		.sash_ifindex = hosts->ifindex[i],
		.sash_port = htonl(port),
	};

	memcpy(addr.sash_mac, macs[!i], 6);
	return addr;
}

static ssize_t send_to(int fd, const void *data, size_t len, const struct sockaddr_ash *to)
{
	return sendto(fd, data, len, 0, (const struct sockaddr *)to, sizeof(*to));
}

static int name_of(int fd, struct sockaddr_ash *name, bool peer)
{
	socklen_t len = sizeof(*name);
	int rc = peer ? getpeername(fd, (struct sockaddr *)name, &len) :
			getsockname(fd, (struct sockaddr *)name, &len);

	return rc ?: len != sizeof(*name);
}

/* Puts a frame on the wire as host i. */
static int send_frame(FIXTURE_DATA(hosts) *hosts, int i, const __u8 *to,
		      const void *data, size_t len)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ASH),
		.sll_ifindex = hosts->ifindex[i],
		.sll_halen = 6,
	};
	ssize_t sent;
	int fd;

	memcpy(addr.sll_addr, to, 6);
	if (setns(hosts->net[i], CLONE_NEWNET))
		return -1;
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sent = sendto(fd, data, len, 0, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	return sent == len ? 0 : -1;
}

static int err_of(long result)
{
	return result < 0 ? errno : 0;
}

TEST_F_TIMEOUT(hosts, only_datagrams_of_protocol_0, LIMIT_S)
{
	EXPECT_EQ(ESOCKTNOSUPPORT, err_of(socket(AF_ASH, SOCK_STREAM, 0)));
	EXPECT_EQ(EPROTONOSUPPORT, err_of(socket(AF_ASH, SOCK_DGRAM, 1)));
}

TEST_F_TIMEOUT(hosts, names_are_as_given, LIMIT_S)
{
	struct sockaddr_ash addr = other(self, 0, 7), name;
	int fd = new_socket(self, 0, 0);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, name_of(fd, &name, false));
	EXPECT_EQ(0, name.sash_port);
	EXPECT_EQ(ENOTCONN, err_of(name_of(fd, &name, true)));
	EXPECT_EQ(EINVAL, err_of(bind(fd, (struct sockaddr *)&addr, sizeof(addr) - 1)));
	EXPECT_EQ(0, bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	EXPECT_EQ(0, name_of(fd, &name, false));
	EXPECT_EQ(0, memcmp(&name, &addr, sizeof(addr)));
	EXPECT_EQ(0, connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	EXPECT_EQ(0, name_of(fd, &name, true));
	EXPECT_EQ(0, memcmp(&name, &addr, sizeof(addr)));
	addr.sash_family = AF_INET;
	EXPECT_EQ(EAFNOSUPPORT, err_of(bind(fd, (struct sockaddr *)&addr, sizeof(addr))));
	EXPECT_EQ(EAFNOSUPPORT, err_of(connect(fd, (struct sockaddr *)&addr, sizeof(addr))));
	EXPECT_EQ(EAFNOSUPPORT, err_of(send_to(fd, "x", 1, &addr)));
	close(fd);
}

TEST_F_TIMEOUT(hosts, what_is_not_implemented_fails_as_it_should, LIMIT_S)
{
	int value = 0, fd = new_socket(self, 0, 7), pair[2];
	socklen_t len = sizeof(value);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(EOPNOTSUPP, err_of(listen(fd, 1)));
	EXPECT_EQ(EOPNOTSUPP, err_of(accept(fd, NULL, NULL)));
	EXPECT_EQ(EOPNOTSUPP, err_of(shutdown(fd, SHUT_RDWR)));
	EXPECT_EQ(EOPNOTSUPP, err_of(socketpair(AF_ASH, SOCK_DGRAM, 0, pair)));
	EXPECT_EQ(ENOPROTOOPT, err_of(setsockopt(fd, 280, 1, &value, len)));
	EXPECT_EQ(ENOPROTOOPT, err_of(getsockopt(fd, 280, 1, &value, &len)));
	EXPECT_EQ(ENOTTY, err_of(ioctl(fd, SIOCPROTOPRIVATE, &value)));
	EXPECT_EQ(EOPNOTSUPP, err_of(recv(fd, &value, len, MSG_OOB)));
	close(fd);
}

TEST_F_TIMEOUT(hosts, a_question_is_answered, LIMIT_S)
{
	int a = new_socket(self, 0, 1000), b = new_socket(self, 1, 7);
	struct sockaddr_ash to = other(self, 0, 7), back = other(self, 1, 1000), from;
	socklen_t len = sizeof(from);
	char data[16] = "";

	ASSERT_GE(a, 0);
	ASSERT_GE(b, 0);
	ASSERT_EQ(5, send_to(a, "hello", 5, &to));
	ASSERT_TRUE(ready(b, POLLIN, WAIT_S * 1000) & POLLIN);
	ASSERT_EQ(5, recvfrom(b, data, sizeof(data), 0, (struct sockaddr *)&from, &len));
	EXPECT_STREQ("hello", data);
	ASSERT_EQ(sizeof(from), len);
	EXPECT_EQ(0, memcmp(&from, &back, sizeof(from)));
	ASSERT_EQ(3, send_to(b, "yes", 3, &from));
	len = sizeof(from);
	ASSERT_EQ(3, recvfrom(a, data, sizeof(data), 0, (struct sockaddr *)&from, &len));
	EXPECT_EQ(0, memcmp(data, "yes", 3));
	EXPECT_EQ(0, memcmp(&from, &to, sizeof(from)));
	close(a);
	close(b);
}

TEST_F_TIMEOUT(hosts, a_connected_socket_hears_its_peer_only, LIMIT_S)
{
	int a = new_socket(self, 0, 1000), b = new_socket(self, 1, 7), c = new_socket(self, 1, 8);
	struct sockaddr_ash to = other(self, 0, 7), back = other(self, 1, 1000);
	char data[16];

	ASSERT_EQ(0, connect(a, (struct sockaddr *)&to, sizeof(to)));
	EXPECT_EQ(1, send(a, "1", 1, 0));
	EXPECT_EQ(1, recv(b, data, sizeof(data), 0));
	EXPECT_EQ(1, send_to(c, "c", 1, &back));
	EXPECT_EQ(1, send_to(b, "b", 1, &back));
	EXPECT_EQ(1, recv(a, data, sizeof(data), 0));
	EXPECT_EQ('b', data[0]);
	EXPECT_EQ(0, ready(a, POLLIN, QUIET_MS));
	EXPECT_EQ(ENODEV, err_of(send(b, "x", 1, 0)));
	close(a);
	close(b);
	close(c);
}

TEST_F_TIMEOUT(hosts, poll_and_ioctl_tell_of_what_has_come, LIMIT_S)
{
	int a = new_socket(self, 0, 0), b = new_socket(self, 1, 7), bytes = -1;
	struct sockaddr_ash to = other(self, 0, 7);
	char data[16];

	EXPECT_EQ(POLLOUT, ready(b, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, ioctl(b, SIOCINQ, &bytes));
	EXPECT_EQ(0, bytes);
	EXPECT_EQ(EFAULT, err_of(ioctl(b, SIOCINQ, NULL)));
	EXPECT_EQ(EAGAIN, err_of(recv(b, data, sizeof(data), MSG_DONTWAIT)));
	ASSERT_EQ(5, send_to(a, "hello", 5, &to));
	EXPECT_EQ(POLLIN, ready(b, POLLIN, WAIT_S * 1000));
	EXPECT_EQ(POLLIN | POLLOUT, ready(b, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, ioctl(b, SIOCINQ, &bytes));
	EXPECT_EQ(5, bytes);
	EXPECT_EQ(5, recv(b, data, sizeof(data), MSG_PEEK));
	EXPECT_EQ(5, recv(b, data, 2, MSG_PEEK | MSG_TRUNC));
	EXPECT_EQ(2, recv(b, data, 2, 0));
	EXPECT_EQ(0, ready(b, POLLIN, 0));
	close(a);
	close(b);
}

TEST_F_TIMEOUT(hosts, a_datagram_is_what_fits_into_a_frame, LIMIT_S)
{
	int a = new_socket(self, 0, 0), b = new_socket(self, 1, 7);
	struct sockaddr_ash to = other(self, 0, 7);
	char out[MAX_DATA + 1], in[MAX_DATA + 1];
	int len;

	memset(out, 'x', sizeof(out));
	for (len = 0; len <= MAX_DATA; len += len < 64 ? 1 : 359) {
		ASSERT_EQ(len, send_to(a, out, len, &to));
		ASSERT_EQ(len, recv(b, in, sizeof(in), 0));
		ASSERT_EQ(0, memcmp(in, out, len));
	}
	EXPECT_EQ(MAX_DATA, send_to(a, out, MAX_DATA, &to));
	EXPECT_EQ(MAX_DATA, recv(b, in, sizeof(in), 0));
	EXPECT_EQ(EMSGSIZE, err_of(send_to(a, out, MAX_DATA + 1, &to)));
	to.sash_ifindex = 12345;
	EXPECT_EQ(ENODEV, err_of(send_to(a, out, 1, &to)));
	close(a);
	close(b);
}

TEST_F_TIMEOUT(hosts, frames_are_checked, LIMIT_S)
{
	struct {
		struct ash_header header;
		char data[48];
	} frame = { { htonl(7), htonl(9), htonl(3) }, "abc" };
	static const __u8 somebody[6] = { 2, 0, 0, 0, 0, 0xc };
	int a = new_socket(self, 0, 7);
	char data[64];

	/* With the padding that an Ethernet adds. */
	ASSERT_EQ(0, send_frame(self, 1, macs[0], &frame, sizeof(frame)));
	EXPECT_EQ(3, recv(a, data, sizeof(data), 0));
	/* Without a whole header. */
	ASSERT_EQ(0, send_frame(self, 1, macs[0], &frame, sizeof(frame.header) - 1));
	/* Longer by its own account than it is. */
	frame.header.len = htonl(sizeof(frame.data) + 1);
	ASSERT_EQ(0, send_frame(self, 1, macs[0], &frame, sizeof(frame)));
	frame.header.len = htonl(0xffffffff);
	ASSERT_EQ(0, send_frame(self, 1, macs[0], &frame, sizeof(frame)));
	/* To another host, which a promiscuous device sees. */
	frame.header.len = htonl(3);
	ASSERT_EQ(0, setns(self->net[0], CLONE_NEWNET));
	ASSERT_EQ(0, run("ip link set " DEV " promisc on"));
	ASSERT_EQ(0, send_frame(self, 1, somebody, &frame, sizeof(frame)));
	EXPECT_EQ(0, ready(a, POLLIN, QUIET_MS));
	close(a);
}

TEST_F_TIMEOUT(hosts, each_socket_of_a_port_gets_a_copy, LIMIT_S)
{
	int a = new_socket(self, 0, 0), b = new_socket(self, 1, 7), c = new_socket(self, 1, 7);
	int elsewhere = new_socket(self, 1, 8), here = new_socket(self, 0, 7);
	struct sockaddr_ash to = other(self, 0, 7);
	char data[16];

	ASSERT_EQ(5, send_to(a, "hello", 5, &to));
	EXPECT_EQ(5, recv(b, data, sizeof(data), 0));
	EXPECT_EQ(5, recv(c, data, sizeof(data), 0));
	EXPECT_EQ(0, memcmp(data, "hello", 5));
	EXPECT_EQ(0, ready(elsewhere, POLLIN, QUIET_MS));
	EXPECT_EQ(0, ready(here, POLLIN, 0));
	close(a);
	close(b);
	close(c);
	close(elsewhere);
	close(here);
}

TEST_F_TIMEOUT(hosts, a_full_receive_buffer_drops, LIMIT_S)
{
	int a = new_socket(self, 0, 0), b = new_socket(self, 1, 7), size = 4096, i, got = 0;
	struct sockaddr_ash to = other(self, 0, 7);
	char data[1000] = "";

	ASSERT_EQ(0, setsockopt(b, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(sizeof(data), send_to(a, data, sizeof(data), &to));
	while (ready(b, POLLIN, QUIET_MS)) {
		ASSERT_EQ(sizeof(data), recv(b, data, sizeof(data), 0));
		got++;
	}
	EXPECT_GT(got, 0);
	EXPECT_LT(got, 100);
	close(a);
	close(b);
}

TEST_F_TIMEOUT(hosts, a_device_goes_while_a_socket_receives_from_it, LIMIT_S)
{
	struct sockaddr_ash to = other(self, 0, 7);
	int a = new_socket(self, 0, 0), b = new_socket(self, 1, 7);

	ASSERT_EQ(0, run("ip link del " DEV));
	EXPECT_EQ(ENODEV, err_of(send_to(a, "x", 1, &to)));
	close(a);
	close(b);
}

TEST_F_TIMEOUT(hosts, a_socket_outlives_the_last_process_of_its_namespace, LIMIT_S)
{
	int net = new_namespace(), fd;
	struct sockaddr_ash own = { .sash_family = AF_ASH, .sash_port = htonl(7) }, lo = own;
	char data[4];

	ASSERT_GE(net, 0);
	ASSERT_EQ(0, run("ip link set lo up"));
	lo.sash_ifindex = if_nametoindex("lo");
	fd = socket(AF_ASH, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&own, sizeof(own)));
	ASSERT_EQ(0, setns(self->home, CLONE_NEWNET));
	close(net);
	/* The loopback device brings it back. */
	ASSERT_EQ(1, send_to(fd, "x", 1, &lo));
	EXPECT_EQ(1, recv(fd, data, sizeof(data), 0));
	close(fd);
}

TEST_F_TIMEOUT(hosts, the_module_stays_while_a_socket_is_open, LIMIT_S)
{
	int fd = new_socket(self, 0, 7);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(1, sockets());
	EXPECT_EQ(EWOULDBLOCK, err_of(syscall(SYS_delete_module, MODULE, O_NONBLOCK)));
	EXPECT_TRUE(loaded());
	close(fd);
	EXPECT_EQ(0, sockets());
	EXPECT_EQ(0, unload());
	EXPECT_FALSE(loaded());
	EXPECT_EQ(-1, sockets());
	EXPECT_EQ(EAFNOSUPPORT, err_of(socket(AF_ASH, SOCK_DGRAM, 0)));
}

TEST_F_TIMEOUT(hosts, the_module_goes_and_comes_while_frames_arrive, LIMIT_S)
{
	struct {
		struct ash_header header;
		char data[100];
	} frame = { { htonl(7), htonl(9), htonl(100) }, "" };
	int i, fd, status;
	char data[128];
	pid_t flood = fork();

	if (!flood) {
		for (;;)
			send_frame(self, 1, macs[0], &frame, sizeof(frame));
	}
	ASSERT_GT(flood, 0);
	for (i = 0; i < ROUNDS; i++) {
		fd = new_socket(self, 0, 7);
		EXPECT_EQ(sizeof(frame.data), recv(fd, data, sizeof(data), 0));
		close(fd);
		EXPECT_EQ(0, unload());
		EXPECT_EQ(0, load());
	}
	kill(flood, SIGKILL);
	waitpid(flood, &status, 0);
}

TEST_HARNESS_MAIN
