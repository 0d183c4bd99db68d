// SPDX-License-Identifier: GPL-2.0
/*
 * Beginnings and ends under load: namespaces, devices and sockets come and go
 * while frames arrive. What goes wrong here is mostly seen by the kernel's own
 * checkers (KASAN, lockdep, reference trackers, kmemleak).
 */
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>

#include <linux/filter.h>
#include <linux/sockios.h>

#include "emt_test.h"

#define LO	1	/* the loopback's index in every namespace */
#define ROUNDS	20

FIXTURE(lifecycle)
{
	int home;
	struct host h[2];
};

FIXTURE_SETUP(lifecycle)
{
	REQUIRE_EMT();
	self->home = netns_self();
}

FIXTURE_TEARDOWN(lifecycle)
{
	close(self->home);
}

/* Starts to write frames for host 0 from host 1, and waits until some came. */
static pid_t load_start(struct host h[2])
{
	time_t end = time(NULL) + EMT_WAIT_S;
	struct emt_stats st;
	pid_t pid;

	use_all_cpus();
	pid = flood_start(&h[1], EMT_DEV, h[0].mac, h[1].mac, 5000);
	do {
		sched_yield();
		st = emt_stats(&h[0], h[0].ifindex);
	} while (st.rx_packets + st.rx_no_socket + st.rx_queue_full < 50 && time(NULL) < end);
	return pid;
}

/* The exit status of a child, or -1 if it does not end of its own accord in time. */
static int ends(pid_t pid)
{
	time_t end = time(NULL) + 2 * EMT_WAIT_S;
	int status;

	while (time(NULL) < end) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		usleep(2000);
	}
	flood_stop(pid);
	return -1;
}

TEST_F(lifecycle, namespace_ends_under_traffic)
{
	int i, fd[4], n;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		hosts_enabled(self->h, 1500);
		for (n = 0; n < ARRAY_SIZE(fd); n++)
			fd[n] = emt_bound(&self->h[0], n & 1 ? self->h[0].ifindex : 0, 5000 + n);
		pid = load_start(self->h);

		/* Its last references go, with datagrams in the queues. */
		netns_enter(self->home);
		for (n = 0; n < ARRAY_SIZE(fd); n++)
			close(fd[n]);
		host_free(&self->h[0]);
		/* The wire dies with it, which ends the flood. */
		ASSERT_EQ(0, ends(pid));
		host_free(&self->h[1]);
	}
}

TEST_F(lifecycle, device_is_deleted_under_traffic)
{
	int i, any, bound;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		hosts_enabled(self->h, 1500);
		any = emt_bound(&self->h[0], 0, 5000);
		bound = emt_bound(&self->h[0], self->h[0].ifindex, 5001);
		pid = load_start(self->h);

		netns_enter(self->h[i & 1].netns);
		link_del(EMT_DEV);
		ASSERT_EQ(0, ends(pid));
		EXPECT_EQ(ENETDOWN, sock_get(bound, SO_ERROR));
		EXPECT_EQ(0, sock_get(any, SO_ERROR));
		close(any);
		close(bound);
		host_free(&self->h[0]);
		host_free(&self->h[1]);
	}
}

