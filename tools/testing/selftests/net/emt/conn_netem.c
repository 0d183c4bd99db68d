// SPDX-License-Identifier: GPL-2.0
/*
 * Connections over a wire that loses, delays, reorders, doubles and corrupts:
 * bytes and records arrive as they were sent, both ways at once.
 */
#include "emt_test.h"
#include "emt_conn.h"

/* Bytes each way of each connection. */
#define LEN	600000
#define LEN_BAD	300000

FIXTURE(netem)
{
	struct conn c;
	int stream[2], records[2];
};

/*
 * Much at once goes through the device in pieces of many packets, which netem
 * loses, delays and doubles as a whole.
 * @how: what netem does
 * @features: for ethtool -K, so that each packet goes by itself (gso off), or
 *	that pieces are cut behind netem (tx-gso-list off), and summed up (tx off)
 * @bad: so much that less has to do
 */
FIXTURE_VARIANT(netem)
{
	const char *how;
	const char *features;
	bool bad;
};

FIXTURE_VARIANT_ADD(netem, clean) { .how = "delay 0" };
FIXTURE_VARIANT_ADD(netem, delay_50us) { .how = "delay 50us" };
FIXTURE_VARIANT_ADD(netem, delay_5ms) { .how = "delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_0_1) { .how = "loss 0.1%" };
FIXTURE_VARIANT_ADD(netem, loss_0_1_delay_50us) {
	.how = "loss 0.1% delay 50us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, loss_0_1_delay_5ms) { .how = "loss 0.1% delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_1) { .how = "loss 1%" };
FIXTURE_VARIANT_ADD(netem, loss_1_delay_50us) {
	.how = "loss 1% delay 50us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, loss_1_delay_5ms) { .how = "loss 1% delay 5ms" };
FIXTURE_VARIANT_ADD(netem, loss_10) { .how = "loss 10%", .bad = true };
FIXTURE_VARIANT_ADD(netem, loss_10_delay_50us) {
	.how = "loss 10% delay 50us",
	.features = "gso off",
	.bad = true
};

FIXTURE_VARIANT_ADD(netem, loss_10_delay_5ms) { .how = "loss 10% delay 5ms", .bad = true };
FIXTURE_VARIANT_ADD(netem, loss_30) { .how = "loss 30%", .bad = true };
FIXTURE_VARIANT_ADD(netem, loss_30_delay_50us) {
	.how = "loss 30% delay 50us",
	.features = "gso off",
	.bad = true
};

FIXTURE_VARIANT_ADD(netem, loss_30_delay_5ms) { .how = "loss 30% delay 5ms", .bad = true };
FIXTURE_VARIANT_ADD(netem, reorder) { .how = "delay 1ms reorder 25%" };
FIXTURE_VARIANT_ADD(netem, reorder_loss_5) {
	.how = "delay 1ms reorder 25% loss 5%",
	.bad = true
};

FIXTURE_VARIANT_ADD(netem, jitter) { .how = "delay 1ms 900us", .features = "gso off" };
FIXTURE_VARIANT_ADD(netem, duplicate) { .how = "duplicate 20%" };
FIXTURE_VARIANT_ADD(netem, duplicate_late) {
	.how = "duplicate 20% delay 1ms 900us",
	.features = "gso off"
};

FIXTURE_VARIANT_ADD(netem, corrupt) { .how = "corrupt 2%" };
FIXTURE_VARIANT_ADD(netem, rate_100mbit) { .how = "rate 100mbit" };
FIXTURE_VARIANT_ADD(netem, rate_50mbit_short_queue) { .how = "rate 50mbit limit 20" };
FIXTURE_VARIANT_ADD(netem, all_at_once) {
	.how = "delay 200us 150us loss 3% duplicate 3% corrupt 1% rate 200mbit",
	.bad = true
};

FIXTURE_VARIANT_ADD(netem, all_at_once_by_packet) {
	.how = "delay 200us 150us loss 3% duplicate 3% corrupt 1% rate 200mbit",
	.features = "gso off",
	.bad = true
};

FIXTURE_VARIANT_ADD(netem, reorder_loss_5_by_packet) {
	.how = "delay 1ms reorder 25% loss 5%",
	.features = "gso off",
	.bad = true
};

FIXTURE_VARIANT_ADD(netem, cut) { .how = "loss 5%", .features = "tx-gso-list off" };
FIXTURE_VARIANT_ADD(netem, cut_and_summed) { .how = "loss 5%", .features = "tx off" };

static void connection(struct conn *c, int type, int fd[2])
{
	c->type = type;
	c->listener = conn_listener(&c->h[0], type, CONN_PORT, 1);
	conn_pair(c, fd);
}

FIXTURE_SETUP(netem)
{
	struct conn *c = &self->c;
	char command[200];
	int i;

	NOT_FOR(AF_UNIX);
	REQUIRE_CONN(SOCK_STREAM);
	if (system("command -v tc >/dev/null"))
		SKIP(return, "no tc (iproute2)");
	if (variant->features && system("command -v ethtool >/dev/null"))
		SKIP(return, "no ethtool");
	conn_begin(c, SOCK_STREAM);
	for (i = 0; i < 2; i++) {
		netns_enter(c->h[i].netns);
		snprintf(command, sizeof(command), "tc qdisc add dev " EMT_DEV " root netem %s",
			 variant->how);
		if (system(command))
			SKIP(return, "no netem (CONFIG_NET_SCH_NETEM), or it knows less: %s",
			     variant->how);
		snprintf(command, sizeof(command), "ethtool -K " EMT_DEV " %s >/dev/null",
			 variant->features);
		if (variant->features && system(command))
			SKIP(return, "the device has no %s", variant->features);
	}
	use_all_cpus();
	connection(c, SOCK_STREAM, self->stream);
	if (conn_family == AF_EMT)
		connection(c, SOCK_SEQPACKET, self->records);
}

FIXTURE_TEARDOWN(netem)
{
	EXPECT_EQ(true, conn_end(&self->c));
}

/* One end: sends all, while a child of it receives all; then nothing comes but the end. */
static int run_end(const int fd[2], int side, size_t len)
{
	char byte;
	pid_t pid;
	int n;

	close(fd[!side]);
	set_timeout(fd[side], SO_RCVTIMEO, 3 * EMT_WAIT_S * 1000);
	pid = fork();
	if (!pid)
		_exit(!pattern_recv(fd[side], len, !side));
	if (!pattern_send(fd[side], len, side))
		return 2;
	if (ends(pid))
		return 3;
	shutdown(fd[side], SHUT_WR);
	n = recv(fd[side], &byte, 1, 0);
	if (n)
		fprintf(stderr, "# after the end: %d, %s\n", n, strerror(errno));
	return n ? 4 : 0;
}

TEST_F_TIMEOUT(netem, all_arrives_in_order_both_ways, 400)
{
	size_t len = variant->bad ? LEN_BAD : LEN;
	double start = seconds();
	pid_t pid[4];
	int i, count = conn_family == AF_EMT ? 4 : 2;

	for (i = 0; i < count; i++) {
		const int *fd = i < 2 ? self->stream : self->records;
		const int *other = i < 2 ? self->records : self->stream;

		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		if (count == 4) {
			close(other[0]);
			close(other[1]);
		}
		_exit(run_end(fd, i & 1, len));
	}
	/* Only they have them, so that their ends are those of the connections. */
	for (i = 0; i < 2; i++) {
		close(self->stream[i]);
		if (count == 4)
			close(self->records[i]);
	}
	for (i = 0; i < count; i++)
		EXPECT_EQ(0, ends(pid[i]));
	TH_LOG("%s: %.2f s", variant->how, seconds() - start);
}

TEST_HARNESS_MAIN