TEST_F(lifecycle, device_moves_between_namespaces_under_traffic)
{
	int i, fd;
	pid_t pid;

	hosts_enabled(self->h, 1500);
	fd = emt_bound(&self->h[0], 0, 5000);
	for (i = 0; i < ROUNDS; i++) {
		struct host there;

		pid = load_start(self->h);
		host_new(&there);
		netns_enter(self->h[0].netns);
		link_move(EMT_DEV, there.netns);
		netns_enter(there.netns);
		link_move(EMT_DEV, self->h[0].netns);
		netns_enter(self->h[0].netns);
		self->h[0].ifindex = link_index(EMT_DEV);
		link_up(EMT_DEV, true);
		ASSERT_EQ(0, emt_enable(self->h[0].ctl, self->h[0].ifindex));
		flood_stop(pid);
		host_free(&there);
	}
	close(fd);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(lifecycle, device_is_switched_under_traffic)
{
	int i, fd, bound;
	char buf[64];
	pid_t pid;

	hosts_enabled(self->h, 1500);
	fd = emt_bound(&self->h[0], 0, 5000);
	bound = emt_bound(&self->h[0], self->h[0].ifindex, 5001);
	pid = load_start(self->h);
	for (i = 0; i < 10 * ROUNDS; i++) {
		ASSERT_EQ(0, emt_disable(self->h[0].ctl, self->h[0].ifindex));
		ASSERT_EQ(ENETDOWN, sock_get(bound, SO_ERROR));
		ASSERT_EQ(0, emt_enable(self->h[0].ctl, self->h[0].ifindex));
		/* Each time it does receive again. */
		while (emt_recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			;
		ASSERT_LE(0, emt_recv(fd, buf, sizeof(buf), 0));
	}
	flood_stop(pid);
	close(fd);
	close(bound);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

TEST_F(lifecycle, sockets_come_and_go_under_traffic)
{
	pid_t pid, worker[4];
	int i, w;

	hosts_enabled(self->h, 1500);
	pid = load_start(self->h);
	for (w = 0; w < ARRAY_SIZE(worker); w++) {
		worker[w] = fork();
		ASSERT_LE(0, worker[w]);
		if (worker[w])
			continue;
		/* Each takes one of the ports that are written to, again and again. */
		for (i = 0; i < 20 * ROUNDS; i++) {
			int fd = emt_bound(&self->h[0], i & 1 ? self->h[0].ifindex : 0, 5000 + w);
			char buf[64];

			if (i % 3 && emt_recv(fd, buf, sizeof(buf), 0) < 0)
				die("socket %d of worker %d receives nothing", i, w);
			close(fd);
		}
		_exit(0);
	}
	for (w = 0; w < ARRAY_SIZE(worker); w++)
		EXPECT_EQ(0, ends(worker[w]));
	flood_stop(pid);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* One of the things that several processes do to one socket at a time. */
static void meddle(int fd, int what, const struct sockaddr_emt *to)
{
	struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, 0xffff);
	struct sock_fprog prog = { 1, &pass };
	struct sockaddr_emt none = { .semt_family = AF_UNSPEC };
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };
	socklen_t len = sizeof(none);
	char buf[64];
	int n;

	switch (what) {
	case 0:
		recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		break;
	case 1:
		sendto(fd, buf, 20, MSG_DONTWAIT, (const void *)to, sizeof(*to));
		break;
	case 2:
		emt_connect(fd, to);
		getpeername(fd, (void *)&none, &len);
		break;
	case 3:
		emt_connect(fd, &none);
		getsockname(fd, (void *)&none, &len);
		break;
	case 4:
		poll(&pfd, 1, 0);
		ioctl(fd, SIOCINQ, &n);
		ioctl(fd, SIOCOUTQ, &n);
		break;
	case 5:
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
		recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK);
		setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &prog, sizeof(prog));
		break;
	}
}

TEST_F(lifecycle, processes_share_a_socket_under_traffic)
{
	struct sockaddr_emt to;
	pid_t pid, worker[6];
	int i, w, fd;

	hosts_enabled(self->h, 1500);
	fd = emt_bound(&self->h[0], 0, 5000);
	to = emt_addr(self->h[0].ifindex, self->h[1].mac, 5000);
	pid = load_start(self->h);
	for (w = 0; w < ARRAY_SIZE(worker); w++) {
		worker[w] = fork();
		ASSERT_LE(0, worker[w]);
		if (worker[w])
			continue;
		for (i = 0; i < 100 * ROUNDS; i++)
			meddle(fd, w, &to);
		_exit(0);
	}
	for (w = 0; w < ARRAY_SIZE(worker); w++)
		EXPECT_EQ(0, ends(worker[w]));
	/* It still works. */
	emt_connect(fd, &(struct sockaddr_emt){ .semt_family = AF_UNSPEC });
	while (emt_recv(fd, &w, sizeof(w), MSG_DONTWAIT) >= 0)
		;
	EXPECT_LE(0, emt_recv(fd, &w, sizeof(w), 0));
	flood_stop(pid);
	close(fd);
	host_free(&self->h[0]);
	host_free(&self->h[1]);
}

/* A number that a line of a file in /proc begins or goes on with, or -1. */
static long proc_number(const char *path, const char *format)
{
	char line[512];
	long n = -1;
	FILE *f = fopen(path, "r");

	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &n) != 1)
			n = -1;
	if (f)
		fclose(f);
	return n;
}

#define NAMESPACES	1000
#define WARM_UP		300
#define MARK_EVERY	50

/* Uses EMT in a namespace that ends when the next begins. */
static void use_namespace(int i, int home)
{
	static const unsigned char mac[2][ETH_ALEN] = { { 2, 1 }, { 2, 2 } };
	struct sockaddr_emt lo = emt_addr(LO, emt_zero, 5000);
	struct host here = { .netns = -1 };
	char name[16], buf[8];
	int fd;

	if (unshare(CLONE_NEWNET))
		die("namespace %d", i);
	link_up("lo", true);
	fd = emt_bound(&here, 0, 5000);
	/* One datagram comes back, another waits when the socket is closed. */
	if (emt_sendto(fd, "hello", 5, 0, &lo) != 5 || emt_sendto(fd, "there", 5, 0, &lo) != 5 ||
	    emt_recv(fd, buf, sizeof(buf), 0) != 5)
		die("namespace %d does not carry a datagram", i);
	if (i % MARK_EVERY == 0) {
		/* Its other end dies with the namespace: so it is seen to end. */
		snprintf(name, sizeof(name), "mark%d", i);
		link_add_veth("mark", mac[0], name, mac[1], home, 1500);
		link_up("mark", true);
		if (emt_enable(fd, link_index("mark")))
			die("namespace %d does not enable a device", i);
	}
	close(fd);
}

/* How many of the namespaces with a mark still exist. */
static int marks_left(void)
{
	char name[16];
	int i, left = 0;

	for (i = 0; i < NAMESPACES; i += MARK_EVERY) {
		snprintf(name, sizeof(name), "mark%d", i);
		left += if_nametoindex(name) != 0;
	}
	return left;
}

TEST_F_TIMEOUT(lifecycle, thousand_namespaces_leave_nothing_behind, 900)
{
	static const char slab[] = "net_namespace %ld", mem[] = "MemAvailable: %ld";
	long mem_before = 0, nets_before = 0, mem_lost = 0, nets_left = 0;
	time_t end;
	int i;

	/* The marks stay out of the way of other tests. */
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	close(self->home);
	self->home = netns_self();

	for (i = 0; i < NAMESPACES; i++) {
		if (i == WARM_UP) {
			mem_before = proc_number("/proc/meminfo", mem);
			nets_before = proc_number("/proc/slabinfo", slab);
		}
		use_namespace(i, self->home);
	}
	netns_enter(self->home);

	/* They end in the background. */
	end = time(NULL) + 120;
	while (marks_left() && time(NULL) < end)
		usleep(100000);
	EXPECT_EQ(0, marks_left());

	/* Their memory comes back a little later, and other things move as well. */
	do {
		mem_lost = mem_before - proc_number("/proc/meminfo", mem);
		nets_left = proc_number("/proc/slabinfo", slab) - nets_before;
		if (mem_lost < 24 << 10 && nets_left < 100)
			break;
		usleep(500000);
	} while (time(NULL) < end);
	EXPECT_GT(24 << 10, mem_lost) {
		TH_LOG("%ld kB fewer are available than before", mem_lost);
	}
	if (nets_before >= 0)
		EXPECT_GT(100, nets_left);
	printf("# after %d namespaces: %ld kB less memory, %ld more struct net%s\n",
	       NAMESPACES - WARM_UP, mem_lost, nets_left,
	       nets_before < 0 ? " (no slabinfo)" : "");
	fflush(stdout);
}

TEST_HARNESS_MAIN
